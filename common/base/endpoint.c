#include "common/base/endpoint.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

static_assert(sizeof(struct endpoint) == 40, "a relay costs no more room than UDP alone did");

bool endpoint_same_remote(const struct endpoint *a, const struct endpoint *b)
{
    if (a->kind != b->kind)
        return false;
    switch (a->kind) {
    case ENDPOINT_UDP:
        return addrport_equal(&a->remote, &b->remote);
    case ENDPOINT_DERP:
        return a->region == b->region && memcmp(a->key, b->key, sizeof(a->key)) == 0;
    case ENDPOINT_NONE:
        break;
    }
    return true;
}

bool endpoint_equal(const struct endpoint *a, const struct endpoint *b)
{
    return endpoint_same_remote(a, b) && (a->kind != ENDPOINT_UDP || addr_equal(&a->local, &b->local));
}

struct endpoint endpoint_derp(const uint8_t key[ENDPOINT_KEY_BYTES], uint16_t region)
{
    struct endpoint e = {.kind = ENDPOINT_DERP, .region = region};

    memcpy(e.key, key, sizeof(e.key));
    return e;
}

const char *endpoint_format(const struct endpoint *e, char out[ENDPOINT_STR])
{
    out[0] = 0;
    if (e->kind == ENDPOINT_UDP)
        addrport_format(&e->remote, out);
    else if (e->kind == ENDPOINT_DERP)
        snprintf(out, ENDPOINT_STR, "derp-%u", e->region);
    return out;
}
