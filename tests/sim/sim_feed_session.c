/* sim_feed_session.c - a feed session against a server that changes its nodes, breaks off, lies in ways that can be noticed, and
 * is silent; the map its steps make is compared with the server's.
 *
 *   always     outside of a snapshot the map is what the server had at the revision it was told up to (unless this
 *              connection got deltas out of order, which shows one step later)
 *   always     BEGIN, END and ABORT alternate as feed_op.h says; nothing is removed by a failure
 *   at the end the faults stop, and within a bounded time the map is the server's
 *
 *   sim_feed_session [--seed S] [--seeds N] */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/bug.h"
#include "common/crypto/crypto.h"
#include "seeds.h"
#include "talk.h"

#define SEEDS_DEFAULT 2000
#define NODES         12
#define REVISIONS     400
#define STORM_STEPS   400
#define CALM_STEPS    4000
#define STEP_NS       (100 * TS_MS)

/* what the server had at a revision: for each node the revision that put it last, 0: it is not there */
struct nodes {
    uint32_t v[NODES];
};

static struct {
    /* the server */
    struct nodes history[REVISIONS + 1];
    char *change[REVISIONS + 1]; /* the delta that led there */
    uint64_t revision;
    uint64_t forgets; /* resumes from before this are answered with a snapshot */
    /* its connection */
    bool shuffled;   /* deltas went out of order */
    uint64_t told;
    ts_t beat_at;
    /* the client */
    struct nodes map, staged;
    bool staging, map_known;
    uint64_t at;
} w;

static void apply(const struct feed_op *op);
static void obey(void);
static void ended(const char *why);
static struct talk t = {.name = "sim_feed_session", .apply = apply, .obey = obey, .ended = ended};

static void fail(const char *what)
{
    talk_fail(&t, what);
}

static bool dice(unsigned in_10000)
{
    return talk_dice(&t, in_10000);
}

static bool fault(unsigned in_10000)
{
    return talk_fault(&t, in_10000);
}

/* ---- the server ---- */

static void put(const char *text, size_t len)
{
    talk_put(&t, text, len);
}

static void say(const char *text)
{
    put(text, strlen(text));
}

static void lie(void)
{
    static const char *const lies[] = {"nonsense\n", "{}\n", "{\"put\":{}\n", "[1]\n", "{\"snapshot\":\"end\"}\n",
                                       "{\"remove\":5}\n", "{\"error\":\"no\"}\n", "{\"snapshot\":\"begin\",\"version\":3}\n",
                                       "\xff\xfe\n", "{\"heartbeat\":1}\n", "{\"resume\":1,\"version\":1}\n"};
    char text[64];

    switch (rng_below(&t.rng, 3)) {
    case 0:
        say(lies[rng_below(&t.rng, ARRAY_SIZE(lies))]);
        break;
    case 1:
        snprintf(text, sizeof(text), "{\"heartbeat\":%" PRIu64 "}\n", rng_below(&t.rng, w.told + 1));
        say(text);
        break;
    default: /* a line that never ends */
        if (dice(1000)) {
            say("{\"put\":{\"x\":\"");
            for (int i = 0; i < 1100; i++) {
                char block[1000];

                memset(block, 'x', sizeof(block));
                put(block, sizeof(block));
            }
        } else {
            say("{\"put\":{\"x\":\"");
            t.cut_at_end = true;
        }
    }
}

static void tell_changes(void)
{
    while (w.told < w.revision) {
        if (fault(100) && w.told + 2 <= w.revision) { /* two change places */
            w.shuffled = true;
            say(w.change[w.told + 2]);
            say(w.change[w.told + 1]);
            w.told += 2;
            continue;
        }
        say(w.change[++w.told]);
        if (fault(100))
            lie();
    }
}

