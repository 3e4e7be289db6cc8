/* ts2021.h - Noise IK as coordination servers speak it: the client's handshake, and records in both directions.
 *
 * Noise_IK_25519_ChaChaPoly_BLAKE2s. Other than in WireGuard there is no preshared key, e is not mixed into the chaining
 * key, and payloads are empty. Records count their nonces big-endian, where Noise says little-endian.
 *
 *      initiation  version 2 | type 1 | length 2 | e 32 | sealed machine key 48 | tag 16
 *      response    type 1 | length 2 | e 32 | tag 16
 *      record      type 1 | length 2 | ciphertext with its tag          all lengths big-endian */
#ifndef TAILNET_TS2021_H
#define TAILNET_TS2021_H

#include <stddef.h>
#include <stdint.h>

#define TS2021_KEY_BYTES        32
#define TS2021_INITIATION_BYTES 101
#define TS2021_RESPONSE_BYTES   51
#define TS2021_HEAD_BYTES       3
#define TS2021_TAG_BYTES        16
#define TS2021_FRAME_MAX        4096
#define TS2021_PLAIN_MAX        (TS2021_FRAME_MAX - TS2021_HEAD_BYTES - TS2021_TAG_BYTES) /* 4077 */

enum ts2021_type {
    TS2021_INITIATION = 1,
    TS2021_RESPONSE = 2,
    TS2021_ERROR = 3, /* instead of a response: a text that nobody vouches for */
    TS2021_RECORD = 4,
};

struct ts2021 {
    uint8_t hash[32], chaining_key[32];           /* until the handshake is done */
    uint8_t ephemeral[32], machine[32];           /* private; likewise */
    uint8_t send_key[32], receive_key[32];        /* from then on */
    uint64_t sent, received;                      /* records */
};

/* ts2021_start - the initiation.
 * machine    our private key         server   its public key
 * ephemeral  fresh and random, private
 * version    capability version
 * Returns 0, or ERR_CRYPTO (the server's key is of low order). */
int ts2021_start(struct ts2021 *t, const uint8_t machine[TS2021_KEY_BYTES], const uint8_t server[TS2021_KEY_BYTES],
                 const uint8_t ephemeral[TS2021_KEY_BYTES], uint16_t version, uint8_t out[TS2021_INITIATION_BYTES])
    __attribute__((warn_unused_result));

/* ts2021_finish - the response; records can be sealed and opened from then on. Returns 0, or ERR_CRYPTO: not from this
 * server (or not for us), the connection is of no use. */
int ts2021_finish(struct ts2021 *t, const uint8_t response[TS2021_RESPONSE_BYTES]) __attribute__((warn_unused_result));

/* ts2021_seal - a record of len <= TS2021_PLAIN_MAX bytes into out (len + 19 bytes, which it returns). plain may lie
 * where its ciphertext goes, at out + TS2021_HEAD_BYTES. */
size_t ts2021_seal(struct ts2021 *t, uint8_t *out, const uint8_t *plain, size_t len);

/* ts2021_open - a whole frame, len bytes with its head; *plain then points into it. Returns how many bytes there are,
 * 0 included; or ERR_INVALID (not a record), ERR_CRYPTO: fatal both. */
int ts2021_open(struct ts2021 *t, uint8_t *frame, size_t len, const uint8_t **plain) __attribute__((warn_unused_result));

void ts2021_wipe(struct ts2021 *t);

/* Frames out of a stream of bytes, whatever pieces it comes in. */
struct ts2021_frames {
    size_t len;
    uint8_t bytes[TS2021_FRAME_MAX];
};

/* ts2021_frames_feed - take bytes up to the end of one frame. *used <= len are taken. Returns the length of a whole
 * frame in frames->bytes (valid until the next call), 0: more is needed, or ERR_TOO_LARGE. */
int ts2021_frames_feed(struct ts2021_frames *frames, const uint8_t *data, size_t len, size_t *used)
    __attribute__((warn_unused_result));

#endif
