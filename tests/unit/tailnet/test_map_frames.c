/* test_map_frames.c - frames out of a body in pieces, and how much memory is held when. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/bug.h"
#include "common/base/bytes.h"
#include "common/base/err.h"
#include "common/tailnet/map_frames.h"

#define LARGE ((size_t)3 << 20)

static size_t put(uint8_t *at, size_t len, char fill)
{
    le32_put(at, (uint32_t)len);
    memset(at + 4, fill, len);
    return 4 + len;
}

static void test_pieces(void **state)
{
    static const size_t pieces[] = {1, 3, 4, 5, 1000, 65536};
    uint8_t *body = malloc(LARGE + 100);
    size_t size = put(body, 5, 'a');

    (void)state;
    size += put(body + size, 0, 0);
    size += put(body + size, LARGE, 'b');
    size += put(body + size, 1, 'c');
    for (size_t i = 0; i < ARRAY_SIZE(pieces); i++) {
        static const size_t lens[] = {5, 0, LARGE, 1};
        struct map_frames frames = {0};
        size_t seen = 0, used;

        for (size_t at = 0; at < size; at += used) {
            const char *text;
            size_t len, n = MIN(pieces[i], size - at);
            int got = map_frames_feed(&frames, body + at, n, &used, &text, &len);

            assert_true(used <= n && got >= 0);
            if (got == 0)
                continue;
            assert_int_equal(len, lens[seen++]);
            assert_true(len == 0 || (text[0] == "a.bc"[seen - 1] && text[len - 1] == text[0]));
            map_frames_done(&frames);
            assert_true(frames.room <= 65536); /* whatever came */
        }
        assert_int_equal(seen, ARRAY_SIZE(lens));
        map_frames_deinit(&frames);
    }
    free(body);
}

/* a length is no reason to take memory, and one above the bound none to go on */
static void test_promises(void **state)
{
    struct map_frames frames = {0};
    uint8_t body[8];
    const char *text;
    size_t used, len;

    (void)state;
    le32_put(body, MAP_FRAME_BYTES_MAX);
    assert_int_equal(map_frames_feed(&frames, body, 6, &used, &text, &len), 0);
    assert_true(frames.room <= 65536);
    map_frames_deinit(&frames);
    le32_put(body, MAP_FRAME_BYTES_MAX + 1);
    assert_int_equal(map_frames_feed(&frames, body, 4, &used, &text, &len), ERR_TOO_LARGE);
    map_frames_deinit(&frames);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_pieces), cmocka_unit_test(test_promises)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
