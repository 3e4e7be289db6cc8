/* fuzz_feed.c - any bytes as a feed: either a table in which every node and name is found again, or errors. */
#include <stdint.h>
#include <string.h>

#include "common/base/bug.h"
#include "ingress/feed/feed_document.h"
#include "ingress/route/route_diff.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool candidate(const struct route_match *match, const struct route_node *node)
{
    for (size_t i = 0; i < match->count; i++)
        if (match->candidates[i].node == node)
            return true;
    return false;
}

/* Each of its names leads to it, by each of its ports, exactly when it may be used. */
static void check_node(const struct route_table *t, const struct route_node *node)
{
    BUG_ON(route_node_by_id(t, node->id, strlen(node->id)) != node);
    BUG_ON(route_node_by_key(t, node->key) != node);
    BUG_ON(node->addresses_count == 0 || node->mtu < ROUTE_MTU_MIN || node->mtu > ROUTE_MTU_MAX);
    for (size_t i = 0; i < node->names_count; i++) {
        const char *name = node->names[i].name;
        char below[300] = "x";
        struct route_match match;

        if (name[0] == '*')
            name = strcat(below, name + 1);
        BUG_ON(route_find(t, name, strlen(name), 0, 0, &match) != ROUTE_PORT_NOT_FUNNELLED);
        for (size_t j = 0; j < node->ports_count; j++) {
            enum route_result result = route_find(t, name, strlen(name), node->ports[j], 0, &match);

            BUG_ON(result == ROUTE_UNKNOWN_NAME || (result == ROUTE_OK) != (match.count > 0));
            BUG_ON(name != below && candidate(&match, node) != route_node_open(node, 0));
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct map_seed seed = {1, 2};
    struct route_table *one, *two;
    struct config_errors errors;

    config_errors_init(&errors);
    int err = feed_document_parse("feed", (const char *)data, size, &seed, &errors, &one);

    BUG_ON((err == 0) != (one != NULL) || (err == 0) != (errors.count == 0));
    if (err < 0)
        return 0;
    for (size_t i = 0; i < route_node_count(one); i++)
        check_node(one, route_table_at(one, (uint32_t)i));
    BUG_ON(feed_document_parse("feed", (const char *)data, size, &seed, &errors, &two) != 0);
    BUG_ON(route_node_count(one) != route_node_count(two));
    for (uint32_t i = 0; i < route_table_places(one); i++)
        BUG_ON(route_node_changed(route_table_at(one, i), route_table_at(two, i)));
    route_table_free(one);
    route_table_free(two);
    return 0;
}
