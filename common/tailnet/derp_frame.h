/* derp_frame.h - the frames of a DERP connection in bytes: type, length of the rest (big-endian), body. Pure functions.
 *
 * DERP is Tailscale's relay: packets are addressed by node key over a TLS stream. */
#ifndef TAILNET_DERP_FRAME_H
#define TAILNET_DERP_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/crypto/box.h"

#define DERP_KEY_BYTES        32
#define DERP_FRAME_HEADER     5
#define DERP_FRAME_MAX        (1u << 20) /* a longer one is no DERP */
#define DERP_PACKET_MAX       65536      /* of a packet inside a frame */
#define DERP_PING_BYTES       8
#define DERP_CLIENT_INFO_MAX  256 /* of the whole frame as we make it */
#define DERP_SEND_HEADER      (DERP_FRAME_HEADER + DERP_KEY_BYTES)

enum derp_frame_type {
    DERP_SERVER_KEY = 0x01,
    DERP_CLIENT_INFO = 0x02,
    DERP_SERVER_INFO = 0x03,
    DERP_SEND_PACKET = 0x04,
    DERP_RECV_PACKET = 0x05,
    DERP_KEEP_ALIVE = 0x06,
    DERP_NOTE_PREFERRED = 0x07,
    DERP_PEER_GONE = 0x08,
    DERP_PING = 0x12,
    DERP_PONG = 0x13,
    DERP_HEALTH = 0x14,
    DERP_RESTARTING = 0x15,
};

/* derp_frame_header_put - DERP_FRAME_HEADER bytes. derp_frame_header_get - false: longer than DERP_FRAME_MAX. */
void derp_frame_header_put(uint8_t *out, enum derp_frame_type type, size_t body_len);
bool derp_frame_header_get(const uint8_t *header, uint8_t *type, size_t *body_len);

/* derp_server_key_parse - the body of ServerKey, the first frame of a connection. */
bool derp_server_key_parse(const uint8_t *body, size_t len, uint8_t server[DERP_KEY_BYTES]);

/* derp_client_info_make - the whole ClientInfo frame: who we are, proven by the box. Returns its length.
 * shared  box_shared of our private node key and the server's key */
size_t derp_client_info_make(uint8_t out[DERP_CLIENT_INFO_MAX], const uint8_t node[DERP_KEY_BYTES],
                             const uint8_t nonce[BOX_NONCE_BYTES], const uint8_t shared[BOX_KEY_BYTES]);

/* What a server asks for; zeros: nothing. */
struct derp_server_info {
    uint64_t bytes_per_s; /* of frames that we send */
    uint64_t bytes_burst;
};
bool derp_server_info_parse(const uint8_t *body, size_t len, const uint8_t shared[BOX_KEY_BYTES],
                            struct derp_server_info *out);

/* derp_send_header_put - DERP_SEND_HEADER bytes that go before a packet of len bytes. */
void derp_send_header_put(uint8_t *out, const uint8_t destination[DERP_KEY_BYTES], size_t len);

#endif
