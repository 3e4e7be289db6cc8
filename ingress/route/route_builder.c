/* route_builder.c - copying nodes into rows and finding what they may not share. Conflicts are found before anything is
 * entered, except for names, whose claims are taken back. */
#include "ingress/route/route_builder.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/bug.h"
#include "common/base/err.h"
#include "common/crypto/crypto.h"
#include "common/crypto/key.h"
#include "ingress/route/route_priv.h"

/* An address that is taken; only wanted while the table grows. */
struct taken {
    struct map_node by_address;
    struct taken *older;
    const struct route_row *row;
    struct addr addr;
};

struct route_builder {
    struct route_table *table;
    struct map taken;
    struct taken *newest; /* all of them, to free them by */
};

#define ROOM_MIN        64 /* rows */
#define BLOCK_BYTES_MIN ((size_t)4 << 10)
#define BLOCK_BYTES_MAX ((size_t)1 << 20)

struct route_builder *route_builder_new(const struct map_seed *seed)
{
    struct route_builder *b = calloc(1, sizeof(*b));
    struct route_table *t = calloc(1, sizeof(*t));

    if (!b || !t) {
        free(b);
        free(t);
        return NULL;
    }
    atomic_init(&t->refs, 1);
    t->seed = *seed;
    map_init(&t->names);
    map_init(&t->ids);
    map_init(&t->keys);
    map_init(&b->taken);
    b->table = t;
    return b;
}

void route_builder_free(struct route_builder *b)
{
    if (!b)
        return;
    for (struct taken *t = b->newest, *older; t; t = older) {
        older = t->older;
        free(t);
    }
    map_deinit(&b->taken);
    route_table_put(b->table);
    free(b);
}

struct route_table *route_table_new(struct route_builder *b)
{
    struct route_table *t = b->table;
    struct route_row **rows = t->count ? realloc(t->rows, t->count * sizeof(*rows)) : NULL;

    if (rows) { /* as small as it can be: it does not grow any more */
        t->rows = rows;
        t->room = t->count;
    }
    b->table = NULL;
    route_builder_free(b);
    return t;
}

/* ---- the memory of a row ---- */

/* block_with - the newest block, with room for so many bytes more; NULL: out of memory */
static struct route_block *block_with(struct route_table *t, size_t bytes)
{
    struct route_block *block = t->blocks;

    if (block && block->room - block->used >= bytes)
        return block;
    size_t room = block ? MIN(block->room * 2, BLOCK_BYTES_MAX) : BLOCK_BYTES_MIN;

    room = MAX(room, bytes);
    block = malloc(sizeof(*block) + room);
    if (!block)
        return NULL;
    *block = (struct route_block){.older = t->blocks, .room = room};
    t->blocks = block;
    return block;
}

/* row_undo - the newest row is not wanted after all */
static void row_undo(struct route_table *t, struct route_row *row)
{
    uint8_t *at = (uint8_t *)row;
    size_t bytes = (size_t)(t->blocks->bytes + t->blocks->used - at);

    crypto_wipe(at, bytes);
    t->blocks->used -= bytes;
}

static size_t text_bytes(const struct route_node *node)
{
    size_t bytes = strlen(node->id) + strlen(node->tailnet) + 2;

    for (size_t i = 0; i < node->names_count; i++) {
        bytes += strlen(node->names[i].name) + 1;
        bytes += node->names[i].target ? strlen(node->names[i].target) + 1 : 0;
    }
    return bytes;
}

static void *copy(uint8_t **at, const void *from, size_t bytes)
{
    void *to = *at;

    if (bytes)
        memcpy(to, from, bytes);
    *at += bytes;
    return to;
}

static const char *copy_text(uint8_t **at, const char *from)
{
    return from ? copy(at, from, strlen(from) + 1) : NULL;
}

