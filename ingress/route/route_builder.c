#include "ingress/route/route_builder.h"

#include <string.h>

#include "common/base/err.h"

static bool take_first(const struct route_conflict *conflict, void *ctx)
{
    *(struct route_conflict *)ctx = *conflict;
    return false;
}

static bool in_conflict(const struct route_table *table, const struct route_node *row, struct route_conflict *c)
{
    *c = (struct route_conflict){.kind = ROUTE_CONFLICT_ID};
    c->other = route_node_by_id(table, row->id, strlen(row->id));
    if (c->other)
        return true;
    c->kind = route_row_twice(row, &c->index);
    return c->kind != ROUTE_CONFLICT_NONE || !route_table_conflicts(table, row, take_first, c);
}

int route_builder_enter(struct route_table *table, const struct route_node *row, struct route_conflict *conflict)
{
    const struct route_node *was;
    int err = in_conflict(table, row, conflict) ? ERR_EXISTS : route_table_enter(table, row, &was);

    if (err == 0)
        route_table_order_set(table, route_node_place(row), route_node_place(row));
    return err;
}

int route_builder_add(struct route_table *table, const struct route_node *node, struct route_conflict *conflict)
{
    const struct route_node *row = route_row_new(node);
    int err = row ? route_builder_enter(table, row, conflict) : ERR_NOMEM;

    if (err != 0)
        route_node_put(row);
    return err;
}
