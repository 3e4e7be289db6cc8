#include "common/net/interfaces.h"

#include <string.h>
#include <uv.h>

#include "common/net/stream.h"

static bool is_link_local(const struct addr *a)
{
    static const char *const nets[] = {"fe80::/10", "169.254.0.0/16"};
    struct prefix p;

    for (int i = 0; i < 2; i++)
        if (prefix_parse(nets[i], strlen(nets[i]), &p) && prefix_holds(&p, a))
            return true;
    return false;
}

size_t interfaces_list(struct addr *out, size_t cap)
{
    uv_interface_address_t *all;
    int count;
    size_t n = 0;

    if (uv_interface_addresses(&all, &count) != 0)
        return 0;
    for (int i = 0; i < count && n < cap; i++) {
        struct addrport at;

        addrport_from_sockaddr((const struct sockaddr *)&all[i].address, &at);
        if (!all[i].is_internal && !addr_is_none(&at.addr) && !is_link_local(&at.addr))
            out[n++] = at.addr;
    }
    uv_free_interface_addresses(all, count);
    return n;
}
