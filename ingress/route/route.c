/* route.c - looking up, and the end of a table. */
#include "ingress/route/route.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/bug.h"
#include "common/crypto/crypto.h"
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

struct route_table *route_table_get(struct route_table *table)
{
    atomic_fetch_add_explicit(&table->refs, 1, memory_order_relaxed);
    return table;
}

void route_table_put(struct route_table *table)
{
    /* acquire-release: what other threads read of the table comes before its end */
    if (!table || atomic_fetch_sub_explicit(&table->refs, 1, memory_order_acq_rel) != 1)
        return;
    for (struct route_block *block = table->blocks, *older; block; block = older) {
        older = block->older;
        if (table->secrets)
            crypto_wipe(block->bytes, block->used);
        free(block);
    }
    free(table->rows);
    map_deinit(&table->names);
    map_deinit(&table->ids);
    map_deinit(&table->keys);
    free(table);
}

const struct route_row *route_claim_row(const struct route_claim *claim)
{
    return container_of(claim - claim->index, const struct route_row, claims);
}

const struct route_name *route_claim_name(const struct route_claim *claim)
{
    return &route_claim_row(claim)->node.names[claim->index];
}

const char *route_claim_text(const struct route_claim *claim)
{
    const char *name = route_claim_name(claim)->name;

    return name + (name[0] == '*');
}

struct route_claim *route_claim_find(const struct route_table *table, const char *text, size_t len)
{
    uint64_t hash = map_hash(&table->seed, text, len);

    for (struct map_node *n = map_first(&table->names, hash); n; n = map_next(n)) {
        struct route_claim *claim = container_of(n, struct route_claim, by_name);
        const char *kept = route_claim_text(claim);

        if (strlen(kept) == len && memcmp(kept, text, len) == 0)
            return claim;
    }
    return NULL;
}

/* The exact name, or the longest wildcard above it. */
static const struct route_claim *most_specific(const struct route_table *table, const char *name, size_t len)
{
    if (len == 0 || name[0] == '.') /* no name; and a leading dot is how wildcards are kept */
        return NULL;
    const struct route_claim *claim = route_claim_find(table, name, len);
    const char *end = name + len, *dot = name;

    while (!claim && (dot = memchr(dot + 1, '.', (size_t)(end - dot - 1))))
        claim = route_claim_find(table, dot, (size_t)(end - dot));
    return claim;
}

static bool expired(const struct route_node *node, uint64_t unix_now)
{
    return node->expires && unix_now >= node->expires;
}

static bool opted_in(const struct route_node *node)
{
    return node->admin && node->consent != ROUTE_CONSENT_NO;
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

    out->count = 0;
    for (const struct route_claim *c = most_specific(table, name, len); c; c = c->next) {
        const struct route_node *node = &route_claim_row(c)->node;
        const struct route_name *rule = route_claim_name(c);
        enum route_result result = check(node, port, unix_now);

        furthest = MAX(furthest, result);
        if (result != ROUTE_OK)
            continue;
        BUG_ON(out->count == ROUTE_NODES_PER_NAME);
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
    size_t count = 0;

    for (const struct route_claim *c = most_specific(table, name, len); c; c = c->next) {
        BUG_ON(count == ROUTE_NODES_PER_NAME);
        const struct route_node *node = &route_claim_row(c)->node;

        out[count++] =
            (struct route_owner){.node = node, .rule = route_claim_name(c), .result = check(node, port, unix_now)};
    }
    return count;
}

const struct route_node *route_node_by_id(const struct route_table *table, const char *id, size_t len)
{
    uint64_t hash = map_hash(&table->seed, id, len);

    for (struct map_node *n = map_first(&table->ids, hash); n; n = map_next(n)) {
        const struct route_row *row = container_of(n, struct route_row, by_id);

        if (strlen(row->node.id) == len && memcmp(row->node.id, id, len) == 0)
            return &row->node;
    }
    return NULL;
}

const struct route_node *route_node_by_key(const struct route_table *table, const uint8_t key[ROUTE_KEY_BYTES])
{
    uint64_t hash = map_hash(&table->seed, key, ROUTE_KEY_BYTES);

    for (struct map_node *n = map_first(&table->keys, hash); n; n = map_next(n)) {
        const struct route_row *row = container_of(n, struct route_row, by_key);

        if (memcmp(row->node.key, key, ROUTE_KEY_BYTES) == 0)
            return &row->node;
    }
    return NULL;
}

size_t route_node_count(const struct route_table *table)
{
    return table->count;
}

const struct route_node *route_node_at(const struct route_table *table, size_t index)
{
    BUG_ON(index >= table->count);
    return &table->rows[index]->node;
}