static void tell_snapshot(void)
{
    char text[96];

    say("{\"snapshot\":\"begin\",\"version\":1}\n");
    for (int i = 0; i < NODES; i++) {
        if (!w.history[w.revision].v[i]) {
            snprintf(text, sizeof(text), "{\"revoke\":\"n%d\"}\n", i);
            say(dice(3000) ? text : "");
            continue;
        }
        snprintf(text, sizeof(text), dice(5000) ? "{\"id\":\"n%d\",\"v\":%u}\n" : "{\"put\":{\"id\":\"n%d\",\"v\":%u}}\n", i,
                 w.history[w.revision].v[i]);
        say(text);
        if (fault(150))
            lie();
        if (fault(100))
            t.cut_at_end = true;
    }
    if (t.cut_at_end)
        return;
    snprintf(text, sizeof(text), "{\"snapshot\":\"end\",\"revision\":%" PRIu64 "}\n", w.revision);
    say(text);
    w.told = w.revision;
}

static void answer(const char *request)
{
    const char *asked = strstr(request, "revision=");
    uint64_t from = asked ? strtoull(asked + 9, NULL, 10) : 0;
    char text[96];

    if (from > w.revision)
        fail("it resumes from a revision that never was");
    t.len = t.sent = 0;
    t.open = true;
    w.shuffled = t.cut_at_end = t.mute = false;
    w.beat_at = t.now;
    if (fault(500)) {
        say("HTTP/1.1 503 Later\r\nRetry-After: 2\r\n\r\n");
        t.cut_at_end = true;
        return;
    }
    if (fault(300)) {
        say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n");
        return;
    }
    t.mute = fault(300);
    say("HTTP/1.1 200 OK\r\n\r\n");
    if (from >= w.forgets && from > 0 && !fault(500)) {
        snprintf(text, sizeof(text), "{\"resume\":%" PRIu64 ",\"version\":1}\n", from);
        say(text);
        w.told = from;
    } else {
        tell_snapshot();
    }
    if (!t.cut_at_end)
        tell_changes();
}

/* one node changes */
static void change(void)
{
    int i = (int)rng_below(&t.rng, NODES);
    char text[128];

    if (w.revision == REVISIONS)
        return;
    uint64_t r = ++w.revision;

    w.history[r] = w.history[r - 1];
    if (!w.history[r].v[i] || dice(6000)) {
        w.history[r].v[i] = (uint32_t)r;
        snprintf(text, sizeof(text), "{\"put\":{\"id\":\"n%d\",\"v\":%" PRIu64 "},\"revision\":%" PRIu64 "}\n", i, r, r);
    } else {
        w.history[r].v[i] = 0;
        snprintf(text, sizeof(text), "{\"%s\":\"n%d\",\"revision\":%" PRIu64 "}\n", dice(5000) ? "remove" : "revoke", i, r);
    }
    w.change[r] = strdup(text);
    if (dice(200))
        w.forgets = r;
}

/* ---- the client's map ---- */

static void check_map(void)
{
    if (w.shuffled || w.staging || !w.map_known)
        return;
    if (memcmp(&w.map, &w.history[w.at], sizeof(w.map)) != 0)
        fail("the map is not what the server had at that revision");
}

static int node_of(const char *id, size_t len)
{
    char text[16];

    BUG_ON(len >= sizeof(text));
    memcpy(text, id, len);
    text[len] = 0;
    return atoi(text + 1);
}

