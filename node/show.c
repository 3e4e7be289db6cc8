#include "node/show.h"

#include <string.h>

/* everything printed between quotes here is a DNS name, a key or an address: nothing that JSON would escape */

static bool named_before(const struct node_config *c, size_t index)
{
    for (size_t i = 0; i < index; i++)
        if (c->services[i].funnel && strcmp(c->services[i].name, c->services[index].name) == 0)
            return true;
    return false;
}

static void print_names(const struct node_config *c, FILE *out)
{
    const char *separator = "";

    fprintf(out, "\"names\": [");
    for (size_t i = 0; i < c->services_count; i++)
        if (c->services[i].funnel && !named_before(c, i)) {
            fprintf(out, "%s\"%s\"", separator, c->services[i].name);
            separator = ", ";
        }
    fprintf(out, "]");
}

/* ports of all services together: the feed knows ports by node, and the node itself refuses what does not fit */
static void print_ports(const struct node_config *c, FILE *out)
{
    const char *separator = "";
    bool wanted[UINT16_MAX + 1] = {false};

    for (size_t i = 0; i < c->services_count; i++)
        for (size_t p = 0; c->services[i].funnel && p < c->services[i].ports_count; p++)
            wanted[c->services[i].ports[p]] = true;
    fprintf(out, "\"ports\": [");
    for (unsigned port = 1; port <= UINT16_MAX; port++)
        if (wanted[port]) {
            fprintf(out, "%s%u", separator, port);
            separator = ", ";
        }
    fprintf(out, "]");
}

static bool has_family(const struct setup *s, bool v4)
{
    for (size_t i = 0; i < s->addrs_count; i++)
        if (addr_is_v4(&s->addrs[i]) == v4)
            return true;
    return false;
}

void show_row(const struct setup *s, FILE *out)
{
    const struct node_config *c = s->config;
    char key[KEY_STR], addr[ADDR_STR];

    fprintf(out, "{\"id\": \"node-");
    for (size_t i = 0; i < 8; i++)
        fprintf(out, "%02x", s->public_key[i]);
    fprintf(out, "\", ");
    print_names(c, out);
    key_format(s->public_key, key);
    fprintf(out, ", \"key\": \"%s\"", key);
    for (size_t i = 0; i < c->addresses_count; i++)
        fprintf(out, "%s\"%s\"%s", i == 0 ? ", \"addresses\": [" : ", ", addr_format(&c->addresses[i], addr),
                i + 1 == c->addresses_count ? "]" : "");
    if (has_family(s, true))
        fprintf(out, ", \"peerapi4\": %u", (unsigned)c->peerapi_port);
    if (has_family(s, false))
        fprintf(out, ", \"peerapi6\": %u", (unsigned)c->peerapi_port);
    fprintf(out, ", ");
    print_ports(c, out);
    fprintf(out, ", \"funnel\": {\"admin\": true, \"node\": \"ask\"}}\n");
}

void show_print(const struct setup *setup, FILE *out)
{
    char key[KEY_STR], addr[ADDR_STR];

    key_format(setup->public_key, key);
    fprintf(out, "public_key: %s\n", key);
    for (size_t i = 0; i < setup->addrs_count; i++)
        fprintf(out, "address: %s\n", addr_format(&setup->addrs[i], addr));
    fprintf(out, "feed row:\n");
    show_row(setup, out);
}
