#include "common/crypto/box.h"

#include <sodium.h>

#include "common/base/err.h"

int box_shared(uint8_t shared[BOX_KEY_BYTES], const uint8_t private_key[BOX_KEY_BYTES],
               const uint8_t public_key[BOX_KEY_BYTES])
{
    return crypto_box_beforenm(shared, public_key, private_key) == 0 ? 0 : ERR_CRYPTO;
}

void box_seal(uint8_t *out, const uint8_t *data, size_t len, const uint8_t nonce[BOX_NONCE_BYTES],
              const uint8_t shared[BOX_KEY_BYTES])
{
    crypto_box_easy_afternm(out, data, len, nonce, shared);
}

bool box_open(uint8_t *out, const uint8_t *data, size_t len, const uint8_t nonce[BOX_NONCE_BYTES],
              const uint8_t shared[BOX_KEY_BYTES])
{
    return len >= BOX_TAG_BYTES && crypto_box_open_easy_afternm(out, data, len, nonce, shared) == 0;
}
