/* config_reference.c - the table of keys for people (Markdown) and for editors (JSON Schema). */
#include <string.h>

#include "common/base/bug.h"
#include "common/config/config_path.h"
#include "common/config/config_text.h"
#include "common/config/config_walk.h"

static const char *const type_names[] = {
    [CONFIG_STRING] = "text",
    [CONFIG_PATH] = "path",
    [CONFIG_BOOL] = "on or off",
    [CONFIG_INT] = "number",
    [CONFIG_DURATION] = "time",
    [CONFIG_SIZE] = "size",
    [CONFIG_ENUM] = "word",
    [CONFIG_ADDR] = "address",
    [CONFIG_ADDRPORT] = "address:port",
    [CONFIG_PREFIX] = "network",
    [CONFIG_NAME] = "DNS name",
    [CONFIG_HOSTPORT] = "host:port",
    [CONFIG_STRUCT] = "map",
};

/* Markdown. */

/* print_cell - text inside a table, where a bar would end the cell */
static void print_cell(const char *text, FILE *out)
{
    for (; *text; text++)
        fprintf(out, *text == '|' ? "\\%c" : "%c", *text);
}

static void print_type(const struct config_field *f, FILE *out)
{
    char min[CONFIG_TEXT_STR], max[CONFIG_TEXT_STR];

    fputs(f->list ? "list of " : "", out);
    if (f->type == CONFIG_ENUM || f->type == CONFIG_INT)
        for (size_t i = 0; f->words && f->words[i]; i++)
            fprintf(out, "%s`%s`", i ? ", " : "", f->words[i]);
    switch (f->type) {
    case CONFIG_ENUM:
        return;
    case CONFIG_INT:
        fprintf(out, "%s%llu to %llu", f->words ? " or " : "", (unsigned long long)f->min, (unsigned long long)f->max);
        return;
    case CONFIG_DURATION:
        fprintf(out, "%s to %s", config_text_duration_write(f->min, min), config_text_duration_write(f->max, max));
        return;
    case CONFIG_SIZE:
        fprintf(out, "%s to %s", config_text_size_write(f->min, min), config_text_size_write(f->max, max));
        return;
    default:
        fprintf(out, "%s%s", type_names[f->type], f->flags & CONFIG_UNIX ? " or unix:/path" : "");
    }
}

static void reference(const struct config_schema *schema, struct config_path *path, bool restart, FILE *out)
{
    for (size_t i = 0; i < schema->count; i++) {
        const struct config_field *f = &schema->fields[i];
        size_t before = config_path_down(path, f->name);
        bool fixed = restart || (f->flags & CONFIG_RESTART);

        fprintf(out, "| `%s` | ", path->text);
        print_type(f, out);
        fputs(" | ", out);
        if (f->flags & CONFIG_REQUIRED)
            fputs("required", out);
        else if (f->def)
            fprintf(out, "`%s`", *f->def ? f->def : "\"\"");
        fprintf(out, " | %s | ", fixed ? "restart" : "reload");
        print_cell(f->help, out);
        fputs(" |\n", out);
        if (f->type == CONFIG_STRUCT) {
            config_path_down(path, f->list ? "[]" : "");
            reference(f->sub, path, fixed, out);
        }
        config_path_up(path, before);
    }
}

void config_reference(const struct config_schema *schema, FILE *out)
{
    struct config_path path;

    config_path_init(&path);
    fputs("| key | value | default | taken up by | meaning |\n|---|---|---|---|---|\n", out);
    reference(schema, &path, false, out);
}

/* JSON Schema. */

static void json_text(const char *text, FILE *out)
{
    fputc('"', out);
    for (; *text; text++) {
        if (*text == '"' || *text == '\\')
            fputc('\\', out);
        fputc(*text, out);
    }
    fputc('"', out);
}

static void json_members(const struct config_schema *schema, unsigned indent, FILE *out);

/* json_words - an enum; `off` and `on` are also what readers of YAML 1.1 make of them: booleans */
static void json_words(const char *const *words, FILE *out)
{
    fputs("\"enum\": [", out);
    for (size_t i = 0; words[i]; i++) {
        fputs(i ? ", " : "", out);
        json_text(words[i], out);
        if (strcmp(words[i], "off") == 0)
            fputs(", false", out);
        else if (strcmp(words[i], "on") == 0)
            fputs(", true", out);
    }
    fputc(']', out);
}

