#include "ingress/feed/feed_load.h"

#include "ingress/feed/feed_document.h"
#include "ingress/feed/feed_file.h"

int feed_load(const char *path, const struct map_seed *seed, struct config_errors *errors, struct route_table **out)
{
    char *text;
    size_t len;

    *out = NULL;
    int rc = feed_file_read(path, &text, &len, errors);

    if (rc != 0)
        return rc;
    rc = feed_document_parse(path, text, len, seed, errors, out);
    feed_file_free(text, len);
    return rc;
}
