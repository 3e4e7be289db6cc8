/* route_table.c - the writer's side. A change goes: entries for what is new, the row by one store, then the entries of
 * what is gone. In between a reader may be led to a row that is not what it looks for, and goes on. */
#include "ingress/route/route_table.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/bug.h"
#include "common/base/err.h"
#include "ingress/route/route_priv.h"

#define FEW 8 /* parts, compared each with each */

struct route_table *route_table_new(const struct map_seed *seed)
{
    struct route_table *t = calloc(1, sizeof(*t));

    if (!t)
        return NULL;
    t->seed = *seed;
    t->free = PLACE_NONE;
    route_epoch_init(&t->epoch);
    if (route_index_init(&t->names, &t->epoch) == 0 && route_index_init(&t->ids, &t->epoch) == 0 &&
        route_index_init(&t->keys, &t->epoch) == 0 && route_index_init(&t->addresses, &t->epoch) == 0)
        return t;
    route_table_free(t);
    return NULL;
}

void route_table_free(struct route_table *t)
{
    if (!t)
        return;
    route_epoch_deinit(&t->epoch);
    for (uint32_t i = 0; i < t->places; i++) {
        const struct route_row *row = route_row_in(t, i);

        if (row)
            route_node_put(&row->node);
    }
    for (size_t i = 0; i < ROUTE_CHUNKS && atomic_load(&t->chunks[i]); i++)
        free(atomic_load(&t->chunks[i]));
    route_index_deinit(&t->names);
    route_index_deinit(&t->ids);
    route_index_deinit(&t->keys);
    route_index_deinit(&t->addresses);
    free(t);
}

struct route_epoch *route_table_epoch(struct route_table *t)
{
    return &t->epoch;
}

void route_table_reclaim(struct route_table *t, size_t most)
{
    route_epoch_reclaim(&t->epoch, most);
}

/* ---- places ---- */

uint32_t route_table_places(const struct route_table *t)
{
    return t->places;
}

const struct route_node *route_table_at(const struct route_table *t, uint32_t place)
{
    BUG_ON(place >= t->places);
    const struct route_row *row = route_row_in(t, place);

    return row ? &row->node : NULL;
}

uint32_t route_node_place(const struct route_node *node)
{
    return route_row_of(node)->place;
}

uint32_t *route_table_mark(struct route_table *t, uint32_t place)
{
    return &route_chunk_of(t, place)->mark[place % ROUTE_CHUNK];
}

void route_table_order_set(struct route_table *t, uint32_t place, uint32_t order)
{
    atomic_store_explicit(&route_chunk_of(t, place)->order[place % ROUTE_CHUNK], order, memory_order_relaxed);
}

/* take_place - PLACE_NONE and *err: none to be had. */
static uint32_t take_place(struct route_table *t, int *err)
{
    uint32_t place = t->free;

    if (place != PLACE_NONE) {
        t->free = *route_table_mark(t, place);
        return place;
    }
    *err = ERR_FULL;
    if (t->places == ROUTE_PLACES_MAX)
        return PLACE_NONE;
    if (t->places % ROUTE_CHUNK == 0) {
        struct route_chunk *chunk = calloc(1, sizeof(*chunk));

        *err = ERR_NOMEM;
        if (!chunk)
            return PLACE_NONE;
        atomic_store_explicit(&t->chunks[t->places / ROUTE_CHUNK], chunk, memory_order_release);
    }
    return t->places++;
}

static void give_place(struct route_table *t, uint32_t place)
{
    *route_table_mark(t, place) = t->free;
    t->free = place;
}

/* ---- entries ---- */

static uint64_t name_hash(const struct route_table *t, const struct route_name *name)
{
    const char *text = route_name_text(name);

    return map_hash(&t->seed, text, strlen(text));
}

static uint64_t key_hash(const struct route_table *t, const struct route_node *node)
{
    return map_hash(&t->seed, node->key, ROUTE_KEY_BYTES);
}

