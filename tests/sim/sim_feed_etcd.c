/* sim_feed_etcd.c - the etcd dialect and its session against a cluster that changes its keys, compacts, loses its leader, lags, mutes
 * watches, rotates tokens, breaks answers off, sends them twice, and is restored from a backup; the map its steps make is
 * compared with the cluster's.
 *
 *   always     at each END and HEARTBEAT the map is what the cluster had at that revision, tombstones included (a connection lost among
 *              the events of one answer leaves some keys newer, until they were told again)
 *   always     BEGIN, END and ABORT alternate as feed_op.h says; nothing is removed by a failure
 *   a snapshot older than the map is not believed, as feed_map has it, until an operator says so
 *   at the end the faults stop, and within a bounded time the map is the cluster's
 *
 *   sim_feed_etcd [--seed S] [--seeds N] */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/bug.h"
#include "common/crypto/crypto.h"
#include "seeds.h"
#include "talk.h"

#define SEEDS_DEFAULT 2000
#define NODES         11
#define PAGE          4    /* keys of an answer, however many were asked for */
#define REVISIONS     400
#define CLUSTERS      3    /* one, and what it was restored as */
#define STORM_STEPS   300
#define CALM_STEPS    4000
#define STEP_NS       (100 * TS_MS)
#define PREFIX        "/n/"
#define WITHDRAWN     (-1)

/* what the cluster had at a revision: for each key the revision that put it last; 0: it is not there */
struct nodes {
    int v[NODES];
};

static struct {
    /* the cluster */
    struct nodes history[CLUSTERS][REVISIONS + 1];
    int cluster; /* which of them it is now */
    uint64_t revision, compacted;
    bool authentication;
    unsigned token; /* the one that counts */
    /* its connection */
    bool watching;
    int heard_of;   /* the cluster whose bytes these are */
    uint64_t behind; /* the member lags by so much */
    uint64_t told;
    ts_t beat_at;
    /* the client */
    struct nodes map, staged;
    bool staging, map_known, astray, forgiven;
    bool dirty;     /* it has changes of a revision that was not told to be whole */
    uint64_t ahead; /* a connection was lost so: until then some keys are newer than the revision says */
    struct feed_point at;
    int map_of; /* the cluster */
} w;

static void apply(const struct feed_op *op);
static void obey(void);
static void ended(const char *why);
static struct talk t = {.name = "sim_feed_etcd", .apply = apply, .obey = obey, .ended = ended};

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

/* ---- base64, by hand: the dialect's own is what is tried here ---- */

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static const char *encoded(const char *text)
{
    static char outs[4][128];
    static unsigned next;
    char *out = outs[next++ % 4], *to = out;
    size_t len = strlen(text);

    for (size_t i = 0; i < len; i += 3) {
        unsigned b[3] = {(uint8_t)text[i], i + 1 < len ? (uint8_t)text[i + 1] : 0, i + 2 < len ? (uint8_t)text[i + 2] : 0};

        *to++ = digits[b[0] >> 2];
        *to++ = digits[(b[0] & 3) << 4 | b[1] >> 4];
        *to++ = i + 1 < len ? digits[(b[1] & 15) << 2 | b[2] >> 6] : '=';
        *to++ = i + 2 < len ? digits[b[2] & 63] : '=';
    }
    *to = 0;
    return out;
}

/* the bytes; shorter ones are followed by a zero */
static void decoded(const char *in, char out[64])
{
    unsigned v = 0, bits = 0;
    size_t n = 0;

    for (; *in && *in != '='; in++) {
        v = (v << 6 | (unsigned)(strchr(digits, *in) - digits)) & 0xffff;
        bits += 6;
        if (bits >= 8 && n < 63)
            out[n++] = (char)(v >> (bits -= 8));
    }
    out[n] = 0;
}

/* ---- the cluster ---- */

static void put(const char *text, size_t len)
{
    talk_put(&t, text, len);
}

static void say(const char *text)
{
    put(text, strlen(text));
}

static uint64_t member_revision(void)
{
    return w.revision > w.behind ? w.revision - w.behind : 1;
}

static void header(char out[128])
{
    snprintf(out, 128, "\"header\":{\"cluster_id\":\"%d\",\"revision\":\"%" PRIu64 "\"}", 100 + w.cluster, member_revision());
}

/* a piece of an answer, now and then spoilt */
static void answer(const char *status, const char *body)
{
    char head[128];
    size_t len = strlen(body), cut = fault(150) ? rng_below(&t.rng, len + 1) : len;

    snprintf(head, sizeof(head), "HTTP/1.1 %s\r\nContent-Length: %zu\r\n%s\r\n", status, len,
             dice(1000) ? "Connection: close\r\n" : "");
    for (int i = 0; i < 1 + (fault(100) ? 1 : 0); i++) { /* twice */
        say(head);
        put(body, cut);
    }
    t.cut_at_end = t.cut_at_end || cut < len || strstr(head, "close");
}

