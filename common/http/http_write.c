#include "common/http/http_write.h"

#include <stdio.h>
#include <string.h>

static void put(struct http_write *w, const char *data, size_t len)
{
    if (w->spoilt || len > w->cap - w->len) {
        w->spoilt = true;
        return;
    }
    memcpy(w->out + w->len, data, len);
    w->len += len;
}

/* text without control characters; RFC 9110 section 5.5 (visible ASCII, space and tab are enough for us) */
static void put_text(struct http_write *w, const char *text, bool spaces)
{
    for (const char *c = text; *c; c++)
        if (*c == 0x7f || (unsigned char)*c < ' ' || (*c == ' ' && !spaces))
            w->spoilt = true;
    put(w, text, strlen(text));
}

void http_write_start(struct http_write *w, char *out, size_t cap, const char *method, const char *target)
{
    *w = (struct http_write){.out = out, .cap = cap, .spoilt = *target == 0};
    put_text(w, method, false);
    put(w, " ", 1);
    put_text(w, target, false);
    put(w, " HTTP/1.1\r\n", 11);
}

void http_write_field(struct http_write *w, const char *name, const char *value)
{
    put_text(w, name, false);
    put(w, ": ", 2);
    put_text(w, value, true);
    put(w, "\r\n", 2);
}

size_t http_write_end(struct http_write *w, const char *body, size_t len)
{
    if (body) {
        char length[24];

        snprintf(length, sizeof(length), "%zu", len);
        http_write_field(w, "Content-Length", length);
    }
    put(w, "\r\n", 2);
    if (body)
        put(w, body, len);
    return w->spoilt ? 0 : w->len;
}