/* A row's entries in one index, by its parts. */
struct kind {
    struct route_index *(*index)(struct route_table *t);
    size_t (*count)(const struct route_node *node);
    uint64_t (*hash)(const struct route_table *t, const struct route_node *node, size_t part);
    /* whether two rows have the same, each in a part of its own */
    bool (*equal)(const struct route_node *a, size_t a_part, const struct route_node *b, size_t b_part);
};

static struct route_index *names_of(struct route_table *t)
{
    return &t->names;
}

static size_t names_count(const struct route_node *node)
{
    return node->names_count;
}

static uint64_t name_part(const struct route_table *t, const struct route_node *node, size_t part)
{
    return name_hash(t, &node->names[part]);
}

static bool name_equal(const struct route_node *a, size_t a_part, const struct route_node *b, size_t b_part)
{
    return strcmp(a->names[a_part].name, b->names[b_part].name) == 0;
}

static struct route_index *keys_of(struct route_table *t)
{
    return &t->keys;
}

static size_t one(const struct route_node *node)
{
    (void)node;
    return 1;
}

static uint64_t key_part(const struct route_table *t, const struct route_node *node, size_t part)
{
    (void)part;
    return key_hash(t, node);
}

static bool key_equal(const struct route_node *a, size_t a_part, const struct route_node *b, size_t b_part)
{
    (void)a_part;
    (void)b_part;
    return memcmp(a->key, b->key, ROUTE_KEY_BYTES) == 0;
}

static struct route_index *addresses_of(struct route_table *t)
{
    return &t->addresses;
}

static size_t addresses_count(const struct route_node *node)
{
    return node->addresses_count;
}

static uint64_t address_part(const struct route_table *t, const struct route_node *node, size_t part)
{
    return route_address_hash(t, node->tailnet, &node->addresses[part]);
}

static bool address_equal(const struct route_node *a, size_t a_part, const struct route_node *b, size_t b_part)
{
    return addr_equal(&a->addresses[a_part], &b->addresses[b_part]) && strcmp(a->tailnet, b->tailnet) == 0;
}

static struct route_index *ids_of(struct route_table *t)
{
    return &t->ids;
}

static uint64_t id_part(const struct route_table *t, const struct route_node *node, size_t part)
{
    (void)part;
    return map_hash(&t->seed, node->id, strlen(node->id));
}

static bool id_equal(const struct route_node *a, size_t a_part, const struct route_node *b, size_t b_part)
{
    (void)a;
    (void)a_part;
    (void)b;
    (void)b_part;
    return true; /* it is why they share a place */
}

static const struct kind kinds[] = {
    {names_of, names_count, name_part, name_equal},
    {keys_of, one, key_part, key_equal},
    {addresses_of, addresses_count, address_part, address_equal},
    {ids_of, one, id_part, id_equal},
};

#define NOT_THERE SIZE_MAX

/* The parts of a node, to be looked up in: a node may have thousands of names. */
struct parts {
    const struct route_node *node; /* NULL: none */
    size_t count;
    uint16_t *slots; /* part + 1 by its hash, 0: empty; NULL: few parts, or no memory, and they are gone through */
    size_t mask;
};

static void parts_init(struct parts *p, const struct route_table *t, const struct kind *kind,
                       const struct route_node *node)
{
    size_t room = 32;

    *p = (struct parts){.node = node, .count = node ? kind->count(node) : 0};
    if (p->count <= FEW)
        return;
    while (room < 2 * p->count)
        room *= 2;
    p->slots = calloc(room, sizeof(*p->slots));
    p->mask = room - 1;
    for (size_t i = 0; p->slots && i < p->count; i++) {
        size_t at = kind->hash(t, node, i) & p->mask;

        while (p->slots[at])
            at = (at + 1) & p->mask;
        p->slots[at] = (uint16_t)(i + 1);
    }
}

