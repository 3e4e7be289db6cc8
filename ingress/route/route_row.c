/* route_row.c - a row's memory, and what a node may not say twice. */
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/bug.h"
#include "common/crypto/crypto.h"
#include "common/crypto/key.h"
#include "ingress/route/route_priv.h"

#define FEW 4 /* names, compared each with each */

static size_t text_bytes(const struct route_node *node)
{
    size_t bytes = strlen(node->id) + 1 + (*node->tailnet ? strlen(node->tailnet) + 1 : 0);

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
const struct route_node *route_row_new(const struct route_node *given)
{
    struct route_node node = *given;
    struct addr derived;

    BUG_ON(node.addresses_count > ROUTE_ADDRESSES_MAX || node.names_count > ROUTE_NAMES_MAX ||
           node.endpoints_count > ROUTE_ENDPOINTS_MAX || node.ports_count > ROUTE_PORTS_MAX);
    if (node.addresses_count == 0) {
        key_ula(node.key, &derived);
        node.addresses = &derived;
        node.addresses_count = 1;
    }
    size_t names = node.names_count * sizeof(struct route_name);
    size_t endpoints = node.endpoints_count * sizeof(struct addrport), ports = node.ports_count * sizeof(uint16_t);
    size_t addresses = node.addresses_count * sizeof(struct addr), psk = node.preshared_key ? ROUTE_KEY_BYTES : 0;
    struct route_row *row = malloc(sizeof(*row) + names + endpoints + ports + addresses + psk + text_bytes(&node));

    _Static_assert(_Alignof(struct route_name) <= _Alignof(struct route_row) &&
                       _Alignof(struct addrport) <= _Alignof(uint16_t) && _Alignof(struct addr) == 1,
                   "the order of the parts");
    if (!row)
        return NULL;
    struct route_node *n = &row->node;
    uint8_t *at = (uint8_t *)(row + 1);

    atomic_init(&row->refs, 1);
    row->place = PLACE_NONE;
    *n = node;
    n->shard = route_shard(node.id, strlen(node.id));
    struct route_name *own = copy(&at, node.names, names);

    n->names = own;
    n->endpoints = copy(&at, node.endpoints, endpoints);
    n->ports = copy(&at, node.ports, ports);
    n->addresses = copy(&at, node.addresses, addresses);
    n->preshared_key = psk ? copy(&at, node.preshared_key, psk) : NULL;
    n->id = copy_text(&at, node.id);
    n->tailnet = *node.tailnet ? copy_text(&at, node.tailnet) : (const char *)at - 1; /* the id's own zero */
    for (size_t i = 0; i < n->names_count; i++) {
        own[i].name = copy_text(&at, own[i].name);
        own[i].target = copy_text(&at, own[i].target);
    }
    return n;
}

size_t route_row_bytes(const struct route_node *node)
{
    return malloc_usable_size(route_row_of(node));
}

const struct route_node *route_node_get(const struct route_node *node)
{
    atomic_fetch_add_explicit(&route_row_of(node)->refs, 1, memory_order_relaxed);
    return node;
}

void route_node_put(const struct route_node *node)
{
    /* acquire-release: what other threads read of the row comes before its end */
    if (!node || atomic_fetch_sub_explicit(&route_row_of(node)->refs, 1, memory_order_acq_rel) != 1)
        return;
    if (node->preshared_key)
        crypto_wipe((void *)node->preshared_key, ROUTE_KEY_BYTES);
    free(route_row_of(node));
}

/* few_twice, many_twice - the first name that stands before it too; names_count: none does. Many are sorted out by a small
 * table of their own, since a node may have thousands. */
static size_t few_twice(const struct route_node *node)
{
    for (size_t i = 1; i < node->names_count; i++)
        for (size_t j = 0; j < i; j++)
            if (strcmp(node->names[i].name, node->names[j].name) == 0)
                return i;
    return node->names_count;
}

static size_t many_twice(const struct route_node *node)
{
    static const struct map_seed seed = {0}; /* whoever makes them alike slows down one row of at most 4,096 names */
    size_t room = 16, count = node->names_count, found = count;

    while (room < count * 2)
        room *= 2;
    uint16_t *taken = calloc(room, sizeof(*taken));

    for (size_t i = 0; taken && i < count && found == count; i++) {
        const char *name = node->names[i].name;
        size_t at = map_hash(&seed, name, strlen(name)) & (room - 1);

        for (; taken[at] && found == count; at = (at + 1) & (room - 1))
            if (strcmp(node->names[taken[at] - 1].name, name) == 0)
                found = i;
        taken[at] = (uint16_t)(i + 1);
    }
    free(taken);
    return found;
}

enum route_conflict_kind route_row_twice(const struct route_node *node, size_t *index)
{
    for (size_t i = 0; i < node->addresses_count; i++)
        for (size_t j = 0; j < i; j++)
            if (addr_equal(&node->addresses[i], &node->addresses[j])) {
                *index = i;
                return ROUTE_CONFLICT_ADDRESS;
            }
    *index = node->names_count <= FEW ? few_twice(node) : many_twice(node);
    return *index < node->names_count ? ROUTE_CONFLICT_NAME : ROUTE_CONFLICT_NONE;
}
