/* secure_stream.h - a client's byte stream to a host, plain or in TLS: name or address to connected, bytes both ways,
 * and the reason when it ends. SHELL.
 *
 *      secure_stream_new --dial, handshake--> connected --readable, writable--> closed --secure_stream_free
 *
 * Bytes are pulled (secure_stream_read) and pushed (secure_stream_write) by the owner; events say when that has a
 * point. All events come out of the loop, never from inside a call of the owner's. Every call, secure_stream_free too,
 * is allowed from inside an event. */
#ifndef NET_SECURE_STREAM_H
#define NET_SECURE_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/net/resolver.h"

#define SECURE_STREAM_PIN       32                 /* bytes of a SHA-256 */
#define SECURE_STREAM_QUEUE_MAX ((size_t)64 << 10) /* bytes that wait to be sent */

struct secure_stream;
struct ssl_ctx_st;

enum secure_stream_verify {
    SECURE_STREAM_VERIFY = 0, /* the chain, by the context's authorities, and the name. RFC 9525 */
    SECURE_STREAM_PINNED,     /* the leaf certificate's SHA-256 (of its DER) and nothing else */
    SECURE_STREAM_UNVERIFIED, /* nothing: for tests, and for servers whose protocol authenticates them itself */
};

/* Where to, and as what. What it points to is copied, or counted. */
struct secure_stream_to {
    const char *host;         /* to connect to: a name, or an address as text without brackets */
    const struct addr *addrs; /* its addresses, where they are known already; NULL: looked up */
    size_t addrs_count;
    uint16_t port;
    struct ssl_ctx_st *tls;  /* tls_client_new's; NULL: plain */
    const char *name;        /* asked for (SNI); NULL: host. An address is not sent. RFC 6066 section 3 */
    const char *verify_name; /* what the certificate must be for; NULL: name */
    enum secure_stream_verify verify;
    uint8_t pin[SECURE_STREAM_PIN]; /* with PINNED */
    uint64_t timeout_ns;            /* until connected, all together */
};

struct secure_stream_events {
    /* the handshake is done, and the server is who it should be */
    void (*connected)(void *ctx, ts_t now);
    /* bytes wait: read some or all of them, or pause. Repeated each turn while some are left */
    void (*readable)(void *ctx, ts_t now);
    /* half of the queue is free again, after a write that was cut short. NULL: not wanted */
    void (*writable)(void *ctx, ts_t now);
    /* it is over, nothing follows; secure_stream_free remains to be called. why: for people, borrowed for the call;
     * NULL: the peer ended it in order, and everything was read. Comes instead of `connected` when that failed */
    void (*closed)(void *ctx, const char *why, ts_t now);
};

/* secure_stream_new - begin. NULL: out of memory. events and ctx are borrowed until secure_stream_free. */
struct secure_stream *secure_stream_new(struct loop *loop, struct resolver *resolver, const struct secure_stream_to *to,
                                        const struct secure_stream_events *events, void *ctx, ts_t now);

/* secure_stream_read - up to cap bytes that are there now; 0: none, or it has ended (`closed` follows). */
size_t secure_stream_read(struct secure_stream *s, void *out, size_t cap);

/* secure_stream_write - bytes into the queue and from there to the peer; allowed before `connected`, too. Returns how
 * many were taken; less than len: the queue is full, and `writable` follows. After the peer stopped listening all bytes
 * are taken and dropped: what it said before is still to be read, and then `closed` comes. */
size_t secure_stream_write(struct secure_stream *s, const void *data, size_t len);

/* secure_stream_pause, secure_stream_resume - no `readable` until resumed: what the peer sends waits in the kernel, and
 * then with the peer. An end of the stream waits too. */
void secure_stream_pause(struct secure_stream *s);
void secure_stream_resume(struct secure_stream *s);

/* secure_stream_peer - the address connected to, as text; "" before. Borrowed until the next call. */
const char *secure_stream_peer(struct secure_stream *s);

/* secure_stream_free - end it at once, whatever its state; no event follows. What is queued and not sent is lost. NULL
 * allowed. The memory goes with the loop's next turns. */
void secure_stream_free(struct secure_stream *s);

#endif
