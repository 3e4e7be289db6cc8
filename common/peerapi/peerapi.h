/* peerapi.h - the offer: how an ingress asks a node to take a visitor's connection, and how the node answers.
 *
 *     ingress                                     node
 *     POST /v0/ingress HTTP/1.1        ------>
 *     Host: peer
 *     Tailscale-Ingress-Src: visitor's address
 *     Tailscale-Ingress-Target: name:port
 *     Content-Length: 0
 *                                      <------    HTTP/1.1 101 Switching Protocols
 *     the visitor's bytes, both ways   <----->    or a refusal, after which the connection can be used again
 *
 * This is the interface of Tailscale's Funnel as unmodified nodes speak it (tailscale.com 1.102, ipn/ipnlocal:
 * handleServeIngress, validatePeerAPIRequest). One thing is added: a funnel-node may put `Funnel-Half-Close: propagate`
 * into its 101 to say that it passes an end-of-file on as one, where stock nodes end both directions.
 *
 * Both sides are readers fed with bytes, and writers into the caller's buffer. */
#ifndef PEERAPI_PEERAPI_H
#define PEERAPI_PEERAPI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/addr.h"
#include "common/http/http.h"

#define PEERAPI_NAME_MAX 253 /* longest name in a target */

/* ---- the ingress: request and answer ---- */

#define PEERAPI_REQUEST_BYTES 512 /* always enough for peerapi_request_write */

/* peerapi_request_write - the whole request. No byte of the stream may be sent before PEERAPI_ACCEPTED: stock nodes
 * throw away what arrives with the request.
 * src           the visitor
 * target_name   name_len bytes, any case; written in lower case, for nodes compare it as text
 * Returns its length (no terminating zero); 0 when it does not fit, or the name is empty, longer than PEERAPI_NAME_MAX
 * or holds what does not belong into a host name (it may come from a feed: no line ends get through here). */
size_t peerapi_request_write(char *out, size_t cap, const struct addrport *src, const char *target_name,
                             size_t name_len, uint16_t target_port);

enum peerapi_verdict {
    PEERAPI_NEED_MORE = 0,
    PEERAPI_ACCEPTED, /* 101: what follows is the stream */
    PEERAPI_NO_CAP,   /* 403 "denied; no ingress cap": the node does not let us offer (over this address family) */
    PEERAPI_DENIED,   /* 403 "denied": the node does not funnel this target */
    PEERAPI_REFUSED,  /* any other 4xx or 5xx */
    PEERAPI_PROTOCOL, /* no HTTP, another status, too large, or ended too early */
};

const char *peerapi_verdict_name(enum peerapi_verdict verdict);

#define PEERAPI_ANSWER_MAX 4096 /* bytes of an answer, head and body */
#define PEERAPI_REASON_MAX 80   /* bytes of a refusal's body kept for the log */

/* An answer being read. It points into itself: don't move it after peerapi_answer_init. */
struct peerapi_answer {
    bool half_close_propagate; /* with PEERAPI_ACCEPTED */
    bool keep_alive;           /* after a refusal: another request may follow on this connection */
    unsigned status;           /* 0 until the head is known */
    size_t bytes;              /* used so far. 0 at the end of a connection: closed without a word */
    char reason[PEERAPI_REASON_MAX]; /* of a refusal, the start of its body without line ends. Text of a stranger */
    size_t reason_len;

    enum peerapi_verdict verdict; /* private: given, and final */
    bool head;                    /* private: seen */
    struct http_reader http;      /* private */
    char store[PEERAPI_ANSWER_MAX];
};

void peerapi_answer_init(struct peerapi_answer *a);

/* peerapi_answer_feed - bytes from the node. *used says how many belonged to the answer: with PEERAPI_ACCEPTED the
 * rest of the data is stream, after a refusal it should be nothing (else keep_alive is false). Verdicts are final. */
enum peerapi_verdict peerapi_answer_feed(struct peerapi_answer *a, const void *data, size_t len, size_t *used);

/* peerapi_answer_end - the node ended the connection: a refusal whose body ends so, or PEERAPI_PROTOCOL. */
enum peerapi_verdict peerapi_answer_end(struct peerapi_answer *a);

/* ---- the node: offer and reply ---- */

/* What a node answers instead of 101: status, reason phrase, body, and whether the connection must be closed after.
 * Texts of the first nine are a stock node's, of the next three its HTTP server's. BACKEND is ours: the target is
 * funnelled, but what stands behind it can't be reached. */
