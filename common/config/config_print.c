/* config_print.c - the effective configuration as YAML. */
#include <string.h>

#include "common/base/addr.h"
#include "common/config/config_text.h"
#include "common/config/config_walk.h"

static void print_struct(const struct config_schema *schema, const void *value, unsigned indent, bool in_list,
                         FILE *out);

/* In double quotes nothing is special but quote and backslash; the loader lets no control characters in. */
static void print_quoted(const char *prefix, const char *text, FILE *out)
{
    fprintf(out, "\"%s", prefix);
    for (; *text; text++) {
        if (*text == '"' || *text == '\\')
            fputc('\\', out);
        fputc(*text, out);
    }
    fputc('"', out);
}

static void print_hostport(const struct config_hostport *hp, FILE *out)
{
    bool v6 = !addr_is_none(&hp->addr) && !addr_is_v4(&hp->addr);

    if (*hp->unix_path)
        print_quoted("unix:", hp->unix_path, out);
    else
        fprintf(out, v6 ? "\"[%s]:%u\"" : "\"%s:%u\"", hp->host, (unsigned)hp->port);
}

static void print_scalar(const struct config_field *f, const void *value, FILE *out)
{
    char text[CONFIG_TEXT_STR], address[ADDRPORT_STR];
    const struct prefix *prefix = value;

    switch (f->type) {
    case CONFIG_STRING:
    case CONFIG_PATH:
    case CONFIG_NAME:
        print_quoted("", *(const char *const *)value, out);
        break;
    case CONFIG_BOOL:
        fputs(*(const bool *)value ? "on" : "off", out);
        break;
    case CONFIG_ENUM:
        fputs(f->words[config_uint(f, value)], out);
        break;
    case CONFIG_DURATION:
        fputs(config_text_duration_write(config_uint(f, value), text), out);
        break;
    case CONFIG_SIZE:
        fputs(config_text_size_write(config_uint(f, value), text), out);
        break;
    case CONFIG_ADDR:
        fprintf(out, "\"%s\"", addr_format(value, address));
        break;
    case CONFIG_ADDRPORT:
        fprintf(out, "\"%s\"", addrport_format(value, address));
        break;
    case CONFIG_PREFIX:
        fprintf(out, "\"%s/%u\"", addr_format(&prefix->addr, address),
                (unsigned)prefix->bits - (addr_is_v4(&prefix->addr) ? 96 : 0));
        break;
    case CONFIG_HOSTPORT:
        print_hostport(value, out);
        break;
    default:
        if (f->words && config_uint(f, value) == 0)
            fputs(f->words[0], out);
        else
            fprintf(out, "%llu", (unsigned long long)config_uint(f, value));
    }
}

/* not_given - an optional value without a default that the file left out: there may be no way to write it. */
static bool not_given(const struct config_field *f, const void *value)
{
    const struct config_hostport *hp = value;
    const char *bytes = value;

    if (f->list || f->def || f->type == CONFIG_STRUCT)
        return false;
    switch (f->type) {
    case CONFIG_STRING:
    case CONFIG_PATH:
    case CONFIG_NAME:
        return !**(const char *const *)value;
    case CONFIG_HOSTPORT:
        return hp->port == 0 && !*hp->unix_path;
    default:
        return bytes[0] == 0 && memcmp(bytes, bytes + 1, f->size - 1) == 0;
    }
}

static void print_list(const struct config_field *f, const char *items, size_t count, unsigned indent, FILE *out)
{
    if (f->type == CONFIG_STRUCT && count > 0) {
        fputc('\n', out);
        for (size_t i = 0; i < count; i++)
            print_struct(f->sub, items + i * f->size, indent + 4, true, out);
        return;
    }
    fputs(" [", out);
    for (size_t i = 0; i < count; i++) {
        fputs(i ? ", " : "", out);
        print_scalar(f, items + i * f->size, out);
    }
    fputs("]\n", out);
}

static void print_struct(const struct config_schema *schema, const void *value, unsigned indent, bool in_list,
                         FILE *out)
{
    for (size_t i = 0; i < schema->count; i++) {
        const struct config_field *f = &schema->fields[i];
        size_t count;
        const char *items = config_items(f, value, &count);

        if (not_given(f, items) || (f->list && count == 0 && !f->def))
            continue;
        /* the first key of a list's element stands behind its dash */
        if (in_list)
            fprintf(out, "%*s%s:", (int)indent, "- ", f->name);
        else
            fprintf(out, "%*s%s:", (int)indent, "", f->name);
        in_list = false;
        if (f->list) {
            print_list(f, items, count, indent, out);
        } else if (f->type == CONFIG_STRUCT) {
            fputc('\n', out);
            print_struct(f->sub, items, indent + 2, false, out);
        } else {
            fputc(' ', out);
            print_scalar(f, items, out);
            fputc('\n', out);
        }
    }
}

void config_print(const struct config_schema *schema, const void *value, FILE *out)
{
    print_struct(schema, value, 0, false, out);
}