static size_t parts_find(const struct parts *p, const struct route_table *t, const struct kind *kind,
                         const struct route_node *row, size_t part)
{
    if (p->slots) {
        for (size_t at = kind->hash(t, row, part) & p->mask; p->slots[at]; at = (at + 1) & p->mask)
            if (kind->equal(row, part, p->node, p->slots[at] - 1u))
                return p->slots[at] - 1u;
        return NOT_THERE;
    }
    for (size_t i = 0; i < p->count; i++)
        if (kind->equal(row, part, p->node, i))
            return i;
    return NOT_THERE;
}

/* part_in - where the other one has what `row` has in this part; mostly in the same one. What only looks the same to
 * the index counts as the same in that part: there is one entry for both. */
static size_t part_in(const struct route_table *t, const struct kind *kind, const struct route_node *row, size_t part,
                      const struct parts *other)
{
    if (part < other->count && (kind->equal(row, part, other->node, part) ||
                                route_index_same(kind->hash(t, row, part), kind->hash(t, other->node, part))))
        return part;
    return parts_find(other, t, kind, row, part);
}

static int reserve(struct route_table *t, const struct route_node *row)
{
    int err = 0;

    for (size_t i = 0; i < ARRAY_SIZE(kinds) && err == 0; i++)
        err = route_index_reserve(kinds[i].index(t), kinds[i].count(row));
    return err;
}

static void entries_insert(struct route_table *t, const struct route_node *row, const struct route_node *was,
                           uint32_t place)
{
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
        struct route_index *index = kinds[i].index(t);
        struct parts parts;

        parts_init(&parts, t, &kinds[i], was);
        for (size_t part = 0; part < kinds[i].count(row); part++) {
            size_t before = part_in(t, &kinds[i], row, part, &parts);

            if (before == NOT_THERE)
                route_index_insert(index, kinds[i].hash(t, row, part), place, (uint32_t)part);
            else if (before != part)
                route_index_move(index, kinds[i].hash(t, row, part), place, (uint32_t)before, (uint32_t)part);
        }
        free(parts.slots);
    }
}

static void entries_remove(struct route_table *t, const struct route_node *row, const struct route_node *now,
                           uint32_t place)
{
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
        struct parts parts;

        parts_init(&parts, t, &kinds[i], now);
        for (size_t part = 0; part < kinds[i].count(row); part++)
            if (part_in(t, &kinds[i], row, part, &parts) == NOT_THERE)
                route_index_remove(kinds[i].index(t), kinds[i].hash(t, row, part), place, (uint32_t)part);
        free(parts.slots);
    }
}

/* ---- changes ---- */

static void release(void *row)
{
    route_node_put(&((struct route_row *)row)->node);
}

/* count - a row comes (1) or goes (-1) */
static void count(struct route_table *t, const struct route_node *node, int by)
{
    size_t rows = atomic_load_explicit(&t->count, memory_order_relaxed);

    if (!node->revoked)
        atomic_store_explicit(&t->count, by > 0 ? rows + 1 : rows - 1, memory_order_relaxed);
    if (by > 0)
        t->bytes += route_row_bytes(node);
    else
        t->bytes -= route_row_bytes(node);
}

size_t route_table_bytes(const struct route_table *t)
{
    return t->bytes;
}

int route_table_enter(struct route_table *t, const struct route_node *node, const struct route_node **was)
{
    struct route_row *row = route_row_of(node);
    int err = reserve(t, node);

    *was = route_node_by_id(t, node->id, strlen(node->id));
    if (err != 0)
        return err;
    uint32_t place = *was ? route_node_place(*was) : take_place(t, &err);

    if (place == PLACE_NONE)
        return err;
    struct route_chunk *chunk = route_chunk_of(t, place);

    if (!*was) {
        chunk->mark[place % ROUTE_CHUNK] = 0;
        atomic_store_explicit(&chunk->order[place % ROUTE_CHUNK], UINT32_MAX, memory_order_relaxed);
    }
    row->place = place;
    entries_insert(t, node, *was, place);
    atomic_store(&chunk->rows[place % ROUTE_CHUNK], row);
    if (*was) {
        entries_remove(t, *was, node, place);
        count(t, *was, -1);
        route_epoch_retire(&t->epoch, route_row_of(*was), release, 1);
    }
    count(t, node, 1);
    return 0;
}

