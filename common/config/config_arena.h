/* config_arena.h - memory that is taken piece by piece and freed at once: a configuration lives and dies as a whole. */
#ifndef CONFIG_ARENA_H
#define CONFIG_ARENA_H

#include <stddef.h>

struct config_arena;

/* config_arena_new - an empty arena that never holds more than limit_bytes. NULL: no memory. */
struct config_arena *config_arena_new(size_t limit_bytes);
void config_arena_free(struct config_arena *arena);

/* config_arena_take - `size` zeroed bytes, aligned for any type; NULL when the limit or the machine's memory is
 * reached. They live until config_arena_free. */
void *config_arena_take(struct config_arena *arena, size_t size);

/* config_arena_text - a copy of len bytes of text with a zero after them, or NULL. */
char *config_arena_text(struct config_arena *arena, const char *text, size_t len);

#endif
