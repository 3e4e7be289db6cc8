/* config_hint.c - finding the unquoted value on the line.
 *
 * Messages and marks measured with libyaml 0.2.5. */
#include "common/config/config_hint.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

struct line {
    const char *text;
    size_t len;
};

static struct line line_of(const char *text, size_t len, unsigned number)
{
    const char *end = text + len, *at = text;

    while (--number > 0 && at < end) {
        const char *nl = memchr(at, '\n', (size_t)(end - at));

        at = nl ? nl + 1 : end;
    }
    const char *nl = at < end ? memchr(at, '\n', (size_t)(end - at)) : NULL;

    return (struct line){at, (size_t)((nl ? nl : end) - at)};
}

static size_t span(struct line l, size_t from, const char *set)
{
    size_t n = 0;

    while (from + n < l.len && l.text[from + n] && strchr(set, l.text[from + n]))
        n++;
    return n;
}

#define DIGITS  "0123456789"
#define ADDRESS DIGITS "abcdefABCDEF:."
#define NAME    DIGITS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_."

/* needs_quotes - length of the value at `at` if it is one of those that YAML misreads; else 0. */
static size_t needs_quotes(struct line l, size_t at)
{
    char c = l.text[at];
    bool starts = at == 0 || strchr(" \t,[", l.text[at - 1]);

    if (c == '[') { /* [2001:db8::1]:443 */
        size_t inside = span(l, at + 1, ADDRESS), close = at + 1 + inside;

        if (!memchr(l.text + at + 1, ':', inside) || close + 1 >= l.len || l.text[close] != ']' ||
            l.text[close + 1] != ':')
            return 0;
        size_t port = span(l, close + 2, DIGITS);

        return port ? close + 2 + port - at : 0;
    }
    if (starts && c == '*' && at + 1 < l.len && l.text[at + 1] == '.') /* *.example.com */
        return 1 + span(l, at + 1, NAME);
    if (starts && c == ':' && at + 1 < l.len && l.text[at + 1] == ':') /* ::1 */
        return span(l, at, ADDRESS);
    return 0;
}

/* hint_quote - the first unquoted value on the line that must not be one. */
static bool hint_quote(struct config_hint *hint, struct line l)
{
    char quote = 0;

    for (size_t at = 0; at < l.len; at++) {
        char c = l.text[at];

        if (quote || c == '"' || c == '\'') {
            quote = !quote ? c : c == quote ? 0 : quote;
            continue;
        }
        if (c == '#')
            return false;
        size_t len = needs_quotes(l, at);

        if (len > 0) {
            snprintf(hint->text, sizeof(hint->text), "quote this value: \"%.*s\"", (int)(len < 80 ? len : 80),
                     l.text + at);
            hint->column = (unsigned)at + 1;
            return true;
        }
    }
    return false;
}

void config_hint_find(struct config_hint *hint, const char *text, size_t len, unsigned line, unsigned column,
                      const char *problem)
{
    struct line l = line_of(text, len, line);
    char c = column > 0 && column <= l.len ? l.text[column - 1] : 0;
    const char *say = "";

    hint->column = 0;
    hint->text[0] = 0;
    if (hint_quote(hint, l))
        return;
    if (c == '\t')
        say = "indent with spaces, not tabs";
    else if (c && strchr("@`%*&!|>", c))
        say = "quote this value";
    else if (strstr(problem, "mapping values are not allowed"))
        say = "quote a value that has ': ' in it, and check the indentation";
    else if (strstr(problem, "Unicode character escape"))
        say = "write the character itself instead of escaping it";
    snprintf(hint->text, sizeof(hint->text), "%s", say);
}