static void row(int i, int v, char *out, size_t cap)
{
    char key[16], value[64] = "{\"revoked\":true}";

    snprintf(key, sizeof(key), PREFIX "n%02d", i);
    if (v != WITHDRAWN)
        snprintf(value, sizeof(value), "{\"id\":\"n%02d\",\"v\":%d}", i, v);
    snprintf(out, cap, "{\"key\":\"%s\",\"value\":\"%s\"", encoded(key), encoded(value));
}

static void range(const json_t *asked)
{
    const char *at_text = json_string_value(json_object_get(asked, "revision"));
    uint64_t at = at_text ? strtoull(at_text, NULL, 10) : member_revision();
    char from[64], key[16], body[4096], text[256], head[128];
    bool more = false;
    int count = 0;

    decoded(json_string_value(json_object_get(asked, "key")), from);
    if (fault(200) || at > w.revision) {
        answer("503 Unavailable", "{\"error\":\"etcdserver: no leader\",\"code\":14}");
        return;
    }
    if (at < w.compacted) {
        answer("400 Bad", "{\"error\":\"etcdserver: mvcc: required revision has been compacted\",\"code\":11}");
        return;
    }
    header(head);
    size_t len = (size_t)snprintf(body, sizeof(body), "{%s,\"kvs\":[", head);

    for (int i = 0; i < NODES; i++) {
        int v = w.history[w.cluster][at].v[i];

        snprintf(key, sizeof(key), PREFIX "n%02d", i);
        /* behind a key comes that key and a zero */
        if (!v || strcmp(key, from) < 0 || (strcmp(key, from) == 0))
            continue;
        if (count == PAGE) {
            more = true;
            break;
        }
        row(i, v, text, sizeof(text));
        len += (size_t)snprintf(body + len, sizeof(body) - len, "%s%s}", count++ ? "," : "", text);
    }
    snprintf(body + len, sizeof(body) - len, "]%s}", more ? ",\"more\":true" : "");
    answer("200 OK", body);
}

static void watch_line(const char *inside)
{
    char head[128], line[4096];

    header(head);
    size_t len = (size_t)snprintf(line, sizeof(line), "{\"result\":{%s%s}}\n", head, inside);

    if (fault(40)) { /* it breaks off in the middle */
        put(line, rng_below(&t.rng, len));
        t.cut_at_end = true;
    } else if (!t.cut_at_end) {
        say(line);
        if (fault(40))
            say(line);
    }
}

static void end_watch(const char *line)
{
    say(line);
    t.cut_at_end = true;
}

static void watch(const json_t *asked)
{
    const char *start = json_string_value(json_object_get(json_object_get(asked, "create_request"), "start_revision"));
    uint64_t from = strtoull(start, NULL, 10);
    char line[128];

    say("HTTP/1.1 200 OK\r\n\r\n");
    t.mute = fault(300);
    if (t.mute && dice(5000))
        return;
    watch_line(",\"created\":true");
    if (from <= w.compacted) {
        snprintf(line, sizeof(line), ",\"canceled\":true,\"compact_revision\":\"%" PRIu64 "\"", w.compacted);
        watch_line(line);
        t.cut_at_end = true;
    }
    if (from > w.revision + 1 && w.map_of == w.cluster && !w.astray)
        fail("it watches from a revision that never was");
    w.watching = true;
    w.told = from - 1;
}

static void events_of(uint64_t r, char *out, size_t cap, const char **comma)
{
    const struct nodes *was = &w.history[w.cluster][r - 1], *is = &w.history[w.cluster][r];
    char text[256];

    for (int i = 0; i < NODES; i++) {
        if (was->v[i] == is->v[i])
            continue;
        size_t len = strlen(out);

        row(i, is->v[i], text, sizeof(text));
        if (!is->v[i])
            *strstr(text, ",\"value\"") = 0;
        snprintf(out + len, cap - len, "%s{%s\"kv\":%s,\"mod_revision\":\"%" PRIu64 "\"}}", *comma,
                 is->v[i] ? "" : "\"type\":\"DELETE\",", text, r);
        *comma = ",";
    }
}

/* what became known at this member, some revisions at once */
static void tell_changes(void)
{
    while (w.watching && !t.cut_at_end && w.told < member_revision()) {
        char events[3500] = ",\"events\":[";
        const char *comma = "";

        for (unsigned n = 1 + (unsigned)rng_below(&t.rng, 3); n > 0 && w.told < member_revision(); n--)
            events_of(++w.told, events, sizeof(events) - 2, &comma);
        strcat(events, "]");
        if (*comma)
            watch_line(events);
        if (fault(60))
            end_watch("{\"error\":{\"grpc_code\":14,\"message\":\"etcdserver: no leader\"}}\n");
        else if (fault(30))
            end_watch("nonsense\n");
    }
}

