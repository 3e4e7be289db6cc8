/* config_path.c - a bounded text that grows and shrinks at its end. */
#include "common/config/config_path.h"

#include <string.h>

#define CUT "..."

void config_path_init(struct config_path *path)
{
    config_path_up(path, 0);
}

size_t config_path_down(struct config_path *path, const char *piece)
{
    size_t before = path->len, room = sizeof(path->text) - sizeof(CUT);
    size_t dot = before && *piece && *piece != '[', len = strlen(piece), left = sizeof(path->text) - 1 - before;

    if (before > room)
        return before; /* was cut already */
    /* by hand: a feed of a million rows comes this way ten million times */
    if (dot)
        path->text[before] = '.';
    memcpy(path->text + before + dot, piece, len + dot > left ? left - dot : len);
    path->len = before + dot + len;
    path->text[path->len > left + before ? left + before : path->len] = 0;
    if (path->len > room) {
        memcpy(path->text + room, CUT, sizeof(CUT));
        path->len = sizeof(path->text) - 1;
    }
    return before;
}

size_t config_path_index(struct config_path *path, size_t index)
{
    char piece[32], *at = piece + sizeof(piece);

    *--at = 0;
    *--at = ']';
    do
        *--at = (char)('0' + index % 10);
    while ((index /= 10) > 0);
    *--at = '[';
    return config_path_down(path, at);
}

void config_path_up(struct config_path *path, size_t before)
{
    path->len = before;
    path->text[before] = 0;
}
