/* route_diff.c - comparing nodes field by field. */
#include "ingress/route/route_diff.h"

#include <string.h>

/* Lists compare in order: a feed that reorders endpoints or addresses means something by it. */
static bool list_equal(const void *a, size_t a_count, const void *b, size_t b_count, size_t element_bytes)
{
    return a_count == b_count && (a_count == 0 || memcmp(a, b, a_count * element_bytes) == 0);
}

static bool text_equal(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

static bool preshared_equal(const struct route_node *a, const struct route_node *b)
{
    return a->preshared_key && b->preshared_key ? memcmp(a->preshared_key, b->preshared_key, ROUTE_KEY_BYTES) == 0
                                                : a->preshared_key == b->preshared_key;
}

static bool names_equal(const struct route_node *a, const struct route_node *b)
{
    if (a->names_count != b->names_count)
        return false;
    for (size_t i = 0; i < a->names_count; i++) {
        const struct route_name *x = &a->names[i], *y = &b->names[i];

        if (!text_equal(x->name, y->name) || !text_equal(x->target, y->target) || x->target_port != y->target_port)
            return false;
    }
    return true;
}

static bool rules_equal(const struct route_node *a, const struct route_node *b)
{
    return a->peerapi4 == b->peerapi4 && a->peerapi6 == b->peerapi6 && a->mtu == b->mtu && a->admin == b->admin &&
           a->revoked == b->revoked &&
           a->keepalive == b->keepalive && a->consent == b->consent && a->transport == b->transport &&
           a->proxy_protocol == b->proxy_protocol && a->half_close == b->half_close &&
           a->connections_max == b->connections_max && a->expires == b->expires &&
           list_equal(a->ports, a->ports_count, b->ports, b->ports_count, sizeof(*a->ports)) && names_equal(a, b);
}

/* memcmp of a list is comparing its values */
_Static_assert(sizeof(struct addrport) == sizeof(struct addr) + sizeof(uint16_t), "addrport has no padding");

unsigned route_node_changed(const struct route_node *was, const struct route_node *now)
{
    unsigned changed = 0;

    if (was == now)
        return 0;
    if (memcmp(was->key, now->key, ROUTE_KEY_BYTES) != 0 || !preshared_equal(was, now) ||
        !text_equal(was->tailnet, now->tailnet))
        changed |= ROUTE_CHANGED_PEER;
    if (!list_equal(was->addresses, was->addresses_count, now->addresses, now->addresses_count, sizeof(struct addr)))
        changed |= ROUTE_CHANGED_ADDRESSES;
    if (!list_equal(was->endpoints, was->endpoints_count, now->endpoints, now->endpoints_count,
                    sizeof(struct addrport)))
        changed |= ROUTE_CHANGED_ENDPOINTS;
    if (!rules_equal(was, now))
        changed |= ROUTE_CHANGED_RULES;
    return changed;
}
