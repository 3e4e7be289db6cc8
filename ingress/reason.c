#include "ingress/reason.h"

static const struct {
    const char *name, *meaning;
    int alert;
} reasons[] = {
#define X(name, text, alert, meaning) [REASON_##name] = {text, meaning, alert},
    REASON_MAP(X)
#undef X
};

const char *reason_name(enum reason reason)
{
    return reasons[reason].name;
}

const char *reason_meaning(enum reason reason)
{
    return reasons[reason].meaning;
}

int reason_alert(enum reason reason)
{
    return reasons[reason].alert;
}

enum reason reason_of_route(enum route_result result)
{
    switch (result) {
    case ROUTE_UNKNOWN_NAME:
        return REASON_UNKNOWN_NAME;
    case ROUTE_PORT_NOT_FUNNELLED:
        return REASON_PORT_NOT_FUNNELLED;
    case ROUTE_NOT_OPTED_IN:
    case ROUTE_EXPIRED:
        return REASON_NOT_OPTED_IN;
    case ROUTE_STALE:
        return REASON_FEED_STALE;
    case ROUTE_OK:
        break;
    }
    return REASON_OK;
}

bool reason_retry(enum reason reason)
{
    switch (reason) {
    case REASON_LIMIT_NODE:
    case REASON_NODE_NO_SESSION:
    case REASON_NODE_UNREACHABLE:
    case REASON_NODE_UNKNOWN_PEER:
    case REASON_NODE_NO_CAP:
    case REASON_OFFER_TIMEOUT: /* its share of the time, not all of it, when there are others */
    case REASON_NODE_REFUSED:
    case REASON_NODE_PROTOCOL:
    case REASON_PORT_EXHAUSTED:
        return true;
    default: /* the visitor's own fault, a node's plain "no", or no time left */
        return false;
    }
}
