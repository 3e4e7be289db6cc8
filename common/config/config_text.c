/* config_text.c - readers and writers of single values. */
#include "common/config/config_text.h"

#include <stdio.h>
#include <string.h>

#include "common/base/bug.h"
#include "common/base/ts.h"

struct unit {
    const char *name;
    uint64_t factor;
};

/* largest first: writing takes the first that divides the value */
static const struct unit time_units[] = {
    {"d", 86400 * TS_S}, {"h", 3600 * TS_S}, {"m", 60 * TS_S}, {"s", TS_S}, {"ms", TS_MS},
};
static const struct unit size_units[] = {
    {"GiB", (uint64_t)1 << 30}, {"MiB", (uint64_t)1 << 20}, {"KiB", (uint64_t)1 << 10}, {"", 1},
};

const char *config_text_bool(const char *text, bool *out)
{
    static const char *const words[] = {"off", "on", "false", "true", "no", "yes"};

    for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
        if (strcmp(text, words[i]) == 0) {
            *out = i % 2;
            return NULL;
        }
    }
    return "must be on or off";
}

/* number - the leading decimal digits; *end after them. NULL or the reason. */
static const char *number(const char *text, uint64_t *out, const char **end)
{
    uint64_t v = 0;
    const char *at = text;

    for (; *at >= '0' && *at <= '9'; at++) {
        uint64_t digit = (uint64_t)(*at - '0');

        if (v > (UINT64_MAX - digit) / 10)
            return "is too large";
        v = v * 10 + digit;
    }
    if (at == text)
        return "must be a whole number";
    if (*text == '0' && at > text + 1)
        return "must not begin with a zero";
    *out = v;
    *end = at;
    return NULL;
}

const char *config_text_uint(const char *text, uint64_t *out)
{
    const char *end;
    uint64_t v;
    const char *why = number(text, &v, &end);

    if (why)
        return why;
    if (*end)
        return "must be a whole number";
    *out = v;
    return NULL;
}

static const char *with_unit(const char *text, const struct unit *units, size_t count, const char *otherwise,
                             uint64_t *out)
{
    const char *end;
    uint64_t v;

    if (number(text, &v, &end))
        return otherwise;
    for (size_t i = 0; i < count; i++) {
        if (strcmp(end, units[i].name) != 0)
            continue;
        if (v > UINT64_MAX / units[i].factor)
            return "is too large";
        *out = v * units[i].factor;
        return NULL;
    }
    return otherwise;
}

const char *config_text_duration(const char *text, uint64_t *out_ns)
{
    return with_unit(text, time_units, ARRAY_SIZE(time_units), "must be a time with its unit (ms s m h d), such as 5s",
                     out_ns);
}

const char *config_text_size(const char *text, uint64_t *out_bytes)
{
    return with_unit(text, size_units, ARRAY_SIZE(size_units),
                     "must be a size in bytes or with a unit (KiB MiB GiB), such as 16KiB", out_bytes);
}

static bool label_ok(const char *label, size_t len)
{
    if (len == 0 || len > 63 || label[0] == '-' || label[len - 1] == '-')
        return false;
    for (size_t i = 0; i < len; i++) {
        char c = label[i];

        if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && c != '-' && c != '_')
            return false;
    }
    return true;
}

const char *config_text_name(char *name, bool wildcard)
{
    size_t len = strlen(name);

    for (size_t i = 0; i < len; i++) {
        if (name[i] >= 'A' && name[i] <= 'Z')
            name[i] = (char)(name[i] - 'A' + 'a');
        else if ((unsigned char)name[i] >= 0x80)
            return "has letters outside ASCII; write the name in its xn-- form";
    }
    if (len > 1 && name[len - 1] == '.')
        name[--len] = 0;
    if (len > CONFIG_NAME_MAX)
        return "is longer than a DNS name may be";
    char *label = name;

    if (strncmp(name, "*.", 2) == 0) {
        if (!wildcard)
            return "must not be a wildcard here";
        label += 2;
    }
    for (;;) {
        size_t n = strcspn(label, ".");

        if (!label_ok(label, n))
            return "is not a DNS name";
        if (!label[n])
            break;
        label += n + 1;
    }
    return strspn(label, "0123456789") == strlen(label) ? "is not a DNS name" : NULL;
}

const char *config_text_hostport(char *text, struct config_hostport *out)
{
    static const char form[] = "must be host:port";
    char *colon = strrchr(text, ':'), *host = text;
    struct config_hostport hp = {.unix_path = ""};
    uint64_t port;

    if (strstr(text, "://"))
        return "must be host:port, without http:// or the like";
    if (!colon || colon == text)
        return form;
    const char *why = config_text_uint(colon + 1, &port);

    if (why || port < 1 || port > 65535)
        return "must end in a port from 1 to 65535";
    bool bracketed = host[0] == '[' && colon[-1] == ']';

    if (!bracketed && memchr(text, ':', (size_t)(colon - text)))
        return "must have the IPv6 address in brackets: \"[2001:db8::1]:443\"";
    *colon = 0;
    if (bracketed) {
        colon[-1] = 0;
        host++;
    }
    hp.host = host;
    hp.port = (uint16_t)port;
    if (!addr_parse(host, strlen(host), &hp.addr)) {
        if (bracketed)
            return "has no IPv6 address between its brackets";
        why = config_text_name(host, false);
        if (why)
            return form;
    } else if (bracketed == addr_is_v4(&hp.addr)) {
        return form;
    } else if (strspn(host, "0.:") == strlen(host)) {
        return "is nowhere to connect to"; /* 0.0.0.0 and :: mean any address, to listen on */
    }
    *out = hp;
    return NULL;
}

static const char *write_unit(uint64_t v, const struct unit *units, size_t count, const char *zero,
                              char out[CONFIG_TEXT_STR])
{
    size_t i = 0;

    if (v == 0) {
        snprintf(out, CONFIG_TEXT_STR, "%s", zero);
        return out;
    }
    while (i + 1 < count && v % units[i].factor != 0)
        i++;
    snprintf(out, CONFIG_TEXT_STR, "%llu%s", (unsigned long long)(v / units[i].factor), units[i].name);
    return out;
}

const char *config_text_duration_write(uint64_t ns, char out[CONFIG_TEXT_STR])
{
    return write_unit(ns, time_units, ARRAY_SIZE(time_units), "0s", out);
}

const char *config_text_size_write(uint64_t bytes, char out[CONFIG_TEXT_STR])
{
    return write_unit(bytes, size_units, ARRAY_SIZE(size_units), "0", out);
}
