/* table.h - short ways to make nodes and tables in tests of ingress/route. */
#ifndef TEST_TABLE_H
#define TEST_TABLE_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "common/base/bug.h"
#include "ingress/route/route_builder.h"

static const struct map_seed seed = {1, 2};
static const uint16_t port_443[] = {443};

/* A node that may be funnelled on 443; its key is the id, padded. Names are borrowed. */
static inline struct route_node node_of(const char *id, const struct route_name *names, size_t count)
{
    struct route_node n = {
        .id = id,
        .tailnet = "",
        .ports = port_443,
        .ports_count = 1,
        .names = names,
        .names_count = (uint16_t)count,
        .peerapi6 = 1,
        .mtu = ROUTE_MTU_MIN,
        .admin = true,
        .consent = ROUTE_CONSENT_YES,
    };

    strncpy((char *)n.key, id, ROUTE_KEY_BYTES);
    return n;
}

static inline struct route_table *table_new(void)
{
    struct route_table *t = route_table_new(&seed);

    assert_non_null(t);
    return t;
}

static inline void add(struct route_table *t, const struct route_node *node)
{
    struct route_conflict conflict;

    assert_int_equal(route_builder_add(t, node, &conflict), 0);
}

static inline enum route_result find(const struct route_table *t, const char *name, struct route_match *out)
{
    return route_find(t, name, strlen(name), 443, 0, out);
}

#endif
