/* test_track.c - the scoreboard beside a plain array of segments, with random sendings, acknowledgements, SACKs, losses
 * and second thoughts. */
#include "common/tcp/tcp_track.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/bug.h"
#include "common/base/rng.h"

#define MANY 4000

struct plain {
    uint64_t start;
    uint16_t len;
    bool sacked, lost;
};

static struct plain segment[MANY];
static int first, end;

static uint64_t una(void)
{
    return first < end ? segment[first].start : first ? segment[first - 1].start + segment[first - 1].len : 1;
}

static uint64_t nxt(void)
{
    return end ? segment[end - 1].start + segment[end - 1].len : 1;
}

static void compare(struct tcp_track *t)
{
    uint64_t lost = 0, sacked = 0, pipe = 0;
    int first_lost = -1;

    for (int i = first; i < end; i++) {
        const struct plain *s = &segment[i];

        sacked += s->sacked ? s->len : 0;
        lost += s->lost ? s->len : 0;
        pipe += s->lost || s->sacked ? 0 : s->len;
        if (s->lost && first_lost < 0)
            first_lost = i;
    }
    tcp_track_check(t, una(), nxt());
    assert_int_equal(tcp_track_sacked_bytes(t), sacked);
    assert_int_equal(tcp_track_lost_bytes(t), lost);
    assert_int_equal(tcp_track_pipe(t), pipe);
    assert_int_equal(tcp_track_empty(t), first == end);
    struct tcp_sent *s = tcp_track_lost(t);

    assert_int_equal(s != NULL, first_lost >= 0);
    if (s)
        assert_int_equal(s->start, segment[first_lost].start);
}

static struct tcp_sent *lookup(struct tcp_track *t, uint64_t start)
{
    for (struct tcp_sent *s = tcp_track_oldest(t); s; s = tcp_track_later(t, s))
        if (s->start == start)
            return s;
    return NULL;
}

static void step(struct tcp_track *t, struct rng *rng, ts_t now)
{
    struct tcp_delivery d = {.now = now, .rtt_min_ns = TS_MS};
    uint64_t before = 0, after = 0;

    for (int i = first; i < end; i++)
        before += segment[i].sacked ? 0 : segment[i].len;
    switch (rng_below(rng, 8)) {
    case 0:
    case 1:
    case 2:
        if (end < MANY && tcp_track_reserve(t)) {
            uint16_t len = (uint16_t)(1 + rng_below(rng, 1400));

            segment[end] = (struct plain){.start = nxt(), .len = len};
            tcp_track_sent(t, segment[end].start, len, now);
            end++;
        }
        break;
    case 3: { /* an acknowledgement, sometimes in the middle of a segment */
        int upto = first + (int)rng_below(rng, (uint64_t)(end - first) + 1);
        uint64_t ack;

        while (first < upto)
            first++;
        ack = una();
        if (first < end && rng_below(rng, 4) == 0 && segment[first].len > 1) {
            uint16_t cut = (uint16_t)(1 + rng_below(rng, segment[first].len - 1u));

            segment[first].start += cut;
            segment[first].len = (uint16_t)(segment[first].len - cut);
            ack += cut;
        }
        tcp_track_acked(t, ack, &d);
        for (int i = first; i < end; i++)
            after += segment[i].sacked ? 0 : segment[i].len;
        assert_int_equal(d.bytes, before - after);
        break;
    }
    case 4:
    case 5: { /* a SACK block, its edges anywhere */
        uint64_t start = una() + rng_below(rng, nxt() - una() + 1), stop = start + rng_below(rng, nxt() - start + 1);

        for (int i = first; i < end; i++)
            if (segment[i].start >= start && segment[i].start + segment[i].len <= stop) {
                segment[i].sacked = true;
                segment[i].lost = false;
            }
        tcp_track_sacked(t, start, stop, &d);
        for (int i = first; i < end; i++)
            after += segment[i].sacked ? 0 : segment[i].len;
        assert_int_equal(d.bytes, before - after);
        break;
    }
    case 6: /* some are lost, some of those are sent again */
        for (int i = first; i < end; i++)
            if (!segment[i].sacked && !segment[i].lost && rng_below(rng, 5) == 0) {
                tcp_track_lose(t, lookup(t, segment[i].start));
                segment[i].lost = true;
            }
        while (tcp_track_lost(t) && rng_below(rng, 5)) {
            struct tcp_sent *s = tcp_track_lost(t);

            for (int i = first; i < end; i++)
                if (segment[i].start == s->start)
                    segment[i].lost = false;
            tcp_track_resent(t, s, now);
        }
        break;
    case 7:
        if (rng_below(rng, 8) == 0) {
            bool renege = rng_below(rng, 2);

            renege ? tcp_track_renege(t) : tcp_track_unlose(t);
            for (int i = first; i < end; i++) {
                segment[i].sacked &= !renege;
                segment[i].lost &= renege;
            }
        }
        break;
    }
}

