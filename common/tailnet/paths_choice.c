/* paths_choice.c - which of two addresses is better: points for latency and for being near. magicsock's betterAddr. */
#include "common/tailnet/paths_priv.h"

#define LOOPBACK_POINTS   50
#define LINK_LOCAL_POINTS 30
#define PRIVATE_POINTS    20
#define V6_POINTS         10
#define GAIN_MIN          1 /* points that are not worth a change */

static bool within(const struct addr *a, const char *text, size_t len)
{
    struct prefix p;

    return prefix_parse(text, len, &p) && prefix_holds(&p, a);
}
#define WITHIN(a, text) within(a, text, sizeof(text) - 1)

static bool is_link_local(const struct addr *a)
{
    return WITHIN(a, "169.254.0.0/16") || WITHIN(a, "fe80::/10");
}

static int place_points(const struct addr *a)
{
    int points = addr_is_v4(a) ? 0 : V6_POINTS;

    if (WITHIN(a, "127.0.0.0/8") || WITHIN(a, "::1/128"))
        points += LOOPBACK_POINTS;
    else if (is_link_local(a))
        points += LINK_LOCAL_POINTS;
    else if (WITHIN(a, "10.0.0.0/8") || WITHIN(a, "172.16.0.0/12") || WITHIN(a, "192.168.0.0/16") ||
             WITHIN(a, "fc00::/7"))
        points += PRIVATE_POINTS;
    return points;
}

bool paths_better(const struct addrport *a, uint64_t a_latency_ns, const struct addrport *b, uint64_t b_latency_ns)
{
    int a_points = place_points(&a->addr), b_points = place_points(&b->addr);

    /* the faster one gets as many points as it is faster, in percent of the slower */
    if (a_latency_ns > b_latency_ns)
        b_points += (int)(100 - b_latency_ns * 100 / a_latency_ns);
    else if (b_latency_ns > 0)
        a_points += (int)(100 - a_latency_ns * 100 / b_latency_ns);
    return a_points > b_points + GAIN_MIN;
}

bool paths_usable(const struct addrport *at)
{
    const struct addr *a = &at->addr;

    /* a link-local IPv6 address means nothing without an interface, which nobody can name to us */
    return at->port != 0 && !addr_is_none(a) && !WITHIN(a, "0.0.0.0/8") && !WITHIN(a, "224.0.0.0/4") &&
           !WITHIN(a, "255.255.255.255/32") && !WITHIN(a, "ff00::/8") && !WITHIN(a, "fe80::/10");
}
