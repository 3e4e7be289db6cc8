#include "ingress/advice.h"

#include "common/base/bug.h"

static const char *const texts[REASON_COUNT] = {
    [REASON_OK] = "",
    [REASON_VISITOR_RESET] = "Nothing, unless many visitors do: then look at the path between them and the ingress.",
    [REASON_NODE_RESET] = "Look at the log of the service behind the node.",
    [REASON_NODE_LOST] = "Is the node still running and online? Its next visitors wait for a new session.",
    [REASON_IDLE] = "Raise stream.idle_timeout, or let the application send something now and then.",
    [REASON_HALF_CLOSE] = "Raise stream.half_close_timeout if the service needs longer to answer.",
    [REASON_DRAINED] = "The ingress is stopping: ask again when it is back.",
    [REASON_REVOKED] = "If that was not meant, restore the node's row and both halves of its opt-in in the feed.",
    [REASON_VISITOR_GONE] = "Nothing; where it is frequent, see how long offers take (offer_ms in the access log).",
    [REASON_HELLO_NOT_TLS] = "Visitors must speak TLS here; for other protocols add a listener with protocol: tcp.",
    [REASON_HELLO_MALFORMED] = "The visitor's TLS client is broken or probing; nothing to do here.",
    [REASON_HELLO_TOO_LARGE] = "Raise hello.max_size if a client of yours sends a ClientHello that large.",
    [REASON_HELLO_TIMEOUT] = "Nothing, unless clients of yours are that slow: then raise hello.timeout.",
    [REASON_PROXY_HEADER] = "Let the balancer send a PROXY header, and name its address in the listener's proxy_from; "
                            "or set proxy_protocol: off.",
    [REASON_NO_SNI] = "The client must name a server (SNI); clients that dial an address do not.",
    [REASON_UNKNOWN_NAME] = "Add the name to its node's `names` in the feed. If it stands there, the feed has not come "
                            "through: `funnel-ingress status` says what is wrong with it.",
    [REASON_PORT_NOT_FUNNELLED] = "Add the port to the node's `ports` in the feed, or give the public port with the "
                                  "name (NAME:PORT); a listener on another port needs public_port.",
    [REASON_NOT_OPTED_IN] = "Set funnel.admin to true and funnel.node to true or \"ask\" in the node's row of the "
                            "feed; if the node has expired, renew `expires`.",
    [REASON_FEED_STALE] = "Bring the feed back: `funnel-ingress status` says what is wrong with it. Or raise "
                          "feed.stale_limit.",
    [REASON_LIMIT_TOTAL] = "Raise limits.connections or limits.pending_hellos, or find who holds so many.",
    [REASON_LIMIT_SOURCE] = "Raise limits.connections_per_source if that many visitors share an address.",
    [REASON_LIMIT_NODE] = "Raise limits.connections_per_node, or limits.connections in the node's row.",
    [REASON_NODE_NO_SESSION] =
        "Is the node running? Compare its WireGuard key with the feed's `key`, and the ingress's key as the node has "
        "it with `funnel-ingress pubkey`. With `endpoints`: are they right, and does UDP pass? Without: the node must "
        "call the ingress's UDP port (a stock Tailscale node behind NAT only after a PingRequest, docs/tailscale.md).",
    [REASON_NODE_UNREACHABLE] =
        "Compare the feed's peerapi4 and peerapi6 with the node's own (a restarted Tailscale node may have new ones), "
        "and `addresses` with what it has; with transport tcp: does something listen on the target's port at the node, "
        "and do the rules there let us in? A dead node whose session has not timed out yet looks the same.",
    [REASON_NODE_UNKNOWN_PEER] =
        "Tell the node about this ingress's inner addresses: with Tailscale, Addresses and User of the ingress's entry "
        "in the node's map (docs/tailscale.md); with funnel-node, `addresses` of the ingress.",
    [REASON_OFFER_TIMEOUT] = "The node took the connection and said nothing: look at its log and load, and at the "
                             "service behind it; slow ones need a larger offer.timeout.",
    [REASON_NODE_NO_CAP] =
        "Grant https://tailscale.com/cap/ingress to the ingress's addresses in the node's packet filter, for each "
        "family (docs/tailscale.md); with an unsigned ingress no rule about ports may have it as a source.",
    [REASON_NODE_DENIED] =
        "Switch the funnel on at the node for exactly this name and port (funnel-node: a service with funnel: on; "
        "Tailscale: `tailscale funnel status`). A name of your own on a Tailscale node needs `target` in the feed.",
    [REASON_NODE_REFUSED] = "See what the node said. 502 or 503: the service behind it is down. 404: a Tailscale node "
                            "built without Funnel.",
    [REASON_NODE_PROTOCOL] = "Something else listens on this port of the node: correct peerapi4 and peerapi6 in the "
                             "feed, or use transport: tcp if the node has no peerapi.",
    [REASON_PORT_EXHAUSTED] = "Give the identity more `addresses`: each adds about 60,000 connections to a node.",
    [REASON_OUT_OF_MEMORY] = "Raise limits.buffer_memory, or give the machine more memory.",
};

const char *advice(enum reason reason)
{
    BUG_ON((size_t)reason >= ARRAY_SIZE(texts) || !texts[reason]);
    return texts[reason];
}
