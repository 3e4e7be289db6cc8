/* config_path.h - the way from a file's root to one value, as errors name it: "listen[0].address".
 *
 * Going down returns where the path ended before; config_path_up takes it back there. A path that would not fit ends
 * in "..." and stays so until it is taken back. */
#ifndef CONFIG_PATH_H
#define CONFIG_PATH_H

#include <stddef.h>

#define CONFIG_PATH_STR 160

struct config_path {
    char text[CONFIG_PATH_STR]; /* "" at the root */
    size_t len;
};

void config_path_init(struct config_path *path);

/* config_path_down - go down by a piece of path: "key", "[1]", "list[1].key". "" goes nowhere. */
size_t config_path_down(struct config_path *path, const char *piece);

/* config_path_index - go down to an element of a list. */
size_t config_path_index(struct config_path *path, size_t index);

void config_path_up(struct config_path *path, size_t before);

#endif
