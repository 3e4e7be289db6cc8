#include "ingress/feed/feed_source.h"

#include <stddef.h>

#include "common/base/bug.h"

const char *feed_source_state_name(enum feed_source_state state)
{
    static const char *const names[] = {[FEED_SOURCE_STARTING] = "starting",
                                        [FEED_SOURCE_CONNECTED] = "connected",
                                        [FEED_SOURCE_RETRYING] = "retrying",
                                        [FEED_SOURCE_STOPPED] = "stopped"};

    BUG_ON((size_t)state >= ARRAY_SIZE(names));
    return names[state];
}