void route_table_leave(struct route_table *t, const struct route_node *node)
{
    struct route_row *row = route_row_of(node);
    uint32_t place = row->place;

    BUG_ON(route_row_in(t, place) != row);
    atomic_store(&route_chunk_of(t, place)->rows[place % ROUTE_CHUNK], NULL);
    entries_remove(t, node, NULL, place);
    give_place(t, place);
    count(t, node, -1);
    route_epoch_retire(&t->epoch, row, release, 1);
}

/* ---- who wants to be told ---- */

const struct route_node *route_table_watch(struct route_table *t, const struct route_node *node)
{
    uint32_t place = route_row_of(node)->place;

    /* first the mark, then the look: either the writer sees the mark after it has changed the row, or we see the change */
    atomic_store(&route_chunk_of(t, place)->watched[place % ROUTE_CHUNK], 1);
    const struct route_row *row = route_row_in(t, place);

    return row && strcmp(row->node.id, node->id) == 0 ? &row->node : NULL;
}

bool route_table_watched(const struct route_table *t, uint32_t place)
{
    return atomic_load(&route_chunk_of(t, place)->watched[place % ROUTE_CHUNK]);
}

void route_table_unwatch(struct route_table *t, uint32_t place)
{
    atomic_store(&route_chunk_of(t, place)->watched[place % ROUTE_CHUNK], 0);
}

void route_table_stop(struct route_table *t, bool stopped)
{
    atomic_store(&t->stopped, stopped);
}

/* ---- conflicts ---- */

static const struct route_node *address_owner(const struct route_table *t, const struct route_node *node,
                                              const struct addr *addr)
{
    struct route_look look;
    uint32_t place, part;

    route_look_init(&look, &t->addresses, route_address_hash(t, node->tailnet, addr));
    while (route_look_next(&look, &place, &part)) {
        const struct route_row *row = route_row_in(t, place);

        if (row && part < row->node.addresses_count && addr_equal(&row->node.addresses[part], addr) &&
            strcmp(row->node.tailnet, node->tailnet) == 0 && strcmp(row->node.id, node->id) != 0)
            return &row->node;
    }
    return NULL;
}

/* name_full - ROUTE_NODES_PER_NAME others have the name */
static bool name_full(const struct route_table *t, const struct route_node *node, const struct route_name *name)
{
    struct route_holder holders[ROUTE_NODES_PER_NAME];
    const char *text = route_name_text(name);
    size_t count = route_holders(t, text, strlen(text), holders);

    for (size_t i = 0; i < count; i++)
        if (count < ROUTE_NODES_PER_NAME || strcmp(holders[i].row->node.id, node->id) == 0)
            return false;
    return count == ROUTE_NODES_PER_NAME;
}

bool route_table_conflicts(const struct route_table *t, const struct route_node *node,
                           bool (*fn)(const struct route_conflict *conflict, void *ctx), void *ctx)
{
    struct route_conflict c = {.kind = ROUTE_CONFLICT_KEY, .other = route_node_by_key(t, node->key)};

    if (c.other && strcmp(c.other->id, node->id) != 0 && !fn(&c, ctx))
        return false;
    c.kind = ROUTE_CONFLICT_ADDRESS;
    for (c.index = 0; c.index < node->addresses_count; c.index++) {
        c.other = address_owner(t, node, &node->addresses[c.index]);
        if (c.other && !fn(&c, ctx))
            return false;
    }
    c.kind = ROUTE_CONFLICT_NAME_FULL;
    c.other = NULL;
    for (c.index = 0; c.index < node->names_count; c.index++)
        if (name_full(t, node, &node->names[c.index]) && !fn(&c, ctx))
            return false;
    return true;
}
