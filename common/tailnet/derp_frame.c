#include "common/tailnet/derp_frame.h"

#include <string.h>

#include "common/base/bug.h"
#include "common/base/cursor.h"

#define MAGIC_BYTES       8
#define SERVER_INFO_MAX   1024 /* of its JSON: a longer one is not looked into */
#define RATE_MAX          UINT32_MAX /* 4 GiB, and so many a second: more is no limit, and times made of it would overflow */

static const uint8_t magic[MAGIC_BYTES] = {'D', 'E', 'R', 'P', 0xf0, 0x9f, 0x94, 0x91};
static const char client_json[] = "{\"version\":2,\"CanAckPings\":true}";

void derp_frame_header_put(uint8_t *out, enum derp_frame_type type, size_t body_len)
{
    BUG_ON(body_len > DERP_FRAME_MAX);
    out[0] = (uint8_t)type;
    be32_put(out + 1, (uint32_t)body_len);
}

bool derp_frame_header_get(const uint8_t *header, uint8_t *type, size_t *body_len)
{
    *type = header[0];
    *body_len = be32_get(header + 1);
    return *body_len <= DERP_FRAME_MAX;
}

bool derp_server_key_parse(const uint8_t *body, size_t len, uint8_t server[DERP_KEY_BYTES])
{
    if (len < MAGIC_BYTES + DERP_KEY_BYTES || memcmp(body, magic, MAGIC_BYTES) != 0)
        return false;
    memcpy(server, body + MAGIC_BYTES, DERP_KEY_BYTES);
    return true;
}

size_t derp_client_info_make(uint8_t out[DERP_CLIENT_INFO_MAX], const uint8_t node[DERP_KEY_BYTES],
                             const uint8_t nonce[BOX_NONCE_BYTES], const uint8_t shared[BOX_KEY_BYTES])
{
    size_t json_len = sizeof(client_json) - 1, body = DERP_KEY_BYTES + BOX_NONCE_BYTES + BOX_TAG_BYTES + json_len;
    uint8_t *at = out + DERP_FRAME_HEADER;

    derp_frame_header_put(out, DERP_CLIENT_INFO, body);
    memcpy(at, node, DERP_KEY_BYTES);
    memcpy(at + DERP_KEY_BYTES, nonce, BOX_NONCE_BYTES);
    box_seal(at + DERP_KEY_BYTES + BOX_NONCE_BYTES, (const uint8_t *)client_json, json_len, nonce, shared);
    return DERP_FRAME_HEADER + body;
}

/* The number behind "name": in a flat JSON object that the server's box vouches for; 0: not there. Two numbers of a
 * hello need no JSON library behind a border where nothing else is JSON. */
static uint64_t number_of(const char *json, const char *name)
{
    const char *at = strstr(json, name);
    uint64_t value = 0;

    if (!at)
        return 0;
    at += strlen(name);
    at += strspn(at, "\": \t\r\n");
    while (*at >= '0' && *at <= '9' && value <= RATE_MAX)
        value = value * 10 + (uint64_t)(*at++ - '0');
    return MIN(value, RATE_MAX);
}

bool derp_server_info_parse(const uint8_t *body, size_t len, const uint8_t shared[BOX_KEY_BYTES],
                            struct derp_server_info *out)
{
    uint8_t json[SERVER_INFO_MAX + 1];
    const uint8_t *box = body + BOX_NONCE_BYTES;

    *out = (struct derp_server_info){0};
    if (len < BOX_NONCE_BYTES + BOX_TAG_BYTES)
        return false;
    len -= BOX_NONCE_BYTES;
    if (len - BOX_TAG_BYTES > SERVER_INFO_MAX || !box_open(json, box, len, body, shared))
        return false;
    json[len - BOX_TAG_BYTES] = 0;
    out->bytes_per_s = number_of((char *)json, "\"TokenBucketBytesPerSecond\"");
    out->bytes_burst = number_of((char *)json, "\"TokenBucketBytesBurst\"");
    return true;
}

void derp_send_header_put(uint8_t *out, const uint8_t destination[DERP_KEY_BYTES], size_t len)
{
    BUG_ON(len > DERP_PACKET_MAX);
    derp_frame_header_put(out, DERP_SEND_PACKET, DERP_KEY_BYTES + len);
    memcpy(out + DERP_FRAME_HEADER, destination, DERP_KEY_BYTES);
}
