/* tsmp.h - the one message of Tailscale's TSMP (IP protocol 99) that matters here: "your connection was refused".
 *
 * A stock node sends it when its packet filter drops a SYN. Only the refusal is read; everything else is ignored. */
#ifndef TUNNEL_TSMP_H
#define TUNNEL_TSMP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TSMP_PROTOCOL 99

struct tsmp_refusal {
    uint16_t source_port;      /* of the refused connection, ours */
    uint16_t destination_port; /* the node's */
    char reason;               /* 'A' by ACL, 'S' shields up, ... for the log */
};

/* tsmp_refusal_parse - the payload of a packet of protocol 99. False: not a refusal of a TCP connection. */
bool tsmp_refusal_parse(const uint8_t *payload, size_t len, struct tsmp_refusal *out);

#endif
