#include "common/net/udp.h"

#include <errno.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/bug.h"
#include "common/base/err.h"
#include "common/base/map.h"
#include "common/net/stream.h"

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif
#ifndef UDP_GRO
#define UDP_GRO 104
#endif
#ifndef SOL_UDP
#define SOL_UDP 17
#endif

#define SOCKET_BUFFER_BYTES (8 << 20) /* asked for; the kernel gives what net.core.{r,w}mem_max allow */

int udp_open(const struct addrport *at, bool reuseport)
{
    bool v4 = addr_is_v4(&at->addr);
    struct sockaddr_storage sa;
    socklen_t len = addrport_to_sockaddr(at, v4, &sa);
    int one = 1, want = SOCKET_BUFFER_BYTES;
    int fd = socket(v4 ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -errno;
    if ((reuseport && setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one)) != 0) ||
        (!v4 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one)) != 0) ||
        setsockopt(fd, v4 ? IPPROTO_IP : IPPROTO_IPV6, v4 ? IP_PKTINFO : IPV6_RECVPKTINFO, &one, sizeof(one)) != 0 ||
        bind(fd, (struct sockaddr *)&sa, len) != 0) {
        int rc = -errno;

        close(fd);
        return rc;
    }
    /* all of these make it faster only, so a refusal is fine; the FORCE variants work for root */
    if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &want, sizeof(want)) != 0)
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &want, sizeof(want));
    if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &want, sizeof(want)) != 0)
        setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &want, sizeof(want));
    setsockopt(fd, SOL_UDP, UDP_GRO, &one, sizeof(one));
    return fd;
}

/* receiver indices lie at 8 in a handshake's answer (type 2), at 4 in cookie replies and data (3, 4); WireGuard,
 * sections 5.4.3, 5.4.6, 5.4.7. The type is a byte and three zeros. What the program returns beyond the group's size
 * the kernel takes as "no opinion": it goes by the hash of addresses and ports. */
int udp_steer(int fd, unsigned count)
{
    struct sock_filter program[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_LEN, 0),
        BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, 12, 0, 9), /* shorter: spread */
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0x04000000, 4, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0x03000000, 3, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0x02000000, 0, 5), /* another: spread */
        BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 8),
        BPF_STMT(BPF_JMP | BPF_JA, 1),
        BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 4),
        BPF_STMT(BPF_ALU | BPF_MOD | BPF_K, count),
        BPF_STMT(BPF_RET | BPF_A, 0),
        BPF_STMT(BPF_RET | BPF_K, UINT32_MAX), /* spread */
    };
    struct sock_fprog attach = {.len = sizeof(program) / sizeof(program[0]), .filter = program};

    return setsockopt(fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &attach, sizeof(attach)) == 0 ? 0 : -errno;
}

int udp_local(int fd, struct addrport *out)
{
    return stream_local(fd, out);
}

int udp_receiver_init(struct udp_receiver *r)
{
    r->buffers = malloc((size_t)UDP_RECV_SLOTS * UDP_SLOT_BYTES);
    return r->buffers ? 0 : ERR_NOMEM;
}

void udp_receiver_deinit(struct udp_receiver *r)
{
    free(r->buffers);
    r->buffers = NULL;
}

union control {
    struct cmsghdr align;
    uint8_t space[CMSG_SPACE(sizeof(struct in6_pktinfo)) + CMSG_SPACE(sizeof(int))];
};

/* the local address and, for a train, the size of its datagrams */
static void read_control(struct msghdr *msg, struct addr *local, size_t *segment)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
        if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
            struct in_pktinfo info;

            memcpy(&info, CMSG_DATA(c), sizeof(info));
            *local = addr_v4((const uint8_t *)&info.ipi_addr); /* where it was sent to */
        } else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
            struct in6_pktinfo info;

            memcpy(&info, CMSG_DATA(c), sizeof(info));
            *local = addr_v6(info.ipi6_addr.s6_addr);
        } else if (c->cmsg_level == SOL_UDP && c->cmsg_type == UDP_GRO) {
            int size;

            memcpy(&size, CMSG_DATA(c), sizeof(size));
            if (size > 0)
                *segment = (size_t)size;
        }
    }
}

