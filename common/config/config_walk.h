/* config_walk.h - what printing, reference and comparison share: reading fields of a loaded struct by the table. */
#ifndef CONFIG_WALK_H
#define CONFIG_WALK_H

#include "common/config/config.h"

/* config_uint - the number in an integer, duration, size or enum field. */
uint64_t config_uint(const struct config_field *field, const void *value);

/* config_items - where a field's values lie in the struct at base, and how many: 1 unless it is a list. */
const char *config_items(const struct config_field *field, const void *base, size_t *count);

/* config_value_equal - whether two values of the field's type, one element each, mean the same. */
bool config_value_equal(const struct config_field *field, const void *a, const void *b);

#endif
