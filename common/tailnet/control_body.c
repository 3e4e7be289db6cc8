/* control_body.c - field names are tailcfg's. Nothing is sent that we do not mean: no services, nothing routed, and
 * ShieldsUp, because nothing from the tailnet can open anything here. */
#include "common/tailnet/control_body.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/crypto/crypto.h"

#define LOG_OUT_TIME "1970-01-01T00:02:03Z" /* any past moment would do; stock clients send this one */

static json_t *key_text(enum tailnet_key_kind kind, const uint8_t key[TAILNET_KEY_BYTES])
{
    char text[TAILNET_KEY_STR];

    return json_string(tailnet_key_format(kind, key, text));
}

static json_t *hostinfo(const struct control_body *body)
{
    json_t *all = json_pack("{s:s, s:s, s:s, s:b}", "IPNVersion", "funnel-ingress-" FUNNEL_VERSION, "OS", "linux",
                            "Hostname", body->hostname, "ShieldsUp", 1);
    const struct control_whereabouts *w = body->whereabouts;

    if (all && w->home_derp &&
        json_object_set_new(all, "NetInfo", json_pack("{s:i, s:b}", "PreferredDERP", (int)w->home_derp, "WorkingUDP",
                                                      (int)w->working_udp)) != 0) {
        json_decref(all);
        return NULL;
    }
    return all;
}

static json_t *start(const struct control_body *body)
{
    return json_pack("{s:i, s:o, s:o}", "Version", CONTROL_VERSION, "NodeKey", key_text(TAILNET_KEY_NODE, body->node),
                     "Hostinfo", hostinfo(body));
}

/* finish - text of what was made; takes the reference */
static char *finish(json_t *all, bool good)
{
    char *text = all && good ? json_dumps(all, JSON_COMPACT) : NULL;

    json_decref(all);
    return text;
}

/* with_auth_key - put in by hand: jansson would leave copies of it in freed memory */
static char *with_auth_key(char *text, const char *auth_key)
{
    static const char format[] = "{\"Auth\":{\"AuthKey\":\"%s\"},%s";
    size_t room = strlen(text) + strlen(auth_key) + sizeof(format);
    char *all = malloc(room);

    if (all)
        snprintf(all, room, format, auth_key, text + 1);
    free(text);
    return all;
}

char *control_body_register(const struct control_body *body, const char *auth_key, const char *followup, bool ephemeral)
{
    json_t *all = start(body);
    bool good = all != NULL;

    if (good && body->old_node)
        good = json_object_set_new(all, "OldNodeKey", key_text(TAILNET_KEY_NODE, body->old_node)) == 0;
    if (good && *followup)
        good = json_object_set_new(all, "Followup", json_string(followup)) == 0;
    if (good && ephemeral && !*followup) /* stock clients drop it there, too */
        good = json_object_set_new(all, "Ephemeral", json_true()) == 0;
    char *text = finish(all, good);

    return text && *auth_key ? with_auth_key(text, auth_key) : text;
}

char *control_body_log_out(const struct control_body *body)
{
    json_t *all = start(body);

    return finish(all, all && json_object_set_new(all, "Expiry", json_string(LOG_OUT_TIME)) == 0);
}

/* Both kinds of map request carry the true values: one server stores them from either kind, and what is absent there
 * wipes what it has; another listens to updates only. */
static bool add_whereabouts(json_t *all, const struct control_whereabouts *w)
{
    json_t *endpoints = json_array(), *types = json_array();
    bool good = endpoints && types;

    for (size_t i = 0; good && i < w->endpoints_count; i++) {
        char text[ADDRPORT_STR];

        good = json_array_append_new(endpoints, json_string(addrport_format(&w->endpoints[i].at, text))) == 0 &&
               json_array_append_new(types, json_integer(w->endpoints[i].kind)) == 0;
    }
    good = json_object_set_new(all, "Endpoints", endpoints) == 0 && good;
    good = json_object_set_new(all, "EndpointTypes", types) == 0 && good;
    if (!crypto_is_zero(w->disco, sizeof(w->disco)))
        good = json_object_set_new(all, "DiscoKey", key_text(TAILNET_KEY_DISCO, w->disco)) == 0 && good;
    return good;
}

char *control_body_map(const struct control_body *body)
{
    json_t *all = start(body);

    return finish(all, all && add_whereabouts(all, body->whereabouts) &&
                           json_object_set_new(all, "Stream", json_true()) == 0 &&
                           json_object_set_new(all, "KeepAlive", json_true()) == 0 &&
                           json_object_set_new(all, "Compress", json_string("")) == 0);
}

char *control_body_update(const struct control_body *body)
{
    json_t *all = start(body);

    return finish(all, all && add_whereabouts(all, body->whereabouts) &&
                           json_object_set_new(all, "OmitPeers", json_true()) == 0);
}

void control_text_clean(char *text)
{
    for (; *text; text++)
        if (*text < ' ' || *text > '~' || *text == '"')
            *text = '?';
}

/* copy_text - False: too long */
static bool copy_text(const json_t *value, char out[CONTROL_TEXT_MAX])
{
    const char *text = json_is_string(value) ? json_string_value(value) : "";
    size_t len = strlen(text);

    *out = 0;
    if (len >= CONTROL_TEXT_MAX)
        return false;
    memcpy(out, text, len + 1);
    control_text_clean(out);
    return true;
}

bool control_answer_read(const char *text, size_t len, struct control_answer *out)
{
    json_t *all = json_loadb(text, len, 0, NULL);
    bool good = json_is_object(all) && copy_text(json_object_get(all, "Error"), out->error) &&
                copy_text(json_object_get(all, "AuthURL"), out->auth_url);

    out->key_expired = json_is_true(json_object_get(all, "NodeKeyExpired"));
    out->authorized = json_is_true(json_object_get(all, "MachineAuthorized"));
    json_decref(all);
    return good;
}

bool control_server_key_read(const char *text, size_t len, uint8_t out[TAILNET_KEY_BYTES])
{
    json_t *all = json_loadb(text, len, 0, NULL);
    const json_t *key = json_object_get(all, "publicKey");
    bool good = json_is_string(key) &&
                tailnet_key_parse(TAILNET_KEY_MACHINE, json_string_value(key), json_string_length(key), out) &&
                !crypto_is_zero(out, TAILNET_KEY_BYTES);

    json_decref(all);
    return good;
}