/* The parts follow each other by falling alignment, so none needs padding. */
static struct route_row *row_new(struct route_table *t, const struct route_node *node)
{
    size_t names = node->names_count * sizeof(struct route_name);
    size_t endpoints = node->endpoints_count * sizeof(struct addrport), ports = node->ports_count * sizeof(uint16_t);
    size_t addresses = node->addresses_count * sizeof(struct addr), psk = node->preshared_key ? ROUTE_KEY_BYTES : 0;
    size_t fixed = sizeof(struct route_row) + node->names_count * sizeof(struct route_claim);
    size_t bytes = fixed + names + endpoints + ports + addresses + psk + text_bytes(node);
    size_t align = _Alignof(struct route_row);

    bytes = (bytes + align - 1) / align * align;
    struct route_block *block = block_with(t, bytes);

    _Static_assert(_Alignof(struct route_name) <= _Alignof(struct route_claim) &&
                       _Alignof(struct addrport) <= _Alignof(uint16_t) && _Alignof(struct addr) == 1,
                   "the order of the parts");
    if (!block)
        return NULL;
    struct route_row *row = (struct route_row *)(void *)(block->bytes + block->used);
    struct route_node *n = &row->node;
    uint8_t *at = (uint8_t *)row + fixed;

    block->used += bytes;
    *n = *node;
    n->shard = route_shard(node->id, strlen(node->id));
    struct route_name *own = copy(&at, node->names, names);

    n->names = own;
    n->endpoints = copy(&at, node->endpoints, endpoints);
    n->ports = copy(&at, node->ports, ports);
    n->addresses = copy(&at, node->addresses, addresses);
    n->preshared_key = psk ? copy(&at, node->preshared_key, psk) : NULL;
    n->id = copy_text(&at, node->id);
    n->tailnet = copy_text(&at, node->tailnet);
    for (size_t i = 0; i < n->names_count; i++) {
        own[i].name = copy_text(&at, own[i].name);
        own[i].target = copy_text(&at, own[i].target);
        row->claims[i] = (struct route_claim){.index = (uint32_t)i};
    }
    return row;
}

/* ---- conflicts ---- */

static uint64_t address_hash(const struct route_builder *b, const char *tailnet, const struct addr *addr)
{
    return map_hash(&b->table->seed, tailnet, strlen(tailnet)) ^ map_hash(&b->table->seed, addr, sizeof(*addr));
}

static const struct route_row *address_owner(const struct route_builder *b, const char *tailnet,
                                             const struct addr *addr)
{
    uint64_t hash = address_hash(b, tailnet, addr);

    for (struct map_node *n = map_first(&b->taken, hash); n; n = map_next(n)) {
        const struct taken *t = container_of(n, struct taken, by_address);

        if (addr_equal(&t->addr, addr) && strcmp(t->row->node.tailnet, tailnet) == 0)
            return t->row;
    }
    return NULL;
}

static bool in_conflict(const struct route_builder *b, const struct route_node *node, struct route_conflict *c)
{
    *c = (struct route_conflict){.kind = ROUTE_CONFLICT_ID};
    c->other = route_node_by_id(b->table, node->id, strlen(node->id));
    if (c->other)
        return true;
    c->kind = ROUTE_CONFLICT_KEY;
    c->other = route_node_by_key(b->table, node->key);
    if (c->other)
        return true;
    c->kind = ROUTE_CONFLICT_ADDRESS;
    for (c->index = 0; c->index < node->addresses_count; c->index++) {
        const struct route_row *owner = address_owner(b, node->tailnet, &node->addresses[c->index]);

        if (owner) {
            c->other = &owner->node;
            return true;
        }
        for (size_t i = 0; i < c->index; i++)
            if (addr_equal(&node->addresses[i], &node->addresses[c->index]))
                return true;
    }
    return false;
}

