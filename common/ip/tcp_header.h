/* tcp_header.h - TCP headers with the options in use today, between bytes and a struct.
 *
 * RFC 9293 section 3.1; window scale and timestamps RFC 7323; SACK RFC 2018. Unknown options are skipped. */
#ifndef IP_TCP_HEADER_H
#define IP_TCP_HEADER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TCP_HEADER_MIN     20
#define TCP_HEADER_MAX     60
#define TCP_TIMESTAMP_LEN  12 /* the option with its padding */
#define TCP_SACK_BLOCKS    4  /* most that fit; three beside timestamps */
#define TCP_WINDOW_SHIFT_MAX 14

enum tcp_flag {
    TCP_FIN = 0x01,
    TCP_SYN = 0x02,
    TCP_RST = 0x04,
    TCP_PSH = 0x08,
    TCP_ACK = 0x10,
    TCP_URG = 0x20,
    TCP_ECE = 0x40,
    TCP_CWR = 0x80,
};

struct tcp_sack_block {
    uint32_t start, end; /* sequence numbers, end exclusive */
};

struct tcp_header {
    uint16_t src_port, dst_port;
    uint32_t seq, ack; /* ack is meaningful with TCP_ACK only */
    uint8_t flags;     /* enum tcp_flag */
    uint16_t window;   /* as on the wire, not scaled */
    uint16_t mss;      /* 0: no such option */
    bool has_window_shift;
    bool sack_permitted;
    bool has_timestamp;
    uint8_t window_shift; /* <= TCP_WINDOW_SHIFT_MAX */
    uint8_t sack_count;
    uint32_t ts_value, ts_echo;
    struct tcp_sack_block sack[TCP_SACK_BLOCKS];
};

/* tcp_header_parse - read a segment's header; *payload points into p. The checksum is the caller's.
 * Returns 0, ERR_TRUNCATED or ERR_INVALID (header or option lengths that can't be). */
int tcp_header_parse(const uint8_t *p, size_t len, struct tcp_header *out, const uint8_t **payload,
                     size_t *payload_len);

/* tcp_header_len - bytes tcp_header_write will need: a multiple of 4, at most TCP_HEADER_MAX. */
size_t tcp_header_len(const struct tcp_header *h);

/* tcp_header_write - the header with its options and checksum zero; returns its length. At most three SACK blocks are
 * written beside a timestamp. */
size_t tcp_header_write(const struct tcp_header *h, uint8_t *out);

/* tcp_checksum_put - store the checksum of a finished segment; pseudo is ip_pseudo_sum's. */
void tcp_checksum_put(uint8_t *segment, size_t len, uint64_t pseudo);

#endif
