#include "ingress/visitor.h"

#include <errno.h>
#include <jansson.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "common/base/bug.h"

static atomic_uint_fast64_t next_id = 1;

struct visitor *visitor_new(int fd, const struct addrport *client, struct limits *limits, ts_t now, uint64_t wall_ns)
{
    struct visitor *v = calloc(1, sizeof(*v));

    if (!v)
        return NULL;
    v->fd = fd;
    v->limits = limits;
    v->visit.id = atomic_fetch_add_explicit(&next_id, 1, memory_order_relaxed);
    v->visit.client = *client;
    v->visit.accepted_at = now;
    v->visit.wall_ns = wall_ns;
    v->deadline = TS_NEVER;
    return v;
}

bool visitor_hold(struct visitor *v, size_t more)
{
    size_t want = v->held_len + more, cap = v->held_cap ? v->held_cap : 1024;

    if (want <= v->held_cap)
        return true;
    while (cap < want)
        cap *= 2;
    uint8_t *held = realloc(v->held, cap);

    if (!held)
        return false;
    v->held = held;
    v->held_cap = cap;
    return true;
}

/* Closing with unread bytes makes the kernel send a reset, which may overtake the alert at the visitor: read what has
 * come, and say that no more will be sent. */
static void close_gently(int fd)
{
    uint8_t waste[4096];

    shutdown(fd, SHUT_WR);
    for (int i = 0; i < 16 && recv(fd, waste, sizeof(waste), MSG_DONTWAIT) > 0; i++)
        ;
    close(fd);
}

void visitor_refuse(struct visitor *v, enum reason reason)
{
    int alert = reason_alert(reason);

    if (v->fd < 0)
        return;
    if (alert != REASON_NO_ALERT && v->tls) {
        uint8_t record[HELLO_ALERT_BYTES];

        hello_alert((enum tls_alert)alert, record);
        /* seven bytes into an empty socket buffer; if they don't fit the visitor is gone anyway */
        (void)!send(v->fd, record, sizeof(record), MSG_DONTWAIT | MSG_NOSIGNAL);
    }
    close_gently(v->fd);
    v->fd = -1;
}

void visitor_free(struct visitor *v)
{
    if (!v)
        return;
    if (v->fd >= 0)
        close(v->fd);
    if (v->limits)
        limits_leave(v->limits, &v->visit.client.addr);
    free(v->held);
    free(v->route_name);
    visit_deinit(&v->visit);
    free(v);
}

void visit_deinit(struct visit *visit)
{
    free(visit->name);
    visit->name = NULL;
}

static json_t *milliseconds(ts_t from, ts_t to)
{
    return json_real((double)(ts_since(to, from) / TS_US) / 1000.0);
}

char *visit_log(const struct visit *visit, enum reason reason, const char *node, const char *target,
                const char *detail, bool client_address, ts_t now)
{
    char time_text[40], client[ADDRPORT_STR] = "", listener[ADDRPORT_STR];
    time_t seconds = (time_t)(visit->wall_ns / TS_S);
    struct tm tm;

    gmtime_r(&seconds, &tm);
    size_t n = strftime(time_text, sizeof(time_text), "%Y-%m-%dT%H:%M:%S", &tm);

    snprintf(time_text + n, sizeof(time_text) - n, ".%03uZ", (unsigned)(visit->wall_ns / TS_MS % 1000));
    if (client_address)
        addrport_format(&visit->client, client);
    json_t *line = json_object();

    json_object_set_new(line, "ts", json_string(time_text));
    json_object_set_new(line, "id", json_integer((json_int_t)visit->id));
    if (client_address)
        json_object_set_new(line, "client", json_string(client));
    json_object_set_new(line, "listener", json_string(addrport_format(&visit->listener, listener)));
    json_object_set_new(line, "name", visit->name ? json_string(visit->name) : json_null());
    json_object_set_new(line, "port", json_integer(visit->port));
    json_object_set_new(line, "target", target ? json_string(target) : json_null());
    json_object_set_new(line, "node", node ? json_string(node) : json_null());
    json_object_set_new(line, "reason", json_string(reason_name(reason)));
    if (detail)
        json_object_set_new(line, "detail", json_string(detail));
    json_object_set_new(line, "bytes_up", json_integer((json_int_t)visit->bytes_up));
    json_object_set_new(line, "bytes_down", json_integer((json_int_t)visit->bytes_down));
    if (visit->hello_at)
        json_object_set_new(line, "hello_ms", milliseconds(visit->accepted_at, visit->hello_at));
    if (visit->offered_at && visit->open_at)
        json_object_set_new(line, "offer_ms", milliseconds(visit->offered_at, visit->open_at));
    json_object_set_new(line, "total_ms", milliseconds(visit->accepted_at, now));
    char *text = json_dumps(line, JSON_COMPACT | JSON_REAL_PRECISION(12));

    json_decref(line);
    if (!text)
        return NULL;
    size_t len = strlen(text);
    char *out = realloc(text, len + 2);

    if (!out) {
        free(text);
        return NULL;
    }
    memcpy(out + len, "\n", 2);
    return out;
}
