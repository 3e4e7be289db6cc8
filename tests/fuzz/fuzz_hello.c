/* fuzz_hello.c - any bytes: a verdict once given stays, prefixes shorter than `need` are never whole, and a caller
 * that waits for `need` ends where one that has everything ends. */
#include "common/hello/hello.h"

#include <string.h>

#include "common/base/bug.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void same(enum hello_result a, const struct hello *ha, enum hello_result b, const struct hello *hb)
{
    BUG_ON(a != b || memcmp(ha, hb, sizeof(*ha)) != 0);
}

static void sound(enum hello_result r, const struct hello *h, size_t len)
{
    BUG_ON((r == HELLO_OK) != (h->name_len > 0) || h->name_len >= HELLO_NAME || strlen(h->name) != h->name_len);
    BUG_ON((r == HELLO_NEED_MORE) != (h->need > len));
    BUG_ON(h->alpn_count > HELLO_ALPN_COUNT);
    for (size_t i = 0; i < h->alpn_count; i++)
        BUG_ON(h->alpn[i].len == 0 || (size_t)h->alpn[i].at + h->alpn[i].len > HELLO_ALPN_BYTES);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const size_t limits[] = {HELLO_BYTES, 0, 300};

    for (size_t i = 0; i < ARRAY_SIZE(limits); i++) {
        struct hello whole, part;
        enum hello_result end = hello_parse(data, size, limits[i], &whole), r = HELLO_NEED_MORE;
        size_t len = 0;

        memset(&part, 0, sizeof(part));
        sound(end, &whole, size);
        while (r == HELLO_NEED_MORE && len <= size) { /* as a caller does */
            r = hello_parse(data, len, limits[i], &part);
            sound(r, &part, len);
            if (r == HELLO_NEED_MORE)
                len = part.need;
        }
        if (r != HELLO_NEED_MORE)
            same(r, &part, end, &whole);
        else
            BUG_ON(end == HELLO_OK || end == HELLO_NO_SNI);

        for (len = 0; len <= size; len += size / 64 + 1) { /* cut at places of no meaning */
            r = hello_parse(data, len, limits[i], &part);
            sound(r, &part, len);
            if (r != HELLO_NEED_MORE)
                same(r, &part, end, &whole);
            else
                BUG_ON(part.need > size && (end == HELLO_OK || end == HELLO_NO_SNI));
        }
    }
    return 0;
}
