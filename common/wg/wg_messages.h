/* wg_messages.h - the four messages as they lie on the wire. Every field is bytes, so a struct may be laid over a
 * datagram at any address; integers are little-endian. Sections 5.4.2, 5.4.3, 5.4.6 and 5.4.7. */
#ifndef WG_WG_MESSAGES_H
#define WG_WG_MESSAGES_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#include "common/wg/wg.h"

/* The type byte and its three zeros, read as one little-endian integer. */
enum wg_message {
    WG_MESSAGE_INITIATION = 1,
    WG_MESSAGE_RESPONSE = 2,
    WG_MESSAGE_COOKIE = 3,
    WG_MESSAGE_DATA = 4,
};

#define WG_MAC_BYTES    16
#define WG_STAMP_BYTES  12
#define WG_COOKIE_BYTES 16
#define WG_NONCE_BYTES  24

/* the last two fields of both handshake messages */
struct wg_macs {
    uint8_t mac1[WG_MAC_BYTES]; /* over everything before it: the sender knows whom it is calling */
    uint8_t mac2[WG_MAC_BYTES]; /* over everything before it, mac1 too: the sender gets what is sent to it */
};

struct wg_initiation_message {
    uint8_t type[4];
    uint8_t sender[4];
    uint8_t ephemeral[WG_KEY_BYTES];
    uint8_t sealed_static[WG_KEY_BYTES + WG_TAG_BYTES];
    uint8_t sealed_stamp[WG_STAMP_BYTES + WG_TAG_BYTES];
    struct wg_macs macs;
};

struct wg_response_message {
    uint8_t type[4];
    uint8_t sender[4];
    uint8_t receiver[4]; /* the initiation's sender */
    uint8_t ephemeral[WG_KEY_BYTES];
    uint8_t sealed_empty[WG_TAG_BYTES];
    struct wg_macs macs;
};

struct wg_cookie_message {
    uint8_t type[4];
    uint8_t receiver[4]; /* the answered message's sender */
    uint8_t nonce[WG_NONCE_BYTES];
    uint8_t sealed_cookie[WG_COOKIE_BYTES + WG_TAG_BYTES];
};

struct wg_data_message {
    uint8_t type[4];
    uint8_t receiver[4];
    uint8_t counter[8];
    uint8_t sealed[]; /* padded packet and tag */
};

static_assert(sizeof(struct wg_initiation_message) == 148, "section 5.4.2");
static_assert(sizeof(struct wg_response_message) == 92, "section 5.4.3");
static_assert(sizeof(struct wg_cookie_message) == 64, "section 5.4.7");
static_assert(sizeof(struct wg_data_message) == WG_HEADER_BYTES, "section 5.4.6");
static_assert(sizeof(struct wg_initiation_message) == WG_HANDSHAKE_BYTES_MAX, "the longest");
static_assert(offsetof(struct wg_response_message, receiver) == 8, "steering: receiver index of type 2");
static_assert(offsetof(struct wg_cookie_message, receiver) == 4, "steering: receiver index of type 3");
static_assert(offsetof(struct wg_data_message, receiver) == 4, "steering: receiver index of type 4");

#endif