static void model(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 20; seed++) {
        struct tcp_track t;
        struct rng rng;

        first = end = 0;
        rng_seed(&rng, seed);
        tcp_track_init(&t);
        for (ts_t now = 1; end < 1500; now += rng_below(&rng, TS_MS)) {
            step(&t, &rng, now);
            compare(&t);
        }
        tcp_track_deinit(&t);
    }
}

/* What RACK needs: the newest delivered, its round trip, and reordering. */
static void delivery(void **state)
{
    struct tcp_track t;
    struct tcp_delivery d = {.now = 100, .rtt_min_ns = 5};

    (void)state;
    tcp_track_init(&t);
    for (int i = 0; i < 4; i++) {
        assert_true(tcp_track_reserve(&t));
        tcp_track_sent(&t, 1 + 10u * (unsigned)i, 10, 10u * (unsigned)i + 10);
    }
    tcp_track_sacked(&t, 21, 31, &d);
    assert_int_equal(d.newest_at, 30);
    assert_int_equal(d.newest_end, 31);
    assert_int_equal(d.rtt_ns, 70);
    assert_false(d.reordered);

    struct tcp_delivery later = {.now = 110, .rtt_min_ns = 5};

    tcp_track_acked(&t, 11, &later); /* sent before, came after */
    assert_true(later.reordered);
    assert_int_equal(later.rtt_ns, 100);

    struct tcp_delivery again = {.now = 122, .rtt_min_ns = 5};

    tcp_track_lose(&t, tcp_track_oldest(&t));
    tcp_track_resent(&t, tcp_track_lost(&t), 120);
    tcp_track_sacked(&t, 11, 21, &again); /* answered within 2 ns: it was the first sending that came */
    assert_int_equal(again.newest_at, 0);
    assert_true(again.again);
    tcp_track_deinit(&t);
}

/* a black hole: what was not sacked is lost, and nothing is longer than asked for */
static void resegment(void **state)
{
    struct tcp_track t;
    struct tcp_delivery d = {.now = 5, .rtt_min_ns = 1};
    const uint16_t lens[] = {500, 500, 500, 333};
    uint64_t at_pos = 1;

    (void)state;
    tcp_track_init(&t);
    assert_false(tcp_track_resegment(&t, 500));
    for (int i = 0; i < 3; i++) {
        tcp_track_reserve(&t);
        tcp_track_sent(&t, 1 + 1000u * (unsigned)i, i == 2 ? 833 : 1000, 1);
    }
    tcp_track_sacked(&t, 1001, 2001, &d);
    assert_true(tcp_track_resegment(&t, 500));
    tcp_track_check(&t, 1, 2834);
    assert_int_equal(tcp_track_sacked_bytes(&t), 1000);
    assert_int_equal(tcp_track_lost_bytes(&t), 1833);
    assert_int_equal(tcp_track_pipe(&t), 0);
    for (size_t i = 0; i < ARRAY_SIZE(lens); i++) {
        struct tcp_sent *s = tcp_track_lost(&t);

        assert_int_equal(s->start, at_pos);
        assert_int_equal(s->len, lens[i]);
        tcp_track_resent(&t, s, 10);
        at_pos += lens[i] + (i == 1 ? 1000u : 0);
    }
    assert_null(tcp_track_lost(&t));
    tcp_track_deinit(&t);
}

/* without SACK: repeats are counted, bytes never twice, and a partial acknowledgement names what is missing */
static void guesses(void **state)
{
    struct tcp_track t;
    struct tcp_delivery d = {.now = 5, .rtt_min_ns = 1};

    (void)state;
    tcp_track_init(&t);
    for (unsigned i = 0; i < 6; i++) {
        tcp_track_reserve(&t);
        tcp_track_sent(&t, 1 + 100u * i, 100, 1 + i);
    }
    for (int i = 0; i < 3; i++)
        tcp_track_duplicate(&t, &d);
    assert_int_equal(d.bytes, 300);
    assert_int_equal(d.rtt_ns, 0);
    assert_int_equal(tcp_track_sacked_count(&t), 3); /* the second to the fourth, for all we know */
    tcp_track_acked(&t, 201, &d);                    /* but the third is missing */
    assert_int_equal(d.bytes, 400);
    assert_int_equal(tcp_track_missing(&t)->start, 201);
    assert_int_equal(tcp_track_sacked_count(&t), 2);
    tcp_track_check(&t, 201, 601);
    tcp_track_acked(&t, 601, &d);
    assert_int_equal(d.bytes, 500); /* the fifth, guessed instead of the third, was not counted; the sixth was */
    assert_true(tcp_track_empty(&t));
    tcp_track_deinit(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(model),
        cmocka_unit_test(delivery),
        cmocka_unit_test(resegment),
        cmocka_unit_test(guesses),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
