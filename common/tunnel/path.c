#include "common/tunnel/path.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/bug.h"
#include "common/base/err.h"

void path_init(struct path *path)
{
    *path = (struct path){0};
}

void path_deinit(struct path *path)
{
    free(path->candidates);
    path_init(path);
}

static bool same(const struct path *path, const struct endpoint *candidates, size_t count)
{
    if (path->candidates_count != count)
        return false;
    for (size_t i = 0; i < count; i++)
        if (path->candidates[i].kind != candidates[i].kind ||
            !addrport_equal(&path->candidates[i].remote, &candidates[i].remote))
            return false;
    return true;
}

int path_candidates_set(struct path *path, const struct endpoint *candidates, size_t count)
{
    struct endpoint *copy = NULL;

    count = MIN(count, TUNNEL_ENDPOINTS_MAX);
    if (count > 0) {
        copy = malloc(count * sizeof(*copy));
        if (!copy)
            return ERR_NOMEM;
        memcpy(copy, candidates, count * sizeof(*copy));
    }
    path->doubted |= !same(path, candidates, count);
    free(path->candidates);
    path->candidates = copy;
    path->candidates_count = count;
    return 0;
}

bool path_heard(struct path *path, const struct endpoint *from)
{
    path->doubted = false;
    if (path->proven.kind == from->kind && addrport_equal(&path->proven.remote, &from->remote) &&
        addr_equal(&path->proven.local, &from->local))
        return false;
    path->proven = *from;
    return true;
}

struct endpoint path_data(const struct path *path)
{
    return path->proven;
}

size_t path_handshake(struct path *path, struct endpoint out[TUNNEL_ENDPOINTS_MAX + 1])
{
    size_t n = 0;

    if (path->proven.kind != ENDPOINT_NONE)
        out[n++] = path->proven;
    if (n == 0 || path->doubted)
        for (size_t i = 0; i < path->candidates_count; i++)
            if (n == 0 || !addrport_equal(&path->candidates[i].remote, &path->proven.remote))
                out[n++] = path->candidates[i];
    path->doubted = true;
    return n;
}

bool path_known(const struct path *path)
{
    return path->proven.kind != ENDPOINT_NONE || path->candidates_count > 0;
}
