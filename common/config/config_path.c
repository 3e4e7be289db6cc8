/* config_path.c - a bounded text that grows and shrinks at its end. */
#include "common/config/config_path.h"

#include <stdio.h>
#include <string.h>

#define CUT "..."

void config_path_init(struct config_path *path)
{
    config_path_up(path, 0);
}

size_t config_path_down(struct config_path *path, const char *piece)
{
    size_t before = path->len, room = sizeof(path->text) - sizeof(CUT);
    const char *dot = before && *piece && *piece != '[' ? "." : "";

    if (before > room)
        return before; /* was cut already */
    int n = snprintf(path->text + before, sizeof(path->text) - before, "%s%s", dot, piece);

    path->len = before + (n > 0 ? (size_t)n : 0);
    if (path->len > room) {
        memcpy(path->text + room, CUT, sizeof(CUT));
        path->len = sizeof(path->text) - 1;
    }
    return before;
}

size_t config_path_index(struct config_path *path, size_t index)
{
    char piece[32];

    snprintf(piece, sizeof(piece), "[%zu]", index);
    return config_path_down(path, piece);
}

void config_path_up(struct config_path *path, size_t before)
{
    path->len = before;
    path->text[before] = 0;
}