static void request(const char *text)
{
    const char *body = strstr(text, "\r\n\r\n"), *token = strstr(text, "Authorization: ");
    json_t *asked = body ? json_loads(body + 4, 0, NULL) : NULL;
    char answered[64];

    w.heard_of = w.cluster;
    if (!asked)
        fail("a request without a body");
    if (strstr(text, "/v3/auth/")) {
        snprintf(answered, sizeof(answered), "{\"token\":\"t%u\"}", w.token);
        answer(fault(300) ? "503 Later" : "200 OK", answered);
    } else if (w.authentication && (!token || strtoul(token + 16, NULL, 10) != w.token)) {
        answer("401 Unauthorized", "{\"error\":\"etcdserver: invalid auth token\",\"code\":16}");
    } else if (strstr(text, "/v3/kv/range")) {
        range(asked);
    } else {
        watch(asked);
    }
    json_decref(asked);
}

/* one transaction: a key or two */
static void change(void)
{
    if (w.revision == REVISIONS)
        return;
    uint64_t r = ++w.revision;
    struct nodes *now = &w.history[w.cluster][r];

    *now = w.history[w.cluster][r - 1];
    for (int n = dice(2000) ? 2 : 1; n > 0; n--) {
        int i = (int)rng_below(&t.rng, NODES);

        now->v[i] = !now->v[i] || dice(5000) ? (int)r : dice(5000) ? 0 : WITHDRAWN;
    }
    if (dice(300))
        w.compacted = r - rng_below(&t.rng, MIN(r, 10));
    if (dice(200))
        w.token++;
}

static void close_connection(void)
{
    if (w.dirty)
        w.ahead = MAX(w.ahead, w.told);
    t.open = t.held = false; /* a step that was not taken goes with it */
    t.piece_len = t.piece_used = 0;
}

static void ended(const char *why)
{
    close_connection();
    feed_session_ended(t.session, why, t.now);
}

/* an older state under another id; what was said since is gone */
static void restore(void)
{
    if (w.cluster == CLUSTERS - 1 || w.revision < 10)
        return;
    uint64_t back = rng_below(&t.rng, 9);

    memcpy(w.history[w.cluster + 1], w.history[w.cluster], sizeof(w.history[0]));
    w.cluster++;
    w.revision -= back;
    w.compacted = MIN(w.compacted, w.revision);
    if (t.open)
        ended("the cluster is restored");
}

/* ---- the client's map, as feed_map has it ---- */

static void check_map(const struct feed_op *op)
{
    if (op->revision >= w.ahead && memcmp(&w.map, &w.history[w.map_of][op->revision], sizeof(w.map)) != 0)
        fail("the map is not what the cluster had at that revision");
}

static int node_of(const char *id, size_t len)
{
    char text[8] = "";

    BUG_ON(len != 3);
    memcpy(text, id, len);
    return atoi(text + 1);
}

static void end(const struct feed_op *op)
{
    w.staging = false;
    w.astray = !w.forgiven && op->revision < w.at.revision;
    if (w.astray)
        return;
    w.forgiven = w.dirty = false;
    w.ahead = 0;
    w.map = w.staged;
    w.at = (struct feed_point){op->revision, op->origin};
    w.map_of = (int)op->origin - 100;
    w.map_known = true;
    check_map(op);
}

static void apply(const struct feed_op *op)
{
    struct nodes *to = w.staging ? &w.staged : &w.map;
    char text[64] = "";
    int i, v;

    switch (op->kind) {
    case FEED_OP_BEGIN:
        BUG_ON(w.staging);
        w.staging = true;
        memset(&w.staged, 0, sizeof(w.staged));
        break;
    case FEED_OP_PUT:
        BUG_ON(op->text_len >= sizeof(text));
        memcpy(text, op->text, op->text_len);
        if (sscanf(text, "{\"id\":\"n%d\",\"v\":%d}", &i, &v) != 2 || node_of(op->id, op->id_len) != i)
            fail("a row that nobody wrote");
        if (w.staging || !w.astray)
            to->v[i] = v;
        w.dirty = w.dirty || !w.staging;
        break;
    case FEED_OP_REMOVE:
    case FEED_OP_REVOKE:
        BUG_ON(w.staging && op->kind == FEED_OP_REMOVE);
        if (w.staging || !w.astray)
            to->v[node_of(op->id, op->id_len)] = op->kind == FEED_OP_REVOKE ? WITHDRAWN : 0;
        w.dirty = w.dirty || !w.staging;
        break;
    case FEED_OP_END:
        BUG_ON(!w.staging);
        end(op);
        break;
    case FEED_OP_ABORT:
        BUG_ON(!w.staging);
        w.staging = false;
        break;
    case FEED_OP_HEARTBEAT:
        if (w.astray)
            break;
        if (op->revision < w.at.revision)
            fail("a heartbeat that goes back");
        w.at.revision = op->revision;
        w.dirty = false;
        check_map(op);
        break;
    }
}