/* Lists every address of the row as taken, or none. */
static int addresses_take(struct route_builder *b, const struct route_row *row)
{
    struct taken *made[ROUTE_ADDRESSES_MAX];
    size_t count = row->node.addresses_count;

    for (size_t i = 0; i < count; i++) {
        made[i] = malloc(sizeof(*made[i]));
        if (!made[i]) {
            while (i-- > 0)
                free(made[i]);
            return ERR_NOMEM;
        }
    }
    for (size_t i = 0; i < count; i++) {
        made[i]->row = row;
        made[i]->addr = row->node.addresses[i];
        made[i]->older = b->newest;
        b->newest = made[i];
        map_insert(&b->taken, &made[i]->by_address, address_hash(b, row->node.tailnet, &made[i]->addr));
    }
    return 0;
}

/* ---- names ---- */

static void claim_remove(struct route_table *t, struct route_claim *claim)
{
    const char *text = route_claim_text(claim);
    struct route_claim *first = route_claim_find(t, text, strlen(text));

    if (first == claim) {
        map_remove(&t->names, &claim->by_name);
        return;
    }
    while (first->next != claim)
        first = first->next;
    first->next = NULL; /* claims are only taken back while they are the newest */
}

static enum route_conflict_kind claim_add(struct route_table *t, struct route_claim *claim)
{
    const char *text = route_claim_text(claim);
    size_t len = strlen(text), others = 1;
    struct route_claim *last = route_claim_find(t, text, len);

    if (!last) {
        map_insert(&t->names, &claim->by_name, map_hash(&t->seed, text, len));
        return ROUTE_CONFLICT_NONE;
    }
    for (; last->next; others++)
        last = last->next;
    if (route_claim_row(last) == route_claim_row(claim))
        return ROUTE_CONFLICT_NAME;
    if (others >= ROUTE_NODES_PER_NAME)
        return ROUTE_CONFLICT_NAME_FULL;
    last->next = claim;
    return ROUTE_CONFLICT_NONE;
}

static int claims_add(struct route_table *t, struct route_row *row, struct route_conflict *c)
{
    for (c->index = 0; c->index < row->node.names_count; c->index++) {
        c->kind = claim_add(t, &row->claims[c->index]);
        if (c->kind != ROUTE_CONFLICT_NONE) {
            for (size_t i = c->index; i-- > 0;)
                claim_remove(t, &row->claims[i]);
            return ERR_EXISTS;
        }
    }
    return 0;
}

static int room_make(struct route_table *t)
{
    if (t->count < t->room)
        return 0;
    size_t room = t->room ? t->room * 2 : ROOM_MIN;
    struct route_row **rows = realloc(t->rows, room * sizeof(*rows));

    if (!rows)
        return ERR_NOMEM;
    t->rows = rows;
    t->room = room;
    return 0;
}

int route_builder_add(struct route_builder *b, const struct route_node *given, struct route_conflict *conflict)
{
    struct route_table *t = b->table;
    struct route_node node = *given;
    struct addr derived;
    int err;

    BUG_ON(node.addresses_count > ROUTE_ADDRESSES_MAX || node.names_count > ROUTE_NAMES_MAX);
    if (node.addresses_count == 0) {
        key_ula(node.key, &derived);
        node.addresses = &derived;
        node.addresses_count = 1;
    }
    if (in_conflict(b, &node, conflict))
        return ERR_EXISTS;
    if (room_make(t) < 0)
        return ERR_NOMEM;
    struct route_row *row = row_new(t, &node);

    if (!row)
        return ERR_NOMEM;
    conflict->other = NULL;
    err = claims_add(t, row, conflict);
    if (err < 0)
        goto drop_row;
    err = addresses_take(b, row);
    if (err < 0)
        goto drop_claims;
    map_insert(&t->ids, &row->by_id, map_hash(&t->seed, row->node.id, strlen(row->node.id)));
    map_insert(&t->keys, &row->by_key, map_hash(&t->seed, row->node.key, ROUTE_KEY_BYTES));
    t->rows[t->count++] = row;
    t->secrets |= node.preshared_key != NULL;
    return 0;

drop_claims:
    for (size_t i = row->node.names_count; i-- > 0;)
        claim_remove(t, &row->claims[i]);
drop_row:
    row_undo(t, row);
    return err;
}