int udp_receive(struct udp_receiver *r, int fd, int batches,
                void (*fn)(void *ctx, uint8_t *datagram, size_t len, const struct endpoint *from), void *ctx)
{
    struct mmsghdr msgs[UDP_RECV_SLOTS];
    struct iovec iov[UDP_RECV_SLOTS];
    struct sockaddr_storage names[UDP_RECV_SLOTS];
    union control controls[UDP_RECV_SLOTS];

    while (batches-- > 0) {
        for (int i = 0; i < UDP_RECV_SLOTS; i++) {
            iov[i] = (struct iovec){r->buffers + (size_t)i * UDP_SLOT_BYTES, UDP_SLOT_BYTES};
            msgs[i].msg_hdr = (struct msghdr){.msg_name = &names[i],
                                              .msg_namelen = sizeof(names[i]),
                                              .msg_iov = &iov[i],
                                              .msg_iovlen = 1,
                                              .msg_control = &controls[i],
                                              .msg_controllen = sizeof(controls[i])};
        }
        int n = recvmmsg(fd, msgs, UDP_RECV_SLOTS, MSG_DONTWAIT, NULL);

        if (n < 0) {
            if (errno == EAGAIN)
                return 0;
            if (errno == EINTR || errno == ECONNREFUSED || errno == EHOSTUNREACH || errno == ENETUNREACH)
                continue; /* an ICMP error of something sent before */
            return -errno;
        }
        for (int i = 0; i < n; i++) {
            struct endpoint from = {.kind = ENDPOINT_UDP};
            size_t len = msgs[i].msg_len, segment = len;
            uint8_t *data = iov[i].iov_base;

            if (msgs[i].msg_hdr.msg_flags & MSG_TRUNC)
                continue;
            addrport_from_sockaddr((struct sockaddr *)&names[i], &from.remote);
            read_control(&msgs[i].msg_hdr, &from.local, &segment);
            for (size_t at = 0; at < len; at += segment)
                fn(ctx, data + at, MIN(segment, len - at), &from);
        }
        if (n < UDP_RECV_SLOTS)
            return 0;
    }
    return 1;
}

int udp_sender_init(struct udp_sender *s, int fd4, int fd6)
{
    *s = (struct udp_sender){.fd4 = fd4, .fd6 = fd6, .gso4 = true, .gso6 = true};
    s->buffer = malloc((size_t)UDP_BATCH_BYTES + UDP_TRAIN_BYTES + UDP_SLOT_BYTES);
    return s->buffer ? 0 : ERR_NOMEM;
}

void udp_sender_deinit(struct udp_sender *s)
{
    free(s->buffer);
    s->buffer = NULL;
}

/* address, local address to answer from, and the train's segment size; 0: it is a single datagram */
static void fill(const struct endpoint *to, struct msghdr *msg, struct sockaddr_storage *sa, union control *control,
                 uint16_t segment)
{
    bool v4 = addr_is_v4(&to->remote.addr);
    size_t used = 0;

    memset(control, 0, sizeof(*control));
    *msg = (struct msghdr){.msg_name = sa, .msg_namelen = addrport_to_sockaddr(&to->remote, v4, sa)};
    msg->msg_control = control;
    msg->msg_controllen = sizeof(*control);
    struct cmsghdr *c = CMSG_FIRSTHDR(msg);

    if (!addr_is_none(&to->local) && v4) {
        struct in_pktinfo info = {0};

        memcpy(&info.ipi_spec_dst, addr_v4_bytes(&to->local), 4);
        c->cmsg_level = IPPROTO_IP;
        c->cmsg_type = IP_PKTINFO;
        c->cmsg_len = CMSG_LEN(sizeof(info));
        memcpy(CMSG_DATA(c), &info, sizeof(info));
        used += CMSG_SPACE(sizeof(info));
    } else if (!addr_is_none(&to->local)) {
        struct in6_pktinfo info = {0};

        memcpy(&info.ipi6_addr, to->local.b, 16);
        c->cmsg_level = IPPROTO_IPV6;
        c->cmsg_type = IPV6_PKTINFO;
        c->cmsg_len = CMSG_LEN(sizeof(info));
        memcpy(CMSG_DATA(c), &info, sizeof(info));
        used += CMSG_SPACE(sizeof(info));
    }
    if (segment) {
        c = (struct cmsghdr *)(control->space + used);
        c->cmsg_level = SOL_UDP;
        c->cmsg_type = UDP_SEGMENT;
        c->cmsg_len = CMSG_LEN(sizeof(segment));
        memcpy(CMSG_DATA(c), &segment, sizeof(segment));
        used += CMSG_SPACE(sizeof(segment));
    }
    msg->msg_controllen = used;
    if (used == 0)
        msg->msg_control = NULL;
}

static bool is_v4(const struct udp_train *train)
{
    return addr_is_v4(&train->to.remote.addr);
}

/* of the address alone: what a route is chosen by. Without a secret, since a collision costs no more than GSO */
static unsigned singly_bit(const struct endpoint *to)
{
    static const struct map_seed open;

    return map_hash(&open, &to->remote.addr, sizeof(to->remote.addr)) % UDP_SINGLY_BITS;
}

static bool goes_singly(const struct udp_sender *s, const struct endpoint *to)
{
    unsigned bit = singly_bit(to);

    return !(addr_is_v4(&to->remote.addr) ? s->gso4 : s->gso6) || (s->singly[bit / 64] >> bit % 64 & 1);
}

static void go_singly(struct udp_sender *s, struct udp_train *train)
{
    unsigned bit = singly_bit(&train->to);

    s->singly[bit / 64] |= (uint64_t)1 << bit % 64;
    train->singly = true;
}

