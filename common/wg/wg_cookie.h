/* wg_cookie.h - mac1, mac2 and cookies, for both sides of the exchange. Section 5.3, 5.4.4, 5.4.7.
 *
 * Whoever answers makes cookies without keeping any: a cookie is a MAC of the source under a secret that changes every
 * two minutes. The secret itself is a hash of a seed and the number of the two-minute period, so all workers (and the
 * server an upgrade replaces) that share seed and clock agree without talking. Whoever asks keeps one cookie a peer. */
#ifndef WG_WG_COOKIE_H
#define WG_WG_COOKIE_H

#include <stdbool.h>

#include "common/crypto/blake2s.h"
#include "common/wg/wg_messages.h"

#define WG_COOKIE_AGE_NS (120 * TS_S) /* section 6.6 */

/* wg_cookie_mac1_key, wg_cookie_reply_key - what follows from the static key of whoever receives the handshake. */
void wg_cookie_mac1_key(const uint8_t public_key[WG_KEY_BYTES], uint8_t out[WG_KEY_BYTES]);
void wg_cookie_reply_key(const uint8_t public_key[WG_KEY_BYTES], uint8_t out[WG_KEY_BYTES]);

/* wg_cookie_mac1_ok - is this handshake message (len bytes, macs last) meant for the owner of the key? */
bool wg_cookie_mac1_ok(const struct blake2s_key *mac1_key, const uint8_t *message, size_t len);

/* --- whoever answers --- */

struct wg_cookie_source {
    uint8_t seed[32];
    uint64_t period;              /* that the secrets are of; 0: not made yet */
    struct blake2s_key secret[2]; /* [1]: of the period before */
};

/* wg_cookie_secret - the secret of the period that holds `now`, or of the one before; good for the moment. */
const struct blake2s_key *wg_cookie_secret(struct wg_cookie_source *source, ts_t now, bool before);

/* wg_cookie_make - the cookie of a source address: MAC(secret, 4 or 16 address bytes, port in network order). */
void wg_cookie_make(const struct blake2s_key *secret, const struct addrport *from, uint8_t out[WG_COOKIE_BYTES]);

/* wg_cookie_mac2_ok - does the message carry a mac2 by a cookie that `from` was given lately? Cookies of the present
 * and the previous period count, so that none goes stale on its way. */
bool wg_cookie_mac2_ok(struct wg_cookie_source *source, const uint8_t *message, size_t len,
                       const struct addrport *from, ts_t now);

/* wg_cookie_reply_write - the reply that carries a cookie to the sender of a message with this mac1 and index. */
void wg_cookie_reply_write(struct wg_cookie_message *m, uint32_t receiver, const uint8_t cookie[WG_COOKIE_BYTES],
                           const uint8_t mac1[WG_MAC_BYTES], const uint8_t reply_key[WG_KEY_BYTES],
                           const uint8_t nonce[WG_NONCE_BYTES]);

/* --- whoever asks --- */

struct wg_cookie_jar {
    bool asked;                      /* a mac1 was sent and no cookie taken for it yet: the kernel's rule, one each */
    uint8_t mac1_sent[WG_MAC_BYTES]; /* the last one */
    uint8_t cookie[WG_COOKIE_BYTES];
    ts_t cookie_until; /* 0: none held */
};

/* wg_cookie_sign - fill in both macs of a handshake message to this peer. */
void wg_cookie_sign(struct wg_cookie_jar *jar, const uint8_t peer_public[WG_KEY_BYTES], uint8_t *message, size_t len,
                    ts_t now);

/* wg_cookie_take - keep the cookie of a reply. False: it answers nothing we sent. Nothing is sent again at once: the
 * next try by the ordinary timer carries a mac2. */
bool wg_cookie_take(struct wg_cookie_jar *jar, const uint8_t peer_public[WG_KEY_BYTES],
                    const struct wg_cookie_message *m, ts_t now);

#endif
