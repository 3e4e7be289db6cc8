/* fuzz_proxy.c - any bytes: a verdict once given stays, comes by PROXY_MAX_BYTES, and what was read can be written
 * and read back. */
#include "common/proxy/proxy.h"

#include <string.h>

#include "common/base/bug.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void same(const struct proxy_header *a, const struct proxy_header *b)
{
    BUG_ON(a->local != b->local || !addrport_equal(&a->src, &b->src) || !addrport_equal(&a->dst, &b->dst));
}

static void round_trip(const struct proxy_header *h)
{
    char text[PROXY_V1_BYTES + 1];
    uint8_t bytes[PROXY_V2_WRITE_BYTES];
    struct proxy_header back;
    size_t n;

    if (h->local || addr_is_none(&h->src.addr))
        return;
    n = proxy_v1_write(text, sizeof(text), &h->src, &h->dst);
    BUG_ON(n == 0 || proxy_parse((uint8_t *)text, n, &back) != PROXY_OK || back.consumed != n);
    same(h, &back);
    n = proxy_v2_write(bytes, sizeof(bytes), &h->src, &h->dst, "a.example", 9);
    BUG_ON(n == 0 || proxy_parse(bytes, n, &back) != PROXY_OK || back.consumed != n);
    same(h, &back);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct proxy_header whole, part;
    enum proxy_result end = proxy_parse(data, size, &whole);

    BUG_ON(end == PROXY_NEED_MORE && size >= PROXY_MAX_BYTES);
    BUG_ON(end == PROXY_OK && (whole.consumed > size || whole.consumed > PROXY_MAX_BYTES));
    for (size_t len = 0; len <= size; len += size / 256 + 1) {
        enum proxy_result r = proxy_parse(data, len, &part);

        BUG_ON(r != PROXY_NEED_MORE && r != end);
        BUG_ON(r == PROXY_OK && part.consumed != whole.consumed);
        BUG_ON(end == PROXY_OK && (r == PROXY_OK) != (len >= whole.consumed));
    }
    if (end == PROXY_OK)
        round_trip(&whole);
    return 0;
}
