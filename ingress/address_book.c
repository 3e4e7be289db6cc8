#include "ingress/address_book.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/bug.h"
#include "common/base/err.h"
#include "common/base/log.h"
#include "common/crypto/crypto.h"
#include "common/net/statefile.h"
#include "ingress/worker.h"

#define FILE_NAME     "endpoints"
#define FILE_BYTES    ((size_t)512 << 20) /* some three million nodes with the longest ids; of more, some are left out */
#define WRITE_NS      (10 * TS_S)
#define SLICE_ENTRIES 1000 /* looked up and written down in one turn of the main loop: about 0.5 ms */
#define SLICE_NS      (10 * TS_MS)
#define CALLS_A_TICK  50
#define CALLS_TICK_NS (100 * TS_MS)

struct entry {
    struct map_node by_id;
    struct entry *next;
    struct addrport at;
    char id[];
};

struct address_book {
    struct loop *loop;
    struct workers *workers;
    const char *dir;
    struct map entries;
    struct map_seed seed;
    struct entry *list;
    struct entry *calling; /* the next to be called; NULL: all were */
    bool changed;
    FILE *out;         /* the file being made, a slice at a time; NULL: none is */
    struct entry **at; /* the next entry of it */
    unsigned long long count;
    bool writing;
    atomic_bool written;
    int written_rc;
    pthread_t writer;
    char *text; /* the writer's */
    size_t text_len;
    struct loop_timer calls, writes;
};

/* ---- entries ---- */

static struct entry *find(const struct address_book *b, const char *id)
{
    for (struct map_node *n = map_first(&b->entries, map_hash(&b->seed, id, strlen(id))); n; n = map_next(n)) {
        struct entry *e = container_of(n, struct entry, by_id);

        if (strcmp(e->id, id) == 0)
            return e;
    }
    return NULL;
}

/* note - true: that is new */
static bool note(struct address_book *b, const char *id, const struct addrport *at)
{
    struct entry *e = find(b, id);

    if (e && e->at.port == at->port && addr_equal(&e->at.addr, &at->addr))
        return false;
    if (!e) {
        e = malloc(sizeof(*e) + strlen(id) + 1);
        if (!e)
            return false;
        strcpy(e->id, id);
        e->next = b->list;
        b->list = e;
        map_insert(&b->entries, &e->by_id, map_hash(&b->seed, id, strlen(id)));
    }
    e->at = *at;
    return true;
}

/* ---- the file ---- */

/* read_lines - false: cut or damaged */
static bool read_lines(struct address_book *b, char *text)
{
    unsigned long long count = 0, said;
    char *save = NULL;

    for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        char *space = strchr(line, ' ');
        struct addrport at;

        if (!space) /* as no entry is */
            return sscanf(line, "end=%llu", &said) == 1 && said == count && !strtok_r(NULL, "\n", &save);
        if (space == line || (size_t)(space - line) > ROUTE_ID_MAX ||
            !addrport_parse(space + 1, strlen(space + 1), &at))
            return false;
        *space = 0;
        note(b, line, &at);
        count++;
    }
    return false;
}

static void read_file(struct address_book *b)
{
    size_t len;
    int rc;
    char *text = statefile_load(b->dir, FILE_NAME, FILE_BYTES, &len, &rc);

    if (text && !read_lines(b, text))
        rc = ERR_INVALID;
    if (rc != 0 && rc != -ENOENT)
        log_warn("session", "event=endpoints_ignored state_dir=\"%s\" error=\"%s\"", b->dir, err_str(rc));
    free(text);
}

static void *write_file(void *arg)
{
    struct address_book *b = arg;

    b->written_rc = statefile_write(b->dir, FILE_NAME, b->text, b->text_len);
    atomic_store(&b->written, true);
    return NULL;
}

/* make_text_begin, make_text_some - the file as it is to be, in text once the latter has returned false. Entries of nodes
 * that the table does not have any more are dropped on the way. */
static bool make_text_begin(struct address_book *b)
{
    b->out = open_memstream(&b->text, &b->text_len);
    b->at = &b->list;
    b->count = 0;
    return b->out != NULL;
}

static void drop(struct address_book *b, struct entry **at)
{
    struct entry *e = *at;

    *at = e->next;
    if (b->calling == e)
        b->calling = e->next;
    map_remove(&b->entries, &e->by_id);
    free(e);
}

static bool is_known(const struct address_book *b, const struct entry *e)
{
    const struct route_node *node = b->workers->routes ? route_node_by_id(b->workers->routes, e->id, strlen(e->id)) : NULL;

    return !b->workers->routes || (node && !node->revoked);
}