static void start_session(bool resume)
{
    struct url urls[3];

    for (size_t i = 0; i < ARRAY_SIZE(urls); i++)
        BUG_ON(url_parse("https://etcd.test:2379", 22, &urls[i]) != NULL);
    struct feed_dialect *d =
        feed_etcd_new(&(struct feed_etcd_config){.prefix = PREFIX, .username = w.authentication ? "reader" : ""});

    if (d && resume)
        d->point = w.at;
    t.session = feed_session_new(&(struct feed_session_config){.urls = urls,
                                                               .urls_count = ARRAY_SIZE(urls),
                                                               .silence_ns = 20 * TS_S,
                                                               .dialect = d,
                                                               .rng = &t.jitter},
                                 t.now);
    BUG_ON(!t.session);
}

/* the ingress starts anew with the map it kept, or an operator has it reloaded */
static void start_again(bool forgive)
{
    feed_session_free(t.session);
    close_connection();
    w.staging = false;
    w.forgiven = forgive;
    w.astray = false;
    start_session(w.map_known && !forgive);
}

static void send_output(void)
{
    char text[TALK_REQUEST];

    if (talk_request(&t, text) && !t.cut_at_end)
        request(text);
}

static void obey(void)
{
    talk_hand_on(&t);
    if (t.held)
        return;
    enum feed_session_wants wants = feed_session_wants(t.session);

    if (wants != FEED_SESSION_TALK)
        close_connection();
    if (wants == FEED_SESSION_CONNECT) {
        if (dice(3000))
            return; /* with the next step */
        if (fault(1000)) {
            ended("refused");
            return;
        }
        t.len = t.sent = 0;
        t.open = true;
        t.cut_at_end = t.mute = w.watching = false;
        w.behind = fault(1000) ? rng_below(&t.rng, 4) : 0;
        w.beat_at = t.now;
        feed_session_connected(t.session, "password", t.now);
    }
    if (t.open)
        send_output();
}

static void step(void)
{
    t.now += STEP_NS;
    if (!t.calm && dice(3000))
        change();
    if (fault(30))
        restore();
    if (fault(30))
        start_again(false);
    if (w.astray && dice(500))
        start_again(true);
    if (t.held && dice(5000))
        talk_let_go(&t);
    feed_session_expire(t.session, t.now);
    obey();
    if (!t.open || t.held)
        return;
    if (w.behind > 0 && dice(1000))
        w.behind--;
    if (w.watching && !t.mute && !t.cut_at_end) {
        tell_changes();
        if (t.now >= w.beat_at && w.told >= member_revision()) {
            watch_line("");
            w.beat_at = t.now + 10 * TS_S;
        }
        t.mute = fault(20);
    }
    talk_deliver(&t, 1000, 60);
}

static bool settled(void)
{
    return w.map_known && !w.staging && !w.astray && w.map_of == w.cluster && w.at.revision == w.revision &&
           feed_session_status(t.session)->state == FEED_SOURCE_CONNECTED;
}

static void run(uint64_t seed)
{
    memset(&w, 0, sizeof(w));
    talk_begin(&t, seed);
    w.revision = 1;
    w.token = 1;
    w.authentication = dice(5000);
    start_session(false);
    for (int i = 0; i < STORM_STEPS; i++)
        step();
    t.calm = true;
    for (int i = 0; i < CALM_STEPS && !settled(); i++)
        step();
    if (!settled())
        fail("the faults are over, and the map is not the cluster's");
    if (memcmp(&w.map, &w.history[w.cluster][w.revision], sizeof(w.map)) != 0)
        fail("the map is not the cluster's, and says it is");
    feed_session_free(t.session);
}

int main(int argc, char **argv)
{
    struct seeds seeds;

    if (!seeds_read(&seeds, SEEDS_DEFAULT, argc, argv) || crypto_init() != 0)
        return 2;
    for (uint64_t seed = seeds.first; seed < seeds.first + seeds.count; seed++)
        run(seed);
    talk_deinit(&t);
    printf("sim_feed_etcd: %" PRIu64 " seeds\n", seeds.count);
    return 0;
}
