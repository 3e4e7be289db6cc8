/* config_checks.c - one function each. */
#include "common/config/config_checks.h"

#include <stdlib.h>
#include <string.h>

static int by_text(const void *a, const void *b)
{
    const struct config_once *x = a, *y = b;
    int order = strcmp(x->text, y->text);

    /* paths of one array differ in an index: shorter is earlier, else by digits */
    if (order == 0)
        order = (strlen(x->path) > strlen(y->path)) - (strlen(x->path) < strlen(y->path));
    return order ? order : strcmp(x->path, y->path);
}

void config_check_once(struct config_check *at, struct config_once *values, size_t count)
{
    size_t first = 0;

    if (!values || count == 0)
        return;
    qsort(values, count, sizeof(*values), by_text);
    for (size_t i = 1; i < count; i++) {
        if (strcmp(values[i].text, values[first].text) == 0)
            config_fault(at, values[i].path, "'%s' is there already, as %s", values[i].text, values[first].path);
        else
            first = i;
    }
}

static bool single_host(const struct addr *a)
{
    if (addr_is_v4(a))
        return addr_v4_bytes(a)[0] != 0 && addr_v4_bytes(a)[0] != 127 && addr_v4_bytes(a)[0] < 224;
    static const struct addr loopback = {{[15] = 1}};

    return !addr_is_none(a) && !addr_equal(a, &loopback) && a->b[0] != 0xff;
}

void config_check_own_addresses(struct config_check *at, const char *path, const struct addr *addresses, size_t count)
{
    struct config_once *once = count ? config_take(at, count * sizeof(*once)) : NULL;

    for (size_t i = 0; i < count && once; i++) {
        char text[ADDR_STR];

        addr_format(&addresses[i], text);
        once[i].text = config_format(at, "%s", text);
        once[i].path = config_format(at, "%s[%zu]", path, i);
        if (!single_host(&addresses[i]))
            config_fault(at, once[i].path, "'%s' can't be an own address inside the tunnel", text);
    }
    config_check_once(at, once, count);
}

void config_check_per_family(struct config_check *at, const char *path, const struct addrport *listen, size_t count)
{
    unsigned seen[2] = {0, 0};

    for (size_t i = 0; i < count; i++) {
        bool v4 = addr_is_v4(&listen[i].addr);

        if (seen[v4]++ > 0)
            config_fault(at, config_format(at, "%s[%zu]", path, i), "is a second %s address; one each is served",
                         v4 ? "IPv4" : "IPv6");
    }
}

void config_check_label(struct config_check *at, const char *path, const char *label)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";

    if (label[strspn(label, allowed)])
        config_fault(at, path, "'%s' may only have letters, digits, '-', '_' and '.'", label);
}