static bool make_text_some(struct address_book *b, size_t entries)
{
    for (; entries > 0 && *b->at; entries--) {
        struct entry *e = *b->at;
        char at[ADDRPORT_STR];

        if (!is_known(b, e)) {
            drop(b, b->at);
            continue;
        }
        b->at = &e->next;
        if (ftell(b->out) < (long)(FILE_BYTES - 1024) && fprintf(b->out, "%s %s\n", e->id, addrport_format(&e->at, at)) > 0)
            b->count++;
    }
    return *b->at != NULL;
}

/* false: out of memory, and there is no text */
static bool make_text_end(struct address_book *b)
{
    fprintf(b->out, "end=%llu\n", b->count);
    bool good = !ferror(b->out);

    good = fclose(b->out) == 0 && good;
    b->out = NULL;
    if (good)
        return true;
    free(b->text);
    b->text = NULL;
    return false;
}

static void finish(struct address_book *b)
{
    if (!b->writing)
        return;
    pthread_join(b->writer, NULL);
    free(b->text);
    b->text = NULL;
    b->writing = false;
    if (b->written_rc != 0)
        log_warn("session", "event=endpoints_not_kept state_dir=\"%s\" error=\"%s\"", b->dir, err_str(b->written_rc));
}

/* write_text - it is made: away with it */
static void write_text(struct address_book *b)
{
    atomic_store(&b->written, false);
    if (!make_text_end(b))
        return;
    b->writing = pthread_create(&b->writer, NULL, write_file, b) == 0;
    if (!b->writing) {
        write_file(b);
        free(b->text);
        b->text = NULL;
    }
}

static void on_writes(struct loop_timer *t, ts_t now)
{
    struct address_book *b = container_of(t, struct address_book, writes);

    if (b->writing && atomic_load(&b->written))
        finish(b);
    if (b->changed && !b->writing && !b->out && make_text_begin(b))
        b->changed = false; /* what changes from here on is for the next one, or is in it already */
    if (b->out && !make_text_some(b, SLICE_ENTRIES))
        write_text(b);
    loop_timer_arm(b->loop, t,
                   b->out                    ? ts_add(now, SLICE_NS)
                   : b->changed || b->writing ? ts_add(now, WRITE_NS)
                                              : TS_NEVER);
}

void address_book_heard(struct address_book *b, const struct route_node *node, const struct addrport *from, ts_t now)
{
    if (note(b, node->id, from) && *b->dir && !b->changed) {
        b->changed = true;
        if (!b->writing && !b->out)
            loop_timer_arm(b->loop, &b->writes, ts_add(now, TS_S));
    }
    route_node_put(node);
}

/* ---- calling ---- */

static void call(struct address_book *b, const struct entry *e)
{
    const struct route_node *node = route_node_by_id(b->workers->routes, e->id, strlen(e->id));
    struct call_mail *mail = node && !node->revoked ? malloc(sizeof(*mail)) : NULL;

    if (!mail)
        return;
    mail->node = route_node_get(node);
    mail->at = e->at;
    if (mailbox_try(worker_of(b->workers, node->shard)->mailbox, MAIL_CALL, mail))
        return;
    route_node_put(node);
    free(mail);
}

static void on_calls(struct loop_timer *t, ts_t now)
{
    struct address_book *b = container_of(t, struct address_book, calls);

    for (int i = 0; i < CALLS_A_TICK && b->calling; i++, b->calling = b->calling->next)
        call(b, b->calling);
    loop_timer_arm(b->loop, t, b->calling ? ts_add(now, CALLS_TICK_NS) : TS_NEVER);
}

void address_book_call(struct address_book *b, ts_t now)
{
    b->calling = b->list;
    loop_timer_arm(b->loop, &b->calls, now);
}

/* ---- life ---- */

struct address_book *address_book_new(struct loop *loop, struct workers *workers, const char *state_dir)
{
    struct address_book *b = calloc(1, sizeof(*b));
    struct rng rng;

    if (!b)
        return NULL;
    crypto_rng(&rng);
    rng_fill(&rng, &b->seed, sizeof(b->seed));
    b->loop = loop;
    b->workers = workers;
    b->dir = state_dir;
    map_init(&b->entries);
    loop_timer_init(&b->calls, on_calls);
    loop_timer_init(&b->writes, on_writes);
    if (*state_dir)
        read_file(b);
    return b;
}

void address_book_free(struct address_book *b)
{
    if (!b)
        return;
    loop_timer_arm(b->loop, &b->calls, TS_NEVER);
    loop_timer_arm(b->loop, &b->writes, TS_NEVER);
    finish(b);
    if (b->out || (b->changed && make_text_begin(b))) {
        while (make_text_some(b, SIZE_MAX))
            ;
        write_text(b);
        finish(b);
    }
    for (struct entry *e = b->list, *next; e; e = next) {
        next = e->next;
        free(e);
    }
    map_deinit(&b->entries);
    free(b);
}
