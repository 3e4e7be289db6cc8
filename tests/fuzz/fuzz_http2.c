/* fuzz_http2.c - any bytes as a server's side of HTTP/2, after three requests: what is told is told in order (an answer
 * at most once, then its body, then the end), of streams that we opened, and the output stays bounded. */
#include <string.h>

#include "common/base/bug.h"
#include "common/tailnet/http2.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUESTS 3

struct seen {
    int32_t stream;
    bool answered, over;
};

static struct seen *find(struct seen *all, int32_t stream)
{
    for (int i = 0; i < REQUESTS; i++)
        if (all[i].stream == stream)
            return &all[i];
    BUG_ON(true);
    return NULL;
}

static void on_answer(void *ctx, int32_t stream, unsigned status, const char *retry_after)
{
    struct seen *s = find(ctx, stream);

    BUG_ON(s->answered || s->over || status < 200 || status > 999);
    BUG_ON(retry_after && strlen(retry_after) > 64);
    s->answered = true;
}

static void on_body(void *ctx, int32_t stream, const uint8_t *bytes, size_t len)
{
    struct seen *s = find(ctx, stream);
    volatile uint8_t sum = 0;

    BUG_ON(!s->answered || s->over);
    for (size_t i = 0; i < len; i++)
        sum += bytes[i];
    (void)sum; /* read, so that a sanitizer sees bytes that are not there */
}

static void on_over(void *ctx, int32_t stream, bool whole)
{
    struct seen *s = find(ctx, stream);

    BUG_ON(s->over || (whole && !s->answered));
    s->over = true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct seen seen[REQUESTS] = {{0}};
    const struct http2_events events = {on_answer, on_body, on_over, seen};
    struct http2 *h = http2_new("host", &events);
    static uint8_t out[4096];
    size_t sent = 0;
    int n;

    if (size == 0) {
        http2_free(h);
        return 0;
    }
    size_t piece = 1 + data[0];

    BUG_ON(!h);
    for (int i = 0; i < REQUESTS; i++)
        seen[i].stream = http2_post(h, "/p", "{\"body\":1}", 10);
    for (size_t at = 1; at < size; at += piece) {
        while ((n = http2_output(h, out, sizeof(out))) > 0)
            sent += (size_t)n;
        if (n < 0 || http2_input(h, data + at, MIN(piece, size - at)) != 0)
            break;
        if (at > size / 2 && !seen[1].over)
            http2_cancel(h, seen[1].stream);
    }
    BUG_ON(sent > 4096 + 64 * size); /* settings and pings are answered, and that is all */
    http2_free(h);
    return 0;
}
