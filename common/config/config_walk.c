/* config_walk.c - typed access to values the compiler does not know. */
#include "common/config/config_walk.h"

#include <string.h>

#include "common/base/addr.h"
#include "common/base/bug.h"
#include "common/config/config_text.h"

uint64_t config_uint(const struct config_field *field, const void *value)
{
    switch (field->size) {
    case 1:
        return *(const uint8_t *)value;
    case 2:
        return *(const uint16_t *)value;
    case 4:
        return *(const uint32_t *)value;
    default:
        BUG_ON(field->size != 8);
        return *(const uint64_t *)value;
    }
}

const char *config_items(const struct config_field *field, const void *base, size_t *count)
{
    const char *at = (const char *)base + field->offset;

    if (!field->list) {
        *count = 1;
        return at;
    }
    *count = *(const size_t *)(const void *)((const char *)base + field->count_offset);
    return *(const char *const *)(const void *)at;
}

static bool struct_equal(const struct config_schema *schema, const void *a, const void *b)
{
    for (size_t i = 0; i < schema->count; i++) {
        const struct config_field *f = &schema->fields[i];
        size_t na, nb;
        const char *ia = config_items(f, a, &na), *ib = config_items(f, b, &nb);

        if (na != nb)
            return false;
        for (size_t n = 0; n < na; n++)
            if (!config_value_equal(f, ia + n * f->size, ib + n * f->size))
                return false;
    }
    return true;
}

bool config_value_equal(const struct config_field *field, const void *a, const void *b)
{
    const struct config_hostport *ha = a, *hb = b;
    const struct prefix *pa = a, *pb = b;

    switch (field->type) {
    case CONFIG_STRING:
    case CONFIG_PATH:
    case CONFIG_NAME:
        return strcmp(*(const char *const *)a, *(const char *const *)b) == 0;
    case CONFIG_BOOL:
        return *(const bool *)a == *(const bool *)b;
    case CONFIG_ADDR:
        return addr_equal(a, b);
    case CONFIG_ADDRPORT:
        return addrport_equal(a, b);
    case CONFIG_PREFIX:
        return pa->bits == pb->bits && addr_equal(&pa->addr, &pb->addr);
    case CONFIG_HOSTPORT:
        return ha->port == hb->port && strcmp(ha->host, hb->host) == 0 && strcmp(ha->unix_path, hb->unix_path) == 0;
    case CONFIG_STRUCT:
        return struct_equal(field->sub, a, b);
    default:
        return config_uint(field, a) == config_uint(field, b);
    }
}