#define PEERAPI_REFUSAL_MAP(X)                                                                                         \
    X(REQUEST, 403, "Forbidden", "invalid peerapi request\n", false)                                                   \
    X(PATH, 404, "Not Found", "unsupported peerapi path\n", false)                                                     \
    X(NO_CAP, 403, "Forbidden", "denied; no ingress cap\n", false)                                                     \
    X(METHOD, 405, "Method Not Allowed", "only POST allowed\n", false)                                                 \
    X(SRC_MISSING, 400, "Bad Request", "Tailscale-Ingress-Src header not set\n", false)                                \
    X(SRC_INVALID, 400, "Bad Request", "Tailscale-Ingress-Src header invalid; want ip:port\n", false)                  \
    X(TARGET_MISSING, 400, "Bad Request", "Tailscale-Ingress-Target header not set\n", false)                          \
    X(TARGET_INVALID, 400, "Bad Request", "Tailscale-Ingress-Target header invalid; want host:port\n", false)          \
    X(DENIED, 403, "Forbidden", "denied\n", false)                                                                     \
    X(HOST_MISSING, 400, "Bad Request", "400 Bad Request: missing required Host header", true)                         \
    X(MALFORMED, 400, "Bad Request", "400 Bad Request", true)                                                          \
    X(TOO_LARGE, 431, "Request Header Fields Too Large", "431 Request Header Fields Too Large", true)                  \
    X(BACKEND, 502, "Bad Gateway", "backend unreachable\n", false)

enum peerapi_refusal {
#define X(name, status, phrase, body, close) PEERAPI_REFUSE_##name,
    PEERAPI_REFUSAL_MAP(X)
#undef X
    PEERAPI_REFUSAL_COUNT
};

enum peerapi_offer_result {
    PEERAPI_OFFER_NEED_MORE = 0,
    PEERAPI_OFFER_OK,     /* well formed; whether the target is funnelled is the caller's question */
    PEERAPI_OFFER_REFUSE, /* to be answered with `refusal` */
};

#define PEERAPI_OFFER_MAX 4096 /* bytes of a request's head */

/* A request being read. It points into itself: don't move it after peerapi_offer_init. */
struct peerapi_offer {
    struct addrport src;   /* PEERAPI_OFFER_OK: the visitor, as the ingress says */
    const char *name;      /* PEERAPI_OFFER_OK: the target's name as sent (stock nodes compare it by case);
                              zero-terminated, valid as long as the offer */
    uint16_t port;         /* PEERAPI_OFFER_OK: 1 to 65535 */
    enum peerapi_refusal refusal; /* PEERAPI_OFFER_REFUSE */
    bool keep_alive;       /* after a refusal, ours or the caller's, the connection may carry another request */
    bool early_data;       /* PEERAPI_OFFER_OK: bytes of a body or a stream were fed behind the head, before our 101.
                              They are not counted in *used. A stock node drops them: the caller should as well */

    const struct addr *own; /* private */
    size_t own_count;
    bool may_offer;
    enum peerapi_offer_result result;
    struct http_reader http;
    char store[PEERAPI_OFFER_MAX];
    char target[PEERAPI_NAME_MAX + 1];
};

/* peerapi_offer_init - ready for one request.
 * own         addresses of this node that a Host may name; borrowed as long as the offer
 * may_offer   whether the peer at the other end is allowed to offer connections (a stock node's ingress capability) */
void peerapi_offer_init(struct peerapi_offer *o, const struct addr *own, size_t own_count, bool may_offer);

/* peerapi_offer_feed - bytes from the ingress. *used: how many belonged to the request's head. Results are final;
 * after a refusal with keep_alive a new peerapi_offer_init takes the next request, with the bytes not used.
 * Checks come in a stock node's order: Host, Origin and Referer; path; may_offer; method; source; target. */
enum peerapi_offer_result peerapi_offer_feed(struct peerapi_offer *o, const void *data, size_t len, size_t *used);

#define PEERAPI_REPLY_BYTES 320 /* always enough for the two writers below */

/* peerapi_accept_write - the 101. With propagate == false exactly the 36 bytes of a stock node.
 * Returns its length; 0 when it does not fit. */
size_t peerapi_accept_write(char *out, size_t cap, bool propagate);

/* peerapi_refuse_write - the refusal. keep_alive: as peerapi_offer_feed left it; false adds `Connection: close`.
 * Returns its length; 0 when it does not fit. */
size_t peerapi_refuse_write(char *out, size_t cap, enum peerapi_refusal refusal, bool keep_alive);

#endif
