#include "ingress/local_endpoints.h"

#include <string.h>

static bool is_any(const struct addr *a)
{
    static const uint8_t zero[4];

    return addr_is_none(a) || (addr_is_v4(a) && memcmp(addr_v4_bytes(a), zero, sizeof(zero)) == 0);
}

size_t local_endpoints(const struct addrport *listen, size_t listen_count, const struct addr *machine,
                       size_t machine_count, struct control_endpoint *out, size_t cap)
{
    size_t n = 0;

    for (size_t i = 0; i < listen_count; i++) {
        bool v4 = addr_is_v4(&listen[i].addr);

        if (!is_any(&listen[i].addr)) {
            if (n < cap)
                out[n++] = (struct control_endpoint){listen[i], CONTROL_ENDPOINT_LOCAL};
            continue;
        }
        for (size_t k = 0; k < machine_count && n < cap; k++)
            if (addr_is_v4(&machine[k]) == v4)
                out[n++] = (struct control_endpoint){{machine[k], listen[i].port}, CONTROL_ENDPOINT_LOCAL};
    }
    return n;
}
