/* wg_cookie.c - see the header. The macs are the last 32 bytes of a message: mac1 covers what is before both, mac2
 * covers mac1 too. */
#include "common/wg/wg_cookie.h"

#include <string.h>

#include "common/base/bytes.h"
#include "common/crypto/aead.h"
#include "common/crypto/blake2s.h"
#include "common/crypto/crypto.h"

static_assert(WG_MAC_BYTES == BLAKE2S_MAC_BYTES && WG_COOKIE_BYTES == BLAKE2S_MAC_BYTES, "one MAC makes them all");
static_assert(WG_NONCE_BYTES == XAEAD_NONCE_BYTES, "section 5.4.7");

static void labelled_key(const char label[8], const uint8_t public_key[WG_KEY_BYTES], uint8_t out[WG_KEY_BYTES])
{
    blake2s_hash(out, label, 8, public_key, WG_KEY_BYTES);
}

void wg_cookie_mac1_key(const uint8_t public_key[WG_KEY_BYTES], uint8_t out[WG_KEY_BYTES])
{
    labelled_key("mac1----", public_key, out);
}

void wg_cookie_reply_key(const uint8_t public_key[WG_KEY_BYTES], uint8_t out[WG_KEY_BYTES])
{
    labelled_key("cookie--", public_key, out);
}

static size_t before_mac1(size_t len)
{
    return len - sizeof(struct wg_macs);
}

static size_t before_mac2(size_t len)
{
    return len - WG_MAC_BYTES;
}

bool wg_cookie_mac1_ok(const struct blake2s_key *mac1_key, const uint8_t *message, size_t len)
{
    uint8_t mac1[WG_MAC_BYTES];

    blake2s_key_mac(mac1_key, mac1, message, before_mac1(len), NULL, 0);
    return crypto_equal(mac1, message + before_mac1(len), sizeof(mac1));
}

static void secret_make(const uint8_t seed[32], uint64_t period, struct blake2s_key *out)
{
    uint8_t number[8], secret[32];

    le64_put(number, period);
    blake2s_hash(secret, seed, 32, number, sizeof(number));
    blake2s_key_init(out, secret, sizeof(secret));
    crypto_wipe(secret, sizeof(secret));
}

const struct blake2s_key *wg_cookie_secret(struct wg_cookie_source *source, ts_t now, bool before)
{
    uint64_t period = now / WG_COOKIE_AGE_NS + 1;

    if (source->period != period) {
        secret_make(source->seed, period, &source->secret[0]);
        secret_make(source->seed, period - 1, &source->secret[1]);
        source->period = period;
    }
    return &source->secret[before];
}

void wg_cookie_make(const struct blake2s_key *secret, const struct addrport *from, uint8_t out[WG_COOKIE_BYTES])
{
    bool v4 = addr_is_v4(&from->addr);
    uint8_t port[2];

    be16_put(port, from->port);
    blake2s_key_mac(secret, out, v4 ? addr_v4_bytes(&from->addr) : from->addr.b, v4 ? 4 : 16, port, sizeof(port));
}

bool wg_cookie_mac2_ok(struct wg_cookie_source *source, const uint8_t *message, size_t len,
                       const struct addrport *from, ts_t now)
{
    uint8_t cookie[WG_COOKIE_BYTES], mac2[WG_MAC_BYTES];
    bool ok = false;

    if (crypto_is_zero(message + before_mac2(len), sizeof(mac2))) /* what a sender without a cookie writes */
        return false;
    for (int before = 0; before <= 1 && !ok; before++) {
        wg_cookie_make(wg_cookie_secret(source, now, before), from, cookie);
        blake2s_mac(mac2, cookie, sizeof(cookie), message, before_mac2(len), NULL, 0);
        ok = crypto_equal(mac2, message + before_mac2(len), sizeof(mac2));
    }
    crypto_wipe(cookie, sizeof(cookie));
    return ok;
}

void wg_cookie_reply_write(struct wg_cookie_message *m, uint32_t receiver, const uint8_t cookie[WG_COOKIE_BYTES],
                           const uint8_t mac1[WG_MAC_BYTES], const uint8_t reply_key[WG_KEY_BYTES],
                           const uint8_t nonce[WG_NONCE_BYTES])
{
    le32_put(m->type, WG_MESSAGE_COOKIE);
    le32_put(m->receiver, receiver);
    memcpy(m->nonce, nonce, sizeof(m->nonce));
    xaead_seal(m->sealed_cookie, cookie, WG_COOKIE_BYTES, mac1, WG_MAC_BYTES, nonce, reply_key);
}

void wg_cookie_sign(struct wg_cookie_jar *jar, const uint8_t peer_public[WG_KEY_BYTES], uint8_t *message, size_t len,
                    ts_t now)
{
    uint8_t key[WG_KEY_BYTES], *mac1 = message + before_mac1(len), *mac2 = message + before_mac2(len);

    wg_cookie_mac1_key(peer_public, key);
    blake2s_mac(mac1, key, sizeof(key), message, before_mac1(len), NULL, 0);
    memcpy(jar->mac1_sent, mac1, WG_MAC_BYTES);
    jar->asked = true;
    if (now < jar->cookie_until)
        blake2s_mac(mac2, jar->cookie, sizeof(jar->cookie), message, before_mac2(len), NULL, 0);
    else
        memset(mac2, 0, WG_MAC_BYTES);
}

bool wg_cookie_take(struct wg_cookie_jar *jar, const uint8_t peer_public[WG_KEY_BYTES],
                    const struct wg_cookie_message *m, ts_t now)
{
    uint8_t key[WG_KEY_BYTES], cookie[WG_COOKIE_BYTES];

    if (!jar->asked)
        return false;
    wg_cookie_reply_key(peer_public, key);
    bool ok = xaead_open(cookie, m->sealed_cookie, sizeof(m->sealed_cookie), jar->mac1_sent, WG_MAC_BYTES, m->nonce,
                         key);

    if (ok) {
        memcpy(jar->cookie, cookie, sizeof(cookie));
        jar->cookie_until = ts_add(now, WG_COOKIE_AGE_NS);
        jar->asked = false;
    }
    crypto_wipe(cookie, sizeof(cookie));
    return ok;
}
