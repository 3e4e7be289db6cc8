/* udp.h - UDP sockets in batches: GSO out, GRO in, the local address kept.
 *
 * SHELL. A sender collects datagrams for one destination and of one size into a train, sent as one message with UDP_SEGMENT
 * where the kernel has it, and many trains into one sendmmsg. A receiver takes many datagrams a call and splits GRO
 * trains. */
#ifndef NET_UDP_H
#define NET_UDP_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/endpoint.h"
#include "common/base/ts.h"

#define UDP_TRAIN_BYTES 65000 /* most bytes in one GSO send; the kernel's limit is 65,507 */
#define UDP_TRAIN_MAX   64    /* most segments in one GSO send (UDP_MAX_SEGMENTS of older kernels) */
#define UDP_TRAINS_MAX  64    /* sent at once */
#define UDP_BATCH_BYTES 16384 /* in trains, before the next one begins: then they are worth a call */
#define UDP_SINGLY_BITS 1024  /* two addresses that share one only lose GSO together */
#define UDP_RECV_SLOTS  8
#define UDP_SLOT_BYTES  65536

/* udp_open - a non-blocking socket bound to `at`, with packet info, big buffers, and SO_REUSEPORT if asked.
 * Returns the descriptor or a negative errno. IPv6 sockets are v6-only. */
int udp_open(const struct addrport *at, bool reuseport);
/* udp_steer - of a group of sockets that share a port, the kernel gives WireGuard's messages with a receiver index to socket
 * number (low byte of the index) mod count, in the order they were opened, and spreads all others. `fd` is any of them.
 * 0, or -errno: then all are spread, and who gets a message of another's passes it on. */
int udp_steer(int fd, unsigned count);
/* udp_local - the address it is bound to. */
int udp_local(int fd, struct addrport *out);

struct udp_receiver {
    uint8_t *buffers; /* UDP_RECV_SLOTS * UDP_SLOT_BYTES */
};
int udp_receiver_init(struct udp_receiver *r); /* 0 or ERR_NOMEM */
void udp_receiver_deinit(struct udp_receiver *r);
/* udp_receive - read what is there, at most `batches` calls; fn sees each datagram (it may change it in place).
 * Returns 1 when more may wait, 0 when drained, or a negative errno. */
int udp_receive(struct udp_receiver *r, int fd, int batches,
                void (*fn)(void *ctx, uint8_t *datagram, size_t len, const struct endpoint *from), void *ctx);

struct udp_train {
    struct endpoint to;
    size_t at, bytes; /* of the sender's buffer */
    size_t segment;   /* size of its datagrams; the last may be shorter, and ends it */
    unsigned count;
    bool singly; /* GSO failed: datagrams one by one */
};

struct udp_sender {
    int fd4, fd6;     /* -1: none */
    bool gso4, gso6;  /* try UDP_SEGMENT */
    uint64_t singly[UDP_SINGLY_BITS / 64]; /* by hashes of addresses: GSO failed on the way there */
    bool blocked;     /* the socket's buffer is full: wait for writable */
    uint8_t *buffer;  /* the trains, one behind the other, then room for one datagram more */
    size_t bytes;     /* in the trains */
    struct udp_train trains[UDP_TRAINS_MAX];
    unsigned first, end;                 /* those that are not sent; the last one may still grow */
    uint64_t sent, send_calls, failed; /* failed: datagrams the kernel refused (unreachable, filtered); WireGuard copes */
};
int udp_sender_init(struct udp_sender *s, int fd4, int fd6); /* 0 or ERR_NOMEM; descriptors stay the caller's */
void udp_sender_deinit(struct udp_sender *s);
/* udp_sender_room - where the next datagram (at most max_len bytes) is to be written. Flushes what is too full for it.
 * NULL when the socket is blocked: stop pulling until it is writable. */
uint8_t *udp_sender_room(struct udp_sender *s, size_t max_len);
/* udp_sender_commit - the datagram of len bytes at that room goes to `to`. */
void udp_sender_commit(struct udp_sender *s, size_t len, const struct endpoint *to);
/* udp_sender_flush - send what is collected. False: blocked; what is left is kept for the next flush. */
bool udp_sender_flush(struct udp_sender *s);

#endif
