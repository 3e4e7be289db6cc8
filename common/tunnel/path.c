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
        if (!endpoint_same_remote(&path->candidates[i], &candidates[i]))
            return false;
    return true;
}

static int candidates_copy(struct path *path, const struct endpoint *candidates, size_t count)
{
    struct endpoint *copy = NULL;

    if (count > 0) {
        copy = malloc(count * sizeof(*copy));
        if (!copy)
            return ERR_NOMEM;
        memcpy(copy, candidates, count * sizeof(*copy));
    }
    free(path->candidates);
    path->candidates = copy;
    path->candidates_count = count;
    return 0;
}

int path_candidates_set(struct path *path, const struct endpoint *candidates, size_t count)
{
    count = MIN(count, TUNNEL_ENDPOINTS_MAX);
    if (path->guided)
        return 0;
    bool changed = !same(path, candidates, count);
    int rc = candidates_copy(path, candidates, count);

    if (rc == 0)
        path->doubted |= changed;
    return rc;
}

int path_guide(struct path *path, const struct endpoint *to, size_t count)
{
    BUG_ON(count > TUNNEL_WAYS_MAX);
    int rc = candidates_copy(path, to, count);

    if (rc == 0)
        path->guided = true;
    return rc;
}

bool path_heard(struct path *path, const struct endpoint *from)
{
    path->doubted = false;
    if (endpoint_equal(&path->proven, from))
        return false;
    path->proven = *from;
    return true;
}

static bool led(const struct path *path)
{
    return path->guided && path->candidates_count > 0;
}

size_t path_data(const struct path *path, struct endpoint out[TUNNEL_WAYS_MAX])
{
    if (led(path)) {
        memcpy(out, path->candidates, path->candidates_count * sizeof(*out));
        return path->candidates_count;
    }
    out[0] = path->proven;
    return path->proven.kind != ENDPOINT_NONE;
}

size_t path_handshake(struct path *path, struct endpoint out[TUNNEL_ENDPOINTS_MAX + 1])
{
    size_t n = 0;

    if (led(path))
        return path_data(path, out);
    if (path->proven.kind != ENDPOINT_NONE)
        out[n++] = path->proven;
    if (n == 0 || path->doubted)
        for (size_t i = 0; i < path->candidates_count; i++)
            if (n == 0 || !endpoint_same_remote(&path->candidates[i], &path->proven))
                out[n++] = path->candidates[i];
    path->doubted = true;
    return n;
}

bool path_known(const struct path *path)
{
    return path->proven.kind != ENDPOINT_NONE || path->candidates_count > 0;
}