static void apply(const struct feed_op *op)
{
    struct nodes *to = w.staging ? &w.staged : &w.map;
    char text[64];
    int i;
    unsigned v;

    switch (op->kind) {
    case FEED_OP_BEGIN:
        BUG_ON(w.staging);
        w.staging = true;
        memset(&w.staged, 0, sizeof(w.staged));
        break;
    case FEED_OP_PUT:
        BUG_ON(op->text_len >= sizeof(text));
        memcpy(text, op->text, op->text_len);
        text[op->text_len] = 0;
        if (sscanf(text, "{\"id\":\"n%d\",\"v\":%u}", &i, &v) != 2)
            return; /* a row that is none: the map leaves it out */
        to->v[i] = v;
        break;
    case FEED_OP_REMOVE:
    case FEED_OP_REVOKE:
        BUG_ON(w.staging && op->kind == FEED_OP_REMOVE);
        to->v[node_of(op->id, op->id_len)] = 0;
        break;
    case FEED_OP_END:
        BUG_ON(!w.staging);
        w.staging = false;
        w.map = w.staged;
        w.map_known = true;
        w.at = op->revision;
        check_map();
        break;
    case FEED_OP_ABORT:
        BUG_ON(!w.staging);
        w.staging = false;
        break;
    case FEED_OP_HEARTBEAT:
        BUG_ON(op->revision < w.at && !w.shuffled);
        w.at = op->revision;
        check_map();
        break;
    }
}

static void ended(const char *why)
{
    t.open = false;
    feed_session_ended(t.session, why, t.now);
}

static void obey(void)
{
    char request[TALK_REQUEST];

    talk_hand_on(&t);
    if (t.held)
        return;
    enum feed_session_wants wants = feed_session_wants(t.session);

    if (wants != FEED_SESSION_TALK)
        t.open = false;
    if (wants == FEED_SESSION_CONNECT) {
        if (fault(1000)) {
            ended("refused");
            return;
        }
        feed_session_connected(t.session, "token", t.now);
        if (talk_request(&t, request))
            answer(request);
    }
}

static void step(void)
{
    t.now += STEP_NS;
    if (!t.calm && dice(3000))
        change();
    if (t.held && dice(5000))
        talk_let_go(&t);
    feed_session_expire(t.session, t.now);
    obey();
    if (!t.open || t.held)
        return;
    if (!t.mute && !t.cut_at_end) {
        char text[64];

        tell_changes();
        if (t.now >= w.beat_at) {
            snprintf(text, sizeof(text), "{\"heartbeat\":%" PRIu64 "}\n", w.told);
            say(text);
            w.beat_at = t.now + 10 * TS_S;
        }
        t.mute = fault(20);
    }
    talk_deliver(&t, 3000, 100);
}

static void run(uint64_t seed)
{
    struct url url;

    memset(&w, 0, sizeof(w));
    talk_begin(&t, seed);
    w.revision = w.forgets = 1; /* the first state is empty */
    w.change[1] = strdup("\n");
    BUG_ON(url_parse("https://feed.test/n", 19, &url) != NULL);
    t.session = feed_session_new(&(struct feed_session_config){.urls = &url,
                                                               .urls_count = 1,
                                                               .silence_ns = 20 * TS_S,
                                                               .dialect = feed_lines_new(),
                                                               .rng = &t.jitter},
                                 t.now);
    for (int i = 0; i < STORM_STEPS; i++)
        step();
    t.calm = true;
    for (int i = 0; i < CALM_STEPS && (w.at != w.revision || w.staging || w.shuffled || t.mute || !t.open ||
                                       feed_session_status(t.session)->state != FEED_SOURCE_CONNECTED);
         i++)
        step();
    if (memcmp(&w.map, &w.history[w.revision], sizeof(w.map)) != 0 || w.at != w.revision || w.staging)
        fail("the faults are over, and the map is not the server's");
    if (feed_session_status(t.session)->state != FEED_SOURCE_CONNECTED)
        fail("the faults are over, and it is not connected");
    feed_session_free(t.session);
    for (uint64_t r = 1; r <= w.revision; r++)
        free(w.change[r]);
}

int main(int argc, char **argv)
{
    struct seeds seeds;

    if (!seeds_read(&seeds, SEEDS_DEFAULT, argc, argv) || crypto_init() != 0)
        return 2;
    for (uint64_t seed = seeds.first; seed < seeds.first + seeds.count; seed++)
        run(seed);
    talk_deinit(&t);
    printf("sim_feed_session: %" PRIu64 " seeds\n", seeds.count);
    return 0;
}
