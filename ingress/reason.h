/* reason.h - why a visitor's stream ended: one list for the log, the metric's label, the TLS alert and docs/reasons.md.
 *
 * The alert is what the visitor's TLS client sees while no byte has gone the other way (design, section 9). To
 * outsiders every way of "not here" looks alike. */
#ifndef INGRESS_REASON_H
#define INGRESS_REASON_H

#include <stdbool.h>

#include "common/hello/alert.h"
#include "ingress/route/route.h"

#define REASON_NO_ALERT 0 /* closed without one */

/*    name               text                  alert                                what it means */
#define REASON_MAP(X)                                                                                                  \
    X(OK,                "ok",                 REASON_NO_ALERT,                     "both sides ended in order")       \
    X(VISITOR_RESET,     "visitor_reset",      REASON_NO_ALERT,                     "the visitor reset the stream")    \
    X(NODE_RESET,        "node_reset",         REASON_NO_ALERT,                     "the node reset the stream")       \
    X(NODE_LOST,         "node_lost",          REASON_NO_ALERT,                     "the node stopped answering in mid-stream") \
    X(IDLE,              "idle_timeout",       REASON_NO_ALERT,                     "no byte in either direction for stream.idle_timeout") \
    X(HALF_CLOSE,        "half_close_timeout", REASON_NO_ALERT,                     "the visitor ended, the node sent nothing more for stream.half_close_timeout") \
    X(DRAINED,           "drain_timeout",      REASON_NO_ALERT,                     "the ingress stopped before the stream ended") \
    X(REVOKED,           "revoked",            REASON_NO_ALERT,                     "the node or its name was withdrawn in mid-stream") \
    X(VISITOR_GONE,      "visitor_gone",       REASON_NO_ALERT,                     "the visitor left before a stream was open") \
    X(HELLO_NOT_TLS,     "hello_not_tls",      REASON_NO_ALERT,                     "what came is not TLS")            \
    X(HELLO_MALFORMED,   "hello_malformed",    TLS_ALERT_DECODE_ERROR,              "the ClientHello is broken")       \
    X(HELLO_TOO_LARGE,   "hello_too_large",    TLS_ALERT_DECODE_ERROR,              "the ClientHello is larger than hello.max_size") \
    X(HELLO_TIMEOUT,     "hello_timeout",      REASON_NO_ALERT,                     "no whole ClientHello within hello.timeout") \
    X(PROXY_HEADER,      "proxy_header",       REASON_NO_ALERT,                     "no valid PROXY header from a trusted balancer") \
    X(NO_SNI,            "no_sni",             TLS_ALERT_UNRECOGNIZED_NAME,         "the ClientHello names no server") \
    X(UNKNOWN_NAME,      "unknown_name",       TLS_ALERT_UNRECOGNIZED_NAME,         "no node owns the name")           \
    X(PORT_NOT_FUNNELLED, "port_not_funnelled", TLS_ALERT_UNRECOGNIZED_NAME,        "the node does not funnel this port") \
    X(NOT_OPTED_IN,      "not_opted_in",       TLS_ALERT_UNRECOGNIZED_NAME,         "administrator or node has not opted in, or the node expired") \
    X(FEED_STALE,        "feed_stale",         TLS_ALERT_INTERNAL_ERROR,            "the feed has been silent for longer than feed.stale_limit") \
    X(LIMIT_TOTAL,       "overload",           REASON_NO_ALERT,                     "limits.connections or limits.pending_hellos reached") \
    X(LIMIT_SOURCE,      "limit_source",       REASON_NO_ALERT,                     "limits.connections_per_source reached") \
    X(LIMIT_NODE,        "limit_node",         TLS_ALERT_ACCESS_DENIED,             "limits.connections_per_node or the node's own limit reached") \
    X(NODE_NO_SESSION,   "node_no_session",    TLS_ALERT_INTERNAL_ERROR,            "no WireGuard session with the node, and none could be made in time") \
    X(NODE_UNREACHABLE,  "node_unreachable",   TLS_ALERT_INTERNAL_ERROR,            "the node's peerapi refused the connection or did not answer the SYN") \
    X(NODE_UNKNOWN_PEER, "node_unknown_peer",  TLS_ALERT_INTERNAL_ERROR,            "the node closed without a byte: it does not know this ingress") \
    X(OFFER_TIMEOUT,     "offer_timeout",      TLS_ALERT_INTERNAL_ERROR,            "connected, but no answer to the offer within offer.timeout") \
    X(NODE_NO_CAP,       "node_no_cap",        TLS_ALERT_ACCESS_DENIED,             "the node says: no ingress capability") \
    X(NODE_DENIED,       "node_denied",        TLS_ALERT_UNRECOGNIZED_NAME,         "the node does not funnel this name and port") \
    X(NODE_REFUSED,      "node_refused",       TLS_ALERT_INTERNAL_ERROR,            "the node answered with another HTTP error; `detail` has it. 502: the service behind the node can't be reached") \
    X(NODE_PROTOCOL,     "node_protocol",      TLS_ALERT_INTERNAL_ERROR,            "what the node answered is not the peerapi") \
    X(PORT_EXHAUSTED,    "port_exhausted",     TLS_ALERT_INTERNAL_ERROR,            "no free own port towards the node") \
    X(OUT_OF_MEMORY,     "out_of_memory",      TLS_ALERT_INTERNAL_ERROR,            "the memory budget is spent")

enum reason {
#define X(name, text, alert, meaning) REASON_##name,
    REASON_MAP(X)
#undef X
        REASON_COUNT
};

const char *reason_name(enum reason reason);
const char *reason_meaning(enum reason reason);

/* reason_alert - the TLS alert's number, or REASON_NO_ALERT. */
int reason_alert(enum reason reason);

/* reason_of_route - why a look-up gives no node; REASON_OK where it gives one. */
enum reason reason_of_route(enum route_result result);

/* reason_retry - another node of the same name may still serve the visitor. */
bool reason_retry(enum reason reason);

#endif
