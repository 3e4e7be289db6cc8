#include "ingress/feed/feed_scan.h"

#include <string.h>

struct scan {
    const char *at, *end;
};

static void blanks(struct scan *s)
{
    while (s->at < s->end && (*s->at == ' ' || *s->at == '\t' || *s->at == '\r' || *s->at == '\n'))
        s->at++;
}

static bool mark(struct scan *s, char c)
{
    blanks(s);
    if (s->at == s->end || *s->at != c)
        return false;
    s->at++;
    return true;
}

/* over a string, quotes included. RFC 8259 section 7 */
static bool string(struct scan *s, const char **inside, size_t *len)
{
    if (!mark(s, '"'))
        return false;
    *inside = s->at;
    for (; s->at < s->end && *s->at != '"'; s->at++) {
        if ((unsigned char)*s->at < ' ')
            return false;
        if (*s->at == '\\' && ++s->at == s->end)
            return false;
    }
    if (s->at == s->end)
        return false;
    *len = (size_t)(s->at++ - *inside);
    return true;
}

/* over an object or a list: brackets are counted, not paired, as who reads the inside will pair them */
static bool nested(struct scan *s)
{
    const char *inside;
    size_t depth = 0, len;

    do {
        if (s->at == s->end)
            return false;
        if (*s->at == '"') {
            if (!string(s, &inside, &len))
                return false;
            continue;
        }
        if (*s->at == '{' || *s->at == '[')
            depth++;
        if (*s->at == '}' || *s->at == ']')
            depth--;
        s->at++;
    } while (depth > 0);
    return true;
}

static bool scalar(struct scan *s)
{
    const char *from = s->at;

    while (s->at < s->end && *s->at != ',' && *s->at != '}' && *s->at > ' ' && *s->at <= '~')
        s->at++;
    return s->at > from;
}

static bool value(struct scan *s, struct feed_member *m)
{
    const char *inside;
    size_t len;
    bool ok;

    blanks(s);
    m->value = s->at;
    if (s->at == s->end)
        return false;
    if (*s->at == '"')
        ok = string(s, &inside, &len);
    else
        ok = *s->at == '{' || *s->at == '[' ? nested(s) : scalar(s);
    m->value_len = (size_t)(s->at - m->value);
    return ok;
}

bool feed_scan_first(const char *text, size_t len, const char **name, size_t *name_len)
{
    struct scan s = {text, text + len};

    return mark(&s, '{') && (blanks(&s), string(&s, name, name_len)) && mark(&s, ':');
}

static bool known(const struct feed_member *members, int count, const struct feed_member *m)
{
    for (int i = 0; i < count; i++)
        if (members[i].name_len == m->name_len && memcmp(members[i].name, m->name, m->name_len) == 0)
            return true;
    return false;
}

int feed_scan_object(const char *text, size_t len, struct feed_member out[FEED_SCAN_MEMBERS_MAX])
{
    struct scan s = {text, text + len};
    int count = 0;

    if (!mark(&s, '{'))
        return -1;
    if (!mark(&s, '}')) {
        do {
            struct feed_member *m = &out[count];

            if (count == FEED_SCAN_MEMBERS_MAX || !string(&s, &m->name, &m->name_len) || !mark(&s, ':') ||
                !value(&s, m) || known(out, count, m))
                return -1;
            count++;
        } while (mark(&s, ','));
        if (!mark(&s, '}'))
            return -1;
    }
    blanks(&s);
    return s.at == s.end ? count : -1;
}

const struct feed_member *feed_scan_find(const struct feed_member *members, int count, const char *name)
{
    size_t len = strlen(name);

    for (int i = 0; i < count; i++)
        if (members[i].name_len == len && memcmp(members[i].name, name, len) == 0)
            return &members[i];
    return NULL;
}

bool feed_scan_text(const struct feed_member *m, const char **text, size_t *len)
{
    if (!m || m->value_len < 2 || *m->value != '"' || memchr(m->value, '\\', m->value_len))
        return false;
    *text = m->value + 1;
    *len = m->value_len - 2;
    return true;
}

bool feed_scan_number(const struct feed_member *m, uint64_t *out)
{
    uint64_t n = 0;

    if (!m || m->value_len == 0 || m->value_len > 19 || (*m->value == '0' && m->value_len > 1))
        return false;
    for (size_t i = 0; i < m->value_len; i++) {
        if (m->value[i] < '0' || m->value[i] > '9')
            return false;
        n = n * 10 + (uint64_t)(m->value[i] - '0'); /* 19 digits fit */
    }
    if (n > INT64_MAX)
        return false;
    *out = n;
    return true;
}
