#include "common/tunnel/tsmp.h"

#include "common/base/cursor.h"

#define TSMP_REFUSAL 0x21 /* '!' */
#define PROTOCOL_TCP 6

bool tsmp_refusal_parse(const uint8_t *payload, size_t len, struct tsmp_refusal *out)
{
    struct cursor c;

    cursor_init(&c, payload, len);
    uint8_t type = cursor_u8(&c), protocol = cursor_u8(&c);

    out->reason = (char)cursor_u8(&c);
    out->source_port = cursor_be16(&c);
    out->destination_port = cursor_be16(&c);
    return cursor_ok(&c) && type == TSMP_REFUSAL && protocol == PROTOCOL_TCP;
}
