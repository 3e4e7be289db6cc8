/* route.c - looking up. */
#include "ingress/route/route.h"

#include <string.h>

#include "common/base/bug.h"
#include "ingress/route/route_priv.h"

const char *route_result_name(enum route_result result)
{
    static const char *const names[] = {
#define X(name, text) text,
        ROUTE_RESULT_MAP(X)
#undef X
    };

    BUG_ON((size_t)result >= ARRAY_SIZE(names));
    return names[result];
}

uint8_t route_shard(const char *id, size_t len)
{
    uint32_t h = 2166136261u;

    for (size_t i = 0; i < len; i++)
        h = (h ^ (uint8_t)id[i]) * 16777619u;
    h ^= h >> 16;
    return (uint8_t)(h ^ h >> 8);
}

/* put - in its place by order, then place; at most one entry a node: a row that was exchanged while we looked may have
 * been met twice */
static size_t put(struct route_holder *holders, size_t count, const struct route_holder *new)
{
    size_t at = count;

    for (size_t i = 0; i < count; i++)
        if (holders[i].row->place == new->row->place)
            return count;
    for (; at > 0 && (holders[at - 1].order > new->order ||
                      (holders[at - 1].order == new->order && holders[at - 1].row->place > new->row->place));
         at--)
        holders[at] = holders[at - 1];
    holders[at] = *new;
    return count + 1;
}

static bool is_name(const struct route_name *name, const char *text, size_t len)
{
    const char *kept = route_name_text(name);

    return strlen(kept) == len && memcmp(kept, text, len) == 0;
}

/* find_name - where the node has it: where the entry says, but for a moment in which it has another row already */
static bool find_name(const struct route_node *node, const char *text, size_t len, uint32_t *part)
{
    if (*part < node->names_count && is_name(&node->names[*part], text, len))
        return true;
    for (*part = 0; *part < node->names_count; ++*part)
        if (is_name(&node->names[*part], text, len))
            return true;
    return false;
}

size_t route_holders(const struct route_table *table, const char *text, size_t len,
                     struct route_holder out[ROUTE_NODES_PER_NAME])
{
    struct route_look look;
    uint32_t place, part;
    size_t count = 0;

    route_look_init(&look, &table->names, map_hash(&table->seed, text, len));
    while (count < ROUTE_NODES_PER_NAME && route_look_next(&look, &place, &part)) {
        const struct route_row *row = route_row_in(table, place);

        if (!row || !find_name(&row->node, text, len, &part))
            continue;
        const struct route_holder holder = {
            row, part,
            atomic_load_explicit(&route_chunk_of(table, place)->order[place % ROUTE_CHUNK], memory_order_relaxed)};

        count = put(out, count, &holder);
    }
    return count;
}

/* The exact name, or the longest wildcard above it. */
static size_t most_specific(const struct route_table *table, const char *name, size_t len,
                            struct route_holder out[ROUTE_NODES_PER_NAME])
{
    if (len == 0 || name[0] == '.') /* no name; and a leading dot is how wildcards are kept */
        return 0;
    size_t count = route_holders(table, name, len, out);
    const char *end = name + len, *dot = name;

    while (count == 0 && (dot = memchr(dot + 1, '.', (size_t)(end - dot - 1))))
        count = route_holders(table, dot, (size_t)(end - dot), out);
    return count;
}

static bool expired(const struct route_node *node, uint64_t unix_now)
{
    return node->expires && unix_now >= node->expires;
}

static bool opted_in(const struct route_node *node)
{
    return node->admin && node->consent != ROUTE_CONSENT_NO && !node->revoked;
}

bool route_node_open(const struct route_node *node, uint64_t unix_now)
{
    return opted_in(node) && !expired(node, unix_now);
}

static bool funnelled_on(const struct route_node *node, uint16_t port)
{
    for (size_t i = 0; i < node->ports_count; i++)
        if (node->ports[i] == port)
            return true;
    return false;
}

static enum route_result check(const struct route_node *node, uint16_t port, uint64_t unix_now)
{
    if (!funnelled_on(node, port))
        return ROUTE_PORT_NOT_FUNNELLED;
    if (!opted_in(node))
        return ROUTE_NOT_OPTED_IN;
    if (expired(node, unix_now))
        return ROUTE_EXPIRED;
    return ROUTE_OK;
}

enum route_result route_find(const struct route_table *table, const char *name, size_t len, uint16_t port,
                             uint64_t unix_now, struct route_match *out)
{
    enum route_result furthest = ROUTE_UNKNOWN_NAME;
    struct route_holder holders[ROUTE_NODES_PER_NAME];

    out->count = 0;
    if (atomic_load_explicit(&((struct route_table *)table)->stopped, memory_order_relaxed))
        return ROUTE_STALE;
    size_t count = most_specific(table, name, len, holders);

    for (size_t i = 0; i < count; i++) {
        const struct route_node *node = &holders[i].row->node;
        const struct route_name *rule = &node->names[holders[i].part];
        enum route_result result = check(node, port, unix_now);

        furthest = MAX(furthest, result);
        if (result != ROUTE_OK)
            continue;
        out->candidates[out->count++] = (struct route_candidate){
            .node = node,
            .target = rule->target ? rule->target : name,
            .target_len = (uint16_t)(rule->target ? strlen(rule->target) : len),
            .target_port = rule->target_port ? rule->target_port : port,
        };
    }
    return furthest;
}

size_t route_explain(const struct route_table *table, const char *name, size_t len, uint16_t port, uint64_t unix_now,
                     struct route_owner out[ROUTE_NODES_PER_NAME])
{
    struct route_holder holders[ROUTE_NODES_PER_NAME];
    size_t count = most_specific(table, name, len, holders);
    bool stopped = atomic_load_explicit(&((struct route_table *)table)->stopped, memory_order_relaxed);

    for (size_t i = 0; i < count; i++) {
        const struct route_node *node = &holders[i].row->node;
        enum route_result result = stopped ? ROUTE_STALE : check(node, port, unix_now);

        out[i] = (struct route_owner){.node = node, .rule = &node->names[holders[i].part], .result = result};
    }
    return count;
}

const struct route_node *route_node_by_id(const struct route_table *table, const char *id, size_t len)
{
    struct route_look look;
    uint32_t place, part;

    route_look_init(&look, &table->ids, map_hash(&table->seed, id, len));
    while (route_look_next(&look, &place, &part)) {
        const struct route_row *row = route_row_in(table, place);

        if (row && strlen(row->node.id) == len && memcmp(row->node.id, id, len) == 0)
            return &row->node;
    }
    return NULL;
}

const struct route_node *route_node_by_key(const struct route_table *table, const uint8_t key[ROUTE_KEY_BYTES])
{
    struct route_look look;
    uint32_t place, part;

    route_look_init(&look, &table->keys, map_hash(&table->seed, key, ROUTE_KEY_BYTES));
    while (route_look_next(&look, &place, &part)) {
        const struct route_row *row = route_row_in(table, place);

        if (row && memcmp(row->node.key, key, ROUTE_KEY_BYTES) == 0)
            return &row->node;
    }
    return NULL;
}

size_t route_node_count(const struct route_table *table)
{
    return atomic_load_explicit(&((struct route_table *)table)->count, memory_order_relaxed);
}