static void json_integer(const struct config_field *f, FILE *out)
{
    fputs(f->words ? "\"anyOf\": [{" : "", out);
    fprintf(out, "\"type\": \"integer\", \"minimum\": %llu, \"maximum\": %llu", (unsigned long long)f->min,
            (unsigned long long)f->max);
    if (f->words) {
        fputs("}, {", out);
        json_words(f->words, out);
        fputs("}]", out);
    }
}

/* json_value - what one value may be: the members of its schema, without the braces */
static void json_value(const struct config_field *f, unsigned indent, FILE *out)
{
    static const char *const bool_words[] = {"on", "off", "yes", "no", "true", "false", NULL};

    switch (f->type) {
    case CONFIG_BOOL:
        json_words(bool_words, out);
        break;
    case CONFIG_ENUM:
        json_words(f->words, out);
        break;
    case CONFIG_INT:
        json_integer(f, out);
        break;
    case CONFIG_DURATION:
        fputs("\"type\": \"string\", \"pattern\": \"^[0-9]+(ms|s|m|h|d)$\"", out);
        break;
    case CONFIG_SIZE:
        fputs("\"type\": [\"string\", \"integer\"], \"pattern\": \"^[0-9]+(KiB|MiB|GiB)?$\"", out);
        break;
    case CONFIG_STRUCT:
        json_members(f->sub, indent, out);
        break;
    default:
        fputs("\"type\": \"string\"", out);
    }
}

/* json_default - lists are written as JSON in the table, numbers look the same, all else is text */
static void json_default(const struct config_field *f, FILE *out)
{
    if (f->list || (f->type == CONFIG_INT && *f->def >= '0' && *f->def <= '9'))
        fputs(f->def, out);
    else
        json_text(f->def, out);
}

static void json_field(const struct config_field *f, unsigned indent, FILE *out)
{
    int in = (int)indent + 2;

    fprintf(out, "%*s", (int)indent, "");
    json_text(f->name, out);
    fprintf(out, ": {\n%*s\"description\": ", in, "");
    json_text(f->help, out);
    if (f->def) {
        fprintf(out, ",\n%*s\"default\": ", in, "");
        json_default(f, out);
    }
    fprintf(out, ",\n%*s", in, "");
    if (f->list) {
        fprintf(out, "\"type\": \"array\",\n%*s\"minItems\": %zu,\n%*s\"maxItems\": %zu,\n%*s\"items\": {", in, "",
                f->list_min, in, "", f->list_max ? f->list_max : (size_t)CONFIG_LIST_MAX, in, "");
        json_value(f, indent + 4, out);
        fputc('}', out);
    } else {
        json_value(f, indent + 2, out);
    }
    fprintf(out, "\n%*s}", (int)indent, "");
}

static void json_members(const struct config_schema *schema, unsigned indent, FILE *out)
{
    int in = (int)indent;
    const char *comma = "";

    fprintf(out, "\"type\": \"object\",\n%*s\"additionalProperties\": false,\n%*s\"required\": [", in, "", in, "");
    for (size_t i = 0; i < schema->count; i++) {
        if (!(schema->fields[i].flags & CONFIG_REQUIRED))
            continue;
        fputs(comma, out);
        json_text(schema->fields[i].name, out);
        comma = ", ";
    }
    fprintf(out, "],\n%*s\"properties\": {\n", in, "");
    for (size_t i = 0; i < schema->count; i++) {
        json_field(&schema->fields[i], indent + 2, out);
        fputs(i + 1 < schema->count ? ",\n" : "\n", out);
    }
    fprintf(out, "%*s}", in, "");
}

void config_json_schema(const struct config_schema *schema, FILE *out)
{
    fputs("{\n  \"$schema\": \"https://json-schema.org/draft/2020-12/schema\",\n  \"title\": ", out);
    json_text(schema->title, out);
    fputs(",\n  ", out);
    json_members(schema, 2, out);
    fputs("\n}\n", out);
}
