#include "common/tailnet/disco.h"

#include <string.h>

#include "common/base/bug.h"
#include "common/base/cursor.h"

#define MAGIC_BYTES    6
#define ENDPOINT_BYTES 18
/* The largest plaintext that is looked into: pings probe path MTUs with up to 9,000 bytes of zeros behind them. */
#define PLAINTEXT_MAX 9216

static const uint8_t magic[MAGIC_BYTES] = {'T', 'S', 0xf0, 0x9f, 0x92, 0xac};

bool disco_looks_like(const uint8_t *d, size_t len)
{
    return len >= DISCO_HEADER_BYTES && memcmp(d, magic, MAGIC_BYTES) == 0;
}

const uint8_t *disco_sender(const uint8_t *datagram)
{
    return datagram + MAGIC_BYTES;
}

/* IPv4 comes as its mapped form, which is how struct addr keeps it */
static struct addrport endpoint_get(struct cursor *c)
{
    const uint8_t *bytes = cursor_take(c, 16);
    struct addrport at = {.port = cursor_be16(c)};

    if (bytes)
        at.addr = addr_v6(bytes);
    return at;
}

static uint8_t *endpoint_put(uint8_t *at, const struct addrport *e)
{
    memcpy(at, e->addr.b, sizeof(e->addr.b));
    be16_put(at + 16, e->port);
    return at + ENDPOINT_BYTES;
}

static void call_me_maybe_get(struct cursor *c, uint8_t version, struct disco_message *out)
{
    size_t left = cursor_left(c);

    if (version != 0 || left % ENDPOINT_BYTES != 0)
        return; /* counts as an empty list */
    while (cursor_left(c) > 0 && out->endpoints_count < DISCO_ENDPOINTS_MAX)
        out->endpoints[out->endpoints_count++] = endpoint_get(c);
}

static void txid_get(struct cursor *c, struct disco_message *out)
{
    const uint8_t *txid = cursor_take(c, DISCO_TXID_BYTES);

    if (txid)
        memcpy(out->txid, txid, DISCO_TXID_BYTES);
}

bool disco_parse(const uint8_t *plaintext, size_t len, struct disco_message *out)
{
    struct cursor c;

    *out = (struct disco_message){.type = DISCO_OTHER};
    cursor_init(&c, plaintext, len);
    uint8_t type = cursor_u8(&c), version = cursor_u8(&c);

    switch (type) {
    case DISCO_PING:
        out->type = DISCO_PING;
        txid_get(&c, out);
        out->has_node_key = cursor_ok(&c) && cursor_left(&c) >= DISCO_KEY_BYTES;
        if (out->has_node_key)
            memcpy(out->node_key, cursor_take(&c, DISCO_KEY_BYTES), DISCO_KEY_BYTES);
        break;
    case DISCO_PONG:
        out->type = DISCO_PONG;
        txid_get(&c, out);
        out->source = endpoint_get(&c);
        break;
    case DISCO_CALL_ME_MAYBE:
        out->type = DISCO_CALL_ME_MAYBE;
        call_me_maybe_get(&c, version, out);
        break;
    default:
        break;
    }
    return cursor_ok(&c);
}

bool disco_open(const uint8_t *datagram, size_t len, const uint8_t shared[BOX_KEY_BYTES], struct disco_message *out)
{
    uint8_t plaintext[PLAINTEXT_MAX];

    BUG_ON(!disco_looks_like(datagram, len));
    const uint8_t *nonce = datagram + MAGIC_BYTES + DISCO_KEY_BYTES;
    size_t box_len = len - DISCO_HEADER_BYTES;

    return box_len <= sizeof(plaintext) + BOX_TAG_BYTES &&
           box_open(plaintext, datagram + DISCO_HEADER_BYTES, box_len, nonce, shared) &&
           disco_parse(plaintext, box_len - BOX_TAG_BYTES, out);
}

static size_t write_plaintext(uint8_t *out, const struct disco_message *m)
{
    uint8_t *at = out + 2;

    out[0] = (uint8_t)m->type;
    out[1] = 0;
    if (m->type == DISCO_PING || m->type == DISCO_PONG) {
        memcpy(at, m->txid, DISCO_TXID_BYTES);
        at += DISCO_TXID_BYTES;
    }
    if (m->type == DISCO_PING && m->has_node_key) {
        memcpy(at, m->node_key, DISCO_KEY_BYTES);
        at += DISCO_KEY_BYTES;
    }
    if (m->type == DISCO_PONG)
        at = endpoint_put(at, &m->source);
    if (m->type == DISCO_CALL_ME_MAYBE)
        for (size_t i = 0; i < m->endpoints_count; i++)
            at = endpoint_put(at, &m->endpoints[i]);
    return (size_t)(at - out);
}

size_t disco_seal(uint8_t *out, const struct disco_message *m, const uint8_t sender[DISCO_KEY_BYTES],
                  const uint8_t nonce[BOX_NONCE_BYTES], const uint8_t shared[BOX_KEY_BYTES])
{
    uint8_t plaintext[DISCO_BYTES_MAX];

    BUG_ON(m->endpoints_count > DISCO_ENDPOINTS_MAX);
    size_t len = write_plaintext(plaintext, m);

    memcpy(out, magic, MAGIC_BYTES);
    memcpy(out + MAGIC_BYTES, sender, DISCO_KEY_BYTES);
    memcpy(out + MAGIC_BYTES + DISCO_KEY_BYTES, nonce, BOX_NONCE_BYTES);
    box_seal(out + DISCO_HEADER_BYTES, plaintext, len, nonce, shared);
    return DISCO_HEADER_BYTES + BOX_TAG_BYTES + len;
}