/* the first `datagrams` of the train that is due have left, or never will */
static void leave(struct udp_sender *s, unsigned datagrams)
{
    struct udp_train *train = &s->trains[s->first];
    size_t bytes = MIN(datagrams * train->segment, train->bytes);

    train->at += bytes;
    train->bytes -= bytes;
    train->count -= datagrams;
    s->first += train->count == 0;
    if (s->first == s->end)
        s->first = s->end = s->bytes = 0;
}

/* One sendmmsg for the trains that are due, as far as they use the same socket: a message for each with GSO, else one for
 * each datagram. What left is taken out; 0, or -errno about the first message. */
static int send_some(struct udp_sender *s, bool v4)
{
    struct mmsghdr msgs[UDP_TRAINS_MAX];
    struct iovec iov[UDP_TRAINS_MAX];
    struct sockaddr_storage names[UDP_TRAINS_MAX];
    union control controls[UDP_TRAINS_MAX];
    unsigned datagrams[UDP_TRAINS_MAX], n = 0;

    for (unsigned i = s->first; i < s->end && is_v4(&s->trains[i]) == v4; i++) {
        const struct udp_train *train = &s->trains[i];
        size_t step = train->singly ? train->segment : train->bytes;

        for (size_t at = 0; at < train->bytes && n < UDP_TRAINS_MAX; at += step, n++) {
            datagrams[n] = train->singly ? 1 : train->count;
            iov[n] = (struct iovec){s->buffer + train->at + at, MIN(step, train->bytes - at)};
            fill(&train->to, &msgs[n].msg_hdr, &names[n], &controls[n],
                 datagrams[n] > 1 ? (uint16_t)train->segment : 0);
            msgs[n].msg_hdr.msg_iov = &iov[n];
            msgs[n].msg_hdr.msg_iovlen = 1;
        }
    }
    s->send_calls++;
    int sent = sendmmsg(v4 ? s->fd4 : s->fd6, msgs, n, MSG_DONTWAIT);

    if (sent < 0)
        return -errno;
    for (unsigned i = 0; i < MIN((unsigned)sent, n); i++) {
        s->sent += datagrams[i];
        leave(s, datagrams[i]);
    }
    return 0;
}

bool udp_sender_flush(struct udp_sender *s)
{
    while (s->first < s->end) {
        struct udp_train *train = &s->trains[s->first];
        bool v4 = is_v4(train);
        int rc = (v4 ? s->fd4 : s->fd6) < 0 ? -EAFNOSUPPORT : send_some(s, v4);

        if (rc == -EAGAIN || rc == -ENOBUFS) {
            s->blocked = true;
            return false;
        }
        if (rc == 0 || rc == -EINTR)
            continue;
        if ((rc == -EIO || rc == -EINVAL || rc == -EOPNOTSUPP || rc == -EMSGSIZE) && !train->singly &&
            train->count > 1) {
            go_singly(s, train); /* its device has no checksums, or its MTU is smaller: no matter of other ways */
            continue;
        }
        unsigned refused = train->singly ? 1 : train->count;

        s->failed += refused;
        leave(s, refused);
    }
    s->blocked = false;
    return true;
}

uint8_t *udp_sender_room(struct udp_sender *s, size_t max_len)
{
    BUG_ON(max_len > UDP_SLOT_BYTES);
    if (s->blocked && !udp_sender_flush(s))
        return NULL;
    if (s->end == UDP_TRAINS_MAX || (s->end > 0 && s->trains[s->end - 1].bytes + max_len > UDP_TRAIN_BYTES))
        if (!udp_sender_flush(s))
            return NULL;
    return s->buffer + s->bytes;
}

static bool same_endpoint(const struct endpoint *a, const struct endpoint *b)
{
    return addrport_equal(&a->remote, &b->remote) && addr_equal(&a->local, &b->local);
}

/* can it grow by a datagram of this length: none in it is longer or, but for the last, shorter */
static bool takes(const struct udp_train *train, size_t len, const struct endpoint *to)
{
    return train->count < UDP_TRAIN_MAX && train->bytes == train->count * train->segment && len <= train->segment &&
           same_endpoint(&train->to, to);
}

void udp_sender_commit(struct udp_sender *s, size_t len, const struct endpoint *to)
{
    BUG_ON(len == 0 || len > UDP_SLOT_BYTES);
    if (s->first == s->end || !takes(&s->trains[s->end - 1], len, to)) {
        if (s->bytes >= UDP_BATCH_BYTES) {
            uint8_t *datagram = s->buffer + s->bytes;

            if (udp_sender_flush(s)) /* else it stays where it is, and there is no room for another */
                memmove(s->buffer, datagram, len);
        }
        s->trains[s->end++] = (struct udp_train){
            .to = *to, .at = s->bytes, .segment = len, .singly = goes_singly(s, to)};
    }
    struct udp_train *train = &s->trains[s->end - 1];

    train->bytes += len;
    train->count++;
    s->bytes += len;
}
