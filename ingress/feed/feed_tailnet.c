/* feed_tailnet.c - see the header. A row is made anew for each node that changed and compared with what was told last by
 * its hash; most changes of a tailnet (endpoints, presence) make no row differ.
 *
 * Targets. A stock node takes an offer only for the names in its own funnel configuration, which are MagicDNS names: so
 * with peerapi every name of ours becomes the node's MagicDNS name, at the port that was asked for, unless the table says
 * something else. With tcp the name goes nowhere, and only a target with a port changes anything. */
#include "ingress/feed/feed_tailnet.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/base/bug.h"
#include "common/base/err.h"
#include "common/base/list.h"
#include "common/tailnet/tailnet_key.h"

#define ID_MAX 128 /* docs/feed.md */
#define LISTED_SPARE 1024 /* ids of nodes to look at, besides two for each node: of more, all are looked at instead */

struct entry;

/* Something of an absent node that a newcomer may have: its name, its key, one of its addresses. */
struct claim {
    struct map_node by_what;
    struct entry *of;
};
#define CLAIMS_MAX (2 + NETMAP_ADDRS_MAX)

/* What was told of a node. */
struct entry {
    struct map_node by_id;
    struct list of_absent; /* in the order of absent_until; in none while it is there */
    struct claim *claims;  /* CLAIMS_MAX, while it is absent; NULL as well when there was no memory: it gives way to nobody */
    int64_t node;
    char *id;           /* in the feed */
    uint64_t row, name; /* hashes of its text, and of its MagicDNS name */
    uint8_t key[TAILNET_KEY_BYTES];
    struct addr addresses[NETMAP_ADDRS_MAX];
    uint8_t addresses_count;
    ts_t absent_until;  /* TS_NEVER: it is there */
    bool withdrawn;     /* the last word was REVOKE: the map still has its tombstone */
};

/* Ids to look at, each once or more. */
struct ids {
    int64_t *ids;
    size_t count, room, at;
};

enum opening { SNAPSHOT_DUE = 0, SNAPSHOT_OPEN, SNAPSHOT_TOLD };

struct feed_tailnet {
    struct feed_tailnet_policy policy;
    struct map_seed seed;
    struct map entries;
    struct map claims;      /* of absent entries */
    struct list absent;
    size_t withdrawn;
    struct ids gone, look;  /* the gone first: their names, keys and addresses may be somebody else's now */
    enum opening opening;
    bool ready;             /* a first frame was seen */
    uint64_t own_name;      /* hash of our MagicDNS name */

    bool offered;           /* a step waits to be taken: */
    enum feed_op_kind kind;
    char *text, *id;        /* owned */
    struct entry fresh;     /* with PUT: what to remember of it */
};

/* ---- entries and lists ---- */

static uint64_t id_hash(const struct feed_tailnet *f, int64_t id)
{
    return map_hash(&f->seed, &id, sizeof(id));
}

static struct entry *find(const struct feed_tailnet *f, int64_t id)
{
    for (struct map_node *n = map_first(&f->entries, id_hash(f, id)); n; n = map_next(n)) {
        struct entry *e = container_of(n, struct entry, by_id);

        if (e->node == id)
            return e;
    }
    return NULL;
}

static void unclaim(struct feed_tailnet *f, struct entry *e)
{
    for (unsigned i = 0; e->claims && i < CLAIMS_MAX; i++)
        if (e->claims[i].of)
            map_remove(&f->claims, &e->claims[i].by_what);
    free(e->claims);
    e->claims = NULL;
}

static void claim(struct feed_tailnet *f, struct entry *e)
{
    e->claims = calloc(CLAIMS_MAX, sizeof(*e->claims));
    if (!e->claims)
        return;
    for (unsigned i = 0; i < 2u + e->addresses_count; i++) {
        uint64_t hash = i == 0   ? e->name
                        : i == 1 ? map_hash(&f->seed, e->key, sizeof(e->key))
                                 : map_hash(&f->seed, &e->addresses[i - 2], sizeof(e->addresses[0]));

        e->claims[i].of = e;
        map_insert(&f->claims, &e->claims[i].by_what, hash);
    }
}

static bool is_absent(const struct entry *e)
{
    return e->absent_until != TS_NEVER;
}

static void leaves(struct feed_tailnet *f, struct entry *e, ts_t until)
{
    list_append(&f->absent, &e->of_absent);
    e->absent_until = until;
    claim(f, e);
}

static void returns(struct feed_tailnet *f, struct entry *e)
{
    unclaim(f, e);
    list_remove(&e->of_absent);
    e->absent_until = TS_NEVER;
}

static void drop(struct feed_tailnet *f, struct entry *e)
{
    returns(f, e);
    map_remove(&f->entries, &e->by_id);
    f->withdrawn -= e->withdrawn;
    free(e->id);
    free(e);
}

static void set_withdrawn(struct feed_tailnet *f, struct entry *e, bool withdrawn)
{
    f->withdrawn -= e->withdrawn;
    f->withdrawn += withdrawn;
    e->withdrawn = withdrawn;
    if (withdrawn)
        e->row = 0; /* whatever it is next is another one */
}

static int add(struct ids *l, int64_t id)
{
    if (l->count == l->room) {
        size_t room = l->room ? 2 * l->room : 64;
        int64_t *grown = realloc(l->ids, room * sizeof(*grown));

        if (!grown)
            return ERR_NOMEM;
        l->ids = grown;
        l->room = room;
    }
    l->ids[l->count++] = id;
    return 0;
}

static bool take(struct ids *l, int64_t *id)
{
    if (l->at == l->count) {
        l->at = l->count = 0;
        return false;
    }
    *id = l->ids[l->at++];
    return true;
}

/* ---- policy ---- */

static bool in_list(const char *const *list, size_t count, const char *text)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(list[i], text) == 0)
            return true;
    return false;
}

static bool admitted(const struct feed_tailnet_policy *p, const struct netmap *netmap, const struct netmap_node *node)
{
    for (unsigned i = 0; i < node->tags_count; i++)
        if (in_list(p->tags, p->tags_count, node->tags[i]))
            return true;
    return node->tags_count == 0 && in_list(p->users, p->users_count, netmap_login(netmap, node->user));
}

static size_t label_len(const char *name)
{
    return strcspn(name, ".");
}

/* in our own domain: what follows the first label is the same */
static bool at_home(const struct netmap *netmap, const struct netmap_node *node)
{
    const struct netmap_node *self = netmap_self(netmap);

    return self && *self->name && strcmp(self->name + label_len(self->name), node->name + label_len(node->name)) == 0;
}

static bool names_node(const struct feed_tailnet_name *n, const struct netmap *netmap, const struct netmap_node *node)
{
    if (strchr(n->node, '.'))
        return strcmp(n->node, node->name) == 0;
    return *n->node && at_home(netmap, node) && strlen(n->node) == label_len(node->name) &&
           memcmp(n->node, node->name, strlen(n->node)) == 0;
}

static bool in_table(const struct feed_tailnet_policy *p, const char *name)
{
    for (size_t i = 0; i < p->names_count; i++)
        if (strcmp(p->names[i].name, name) == 0)
            return true;
    return false;
}

/* ---- rows ---- */

static bool add_name(json_t *names, const struct feed_tailnet_policy *p, const struct netmap_node *node, const char *name,
                     const char *target)
{
    if (!*target && !p->tcp)
        target = node->name;
    if (*target && strcmp(target, name) != 0)
        return json_array_append_new(names, json_pack("{s:s, s:s}", "name", name, "target", target)) == 0;
    return json_array_append_new(names, json_string(name)) == 0;
}

/* names_of - NULL: out of memory */
static json_t *names_of(const struct feed_tailnet_policy *p, const struct netmap *netmap, const struct netmap_node *node)
{
    json_t *names = json_array();
    bool good = names != NULL;
    char own[NETMAP_TEXT_MAX + 256];

    if (good && *p->public_suffix && admitted(p, netmap, node) && at_home(netmap, node) && label_len(node->name) > 0) {
        snprintf(own, sizeof(own), "%.*s.%s", (int)label_len(node->name), node->name, p->public_suffix);
        if (!in_table(p, own))
            good = add_name(names, p, node, own, "");
    }
    for (size_t i = 0; good && i < p->names_count; i++)
        if (names_node(&p->names[i], netmap, node))
            good = add_name(names, p, node, p->names[i].name, p->names[i].target);
    if (good)
        return names;
    json_decref(names);
    return NULL;
}

static json_t *texts_of_addresses(const struct netmap_node *node)
{
    json_t *list = json_array();
    char text[ADDR_STR];

    for (unsigned i = 0; list && i < node->addresses_count; i++)
        json_array_append_new(list, json_string(addr_format(&node->addresses[i], text)));
    return list;
}

/* fixed endpoints of plain WireGuard; all others are found by disco, and their endpoints would only make rows differ */
static json_t *texts_of_endpoints(const struct netmap_node *node)
{
    json_t *list = json_array();
    char text[ADDRPORT_STR];

    for (unsigned i = 0; list && node->wireguard_only && i < node->endpoints_count; i++)
        json_array_append_new(list, json_string(addrport_format(&node->endpoints[i], text)));
    return list;
}

static json_t *ports_of(const struct feed_tailnet_policy *p)
{
    json_t *list = json_array();

    for (size_t i = 0; list && i < p->ports_count; i++)
        json_array_append_new(list, json_integer(p->ports[i]));
    return list;
}

static void feed_id(const struct netmap_node *node, char out[ID_MAX + 1])
{
    bool good = *node->stable_id && strlen(node->stable_id) <= ID_MAX;

    for (const char *at = node->stable_id; good && *at; at++)
        good = *at > ' ' && *at <= '~' && *at != '"' && *at != '\\';
    if (good)
        snprintf(out, ID_MAX + 1, "%s", node->stable_id);
    else
        snprintf(out, ID_MAX + 1, "node-%lld", (long long)node->id);
}

static void put_time(json_t *row, uint64_t seconds)
{
    time_t t = (time_t)seconds;
    struct tm tm;
    char text[32];

    if (seconds && gmtime_r(&t, &tm) && strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm))
        json_object_set_new(row, "expires", json_string(text));
}

/* row_of - its JSON text; NULL: out of memory. willing: the node's half of the opt-in */
static char *row_of(const struct feed_tailnet_policy *p, const struct netmap_node *node, json_t *names, const char *id,
                    bool willing)
{
    char key[TAILNET_KEY_STR];
    json_t *row = json_pack("{s:s, s:O, s:s, s:o, s:o, s:o, s:{s:b, s:b}, s:s}", "id", id, "names", names, "key",
                            tailnet_key_format(TAILNET_KEY_NODE, node->key, key), "addresses", texts_of_addresses(node),
                            "endpoints", texts_of_endpoints(node), "ports", ports_of(p), "funnel", "admin", 1, "node",
                            willing,
                            "transport", p->tcp ? "tcp" : "peerapi");

    if (!row)
        return NULL;
    if (node->peerapi4)
        json_object_set_new(row, "peerapi4", json_integer(node->peerapi4));
    if (node->peerapi6)
        json_object_set_new(row, "peerapi6", json_integer(node->peerapi6));
    if (p->tcp && p->proxy_protocol)
        json_object_set_new(row, "proxy_protocol", json_string("v2"));
    put_time(row, node->key_expiry);
    char *text = json_dumps(row, JSON_COMPACT);

    json_decref(row);
    return text;
}

/* whether there is anything of it that a row could name */
static bool reachable(const struct feed_tailnet_policy *p, const struct netmap_node *node)
{
    return node->addresses_count > 0 && (p->tcp || node->peerapi4 || node->peerapi6);
}

/* the node's half: one that says no keeps its row, so that its names are refused and go to nobody else */
static bool is_willing(const struct feed_tailnet_policy *p, const struct netmap_node *node, uint64_t control_time)
{
    return !netmap_node_gone(node, control_time) && (p->tcp || node->ingress_enabled);
}

/* ---- steps ---- */

static void offer(struct feed_tailnet *f, enum feed_op_kind kind, char *text, char *id)
{
    f->offered = true;
    f->kind = kind;
    f->text = text;
    f->id = id;
}

static void clear_offer(struct feed_tailnet *f)
{
    free(f->text);
    free(f->id);
    f->text = f->id = NULL;
    f->offered = false;
}

static bool offer_end(struct feed_tailnet *f, const struct entry *e, enum feed_op_kind kind)
{
    char *id = strdup(e->id);

    if (!id)
        return false;
    f->fresh = (struct entry){.node = e->node};
    offer(f, kind, NULL, id);
    return true;
}

static uint64_t text_hash(const struct feed_tailnet *f, const char *text)
{
    return map_hash(&f->seed, text, strlen(text));
}

static struct entry *claimed(const struct feed_tailnet *f, uint64_t hash, int64_t by)
{
    for (struct map_node *n = map_first(&f->claims, hash); n; n = map_next(n)) {
        struct claim *c = container_of(n, struct claim, by_what);

        if (c->of->node != by)
            return c->of;
    }
    return NULL;
}

/* in_the_way - an absent node whose key, address or name the newcomer has: it won't be back */
static struct entry *in_the_way(const struct feed_tailnet *f, const struct netmap_node *node)
{
    struct entry *found = claimed(f, text_hash(f, node->name), node->id);

    if (!found)
        found = claimed(f, map_hash(&f->seed, node->key, sizeof(node->key)), node->id);
    for (unsigned i = 0; !found && i < node->addresses_count; i++)
        found = claimed(f, map_hash(&f->seed, &node->addresses[i], sizeof(node->addresses[0])), node->id);
    return found;
}

static void remember(struct feed_tailnet *f, const struct netmap_node *node, const char *text)
{
    f->fresh = (struct entry){.node = node->id, .row = text_hash(f, text), .name = text_hash(f, node->name),
                              .addresses_count = node->addresses_count};
    memcpy(f->fresh.key, node->key, sizeof(f->fresh.key));
    memcpy(f->fresh.addresses, node->addresses, sizeof(f->fresh.addresses));
}

enum looked { NOTHING = 0, OFFERED, AGAIN, NO_MEMORY };

/* the node has a row: offer it if it is another one than it had */
static enum looked look_at_row(struct feed_tailnet *f, const struct netmap_node *node, json_t *names,
                               uint64_t control_time)
{
    struct entry *old = find(f, node->id), *other;
    char id[ID_MAX + 1];

    feed_id(node, id);
    char *text = row_of(&f->policy, node, names, id, is_willing(&f->policy, node, control_time));

    if (!text)
        return NO_MEMORY;
    if (old)
        returns(f, old);
    if (old && old->row == text_hash(f, text)) {
        free(text);
        return NOTHING;
    }
    other = in_the_way(f, node);
    if (other || (old && strcmp(old->id, id) != 0)) {
        free(text);
        return offer_end(f, other ? other : old, FEED_OP_REMOVE) ? AGAIN : NO_MEMORY;
    }
    char *own_id = strdup(id);

    if (!own_id) {
        free(text);
        return NO_MEMORY;
    }
    remember(f, node, text);
    offer(f, FEED_OP_PUT, text, own_id);
    return OFFERED;
}

static enum looked look_at(struct feed_tailnet *f, const struct netmap *netmap, uint64_t control_time, int64_t id)
{
    const struct netmap_node *node = netmap_peer(netmap, id);
    struct entry *old = find(f, id);
    enum looked looked = NOTHING;

    if (!node) /* one that is only absent for now keeps its row */
        return !old || is_absent(old) ? NOTHING : offer_end(f, old, FEED_OP_REMOVE) ? OFFERED : NO_MEMORY;
    json_t *names = names_of(&f->policy, netmap, node);

    if (!names)
        return NO_MEMORY;
    if (json_array_size(names) > 0 && reachable(&f->policy, node))
        looked = look_at_row(f, node, names, control_time);
    else if (old && !old->withdrawn)
        looked = offer_end(f, old, FEED_OP_REVOKE) ? OFFERED : NO_MEMORY;
    json_decref(names);
    return looked;
}

/* defer - a snapshot consists of what is there, and who is withdrawn: what else became known meanwhile comes after it */
static bool defer(struct feed_tailnet *f, int64_t id)
{
    if (f->opening != SNAPSHOT_OPEN || !f->offered || f->kind == FEED_OP_PUT ||
        f->kind == FEED_OP_REVOKE)
        return false;
    clear_offer(f);
    (void)add(&f->gone, id); /* out of memory: it stays until it changes again */
    return true;
}

/* the steps at the borders of the snapshot; false: none is due */
static bool look_at_borders(struct feed_tailnet *f)
{
    if (!f->ready || f->opening == SNAPSHOT_TOLD)
        return false;
    offer(f, f->opening == SNAPSHOT_DUE ? FEED_OP_BEGIN : FEED_OP_END, NULL, NULL);
    return true;
}

static void look_further(struct feed_tailnet *f, const struct netmap *netmap, uint64_t control_time)
{
    int64_t id;

    if (!f->ready || (f->opening == SNAPSHOT_DUE && look_at_borders(f)))
        return;
    while (!f->offered) {
        struct ids *from = f->opening == SNAPSHOT_TOLD && take(&f->gone, &id) ? &f->gone
                            : take(&f->look, &id)                              ? &f->look
                                                                               : NULL;

        if (!from) {
            (void)look_at_borders(f);
            return;
        }
        enum looked looked = look_at(f, netmap, control_time, id);

        if (defer(f, id))
            continue;
        if (looked == AGAIN || looked == NO_MEMORY)
            from->at--;
        if (looked == NO_MEMORY)
            return; /* with the next call */
    }
}

bool feed_tailnet_next(struct feed_tailnet *f, const struct netmap *netmap, uint64_t control_time, struct feed_op *op)
{
    if (!f->offered)
        look_further(f, netmap, control_time);
    if (!f->offered)
        return false;
    *op = (struct feed_op){.kind = f->kind};
    if (f->kind == FEED_OP_PUT) {
        op->text = f->text;
        op->text_len = strlen(f->text);
    } else if (f->id) {
        op->id = f->id;
        op->id_len = strlen(f->id);
    }
    return true;
}

static void keep_entry(struct feed_tailnet *f)
{
    struct entry *e = find(f, f->fresh.node);

    if (!e) {
        e = calloc(1, sizeof(*e));
        if (!e)
            return; /* told all the same: the next change of the node tells it once more */
        e->node = f->fresh.node;
        e->absent_until = TS_NEVER;
        list_init(&e->of_absent);
        map_insert(&f->entries, &e->by_id, id_hash(f, e->node));
    }
    unclaim(f, e);
    free(e->id);
    e->id = f->id;
    f->id = NULL;
    e->row = f->fresh.row;
    e->name = f->fresh.name;
    memcpy(e->key, f->fresh.key, sizeof(e->key));
    memcpy(e->addresses, f->fresh.addresses, sizeof(e->addresses));
    e->addresses_count = f->fresh.addresses_count;
    if (is_absent(e)) /* it left while its row waited to be taken */
        claim(f, e);
    set_withdrawn(f, e, false);
}

void feed_tailnet_taken(struct feed_tailnet *f)
{
    struct entry *e;

    BUG_ON(!f->offered);
    switch (f->kind) {
    case FEED_OP_BEGIN:
        f->opening = SNAPSHOT_OPEN;
        break;
    case FEED_OP_END:
        f->opening = SNAPSHOT_TOLD;
        break;
    case FEED_OP_PUT:
        keep_entry(f);
        break;
    default: /* a tombstone goes when the node leaves the tailnet, or has a row again */
        e = find(f, f->fresh.node);
        if (e && f->kind == FEED_OP_REVOKE)
            set_withdrawn(f, e, true);
        else if (e)
            drop(f, e);
        break;
    }
    clear_offer(f);
}

/* ---- what changed ---- */

struct all {
    struct feed_tailnet *feed;
    const struct netmap *netmap;
    int rc;
};

static void add_peer(const struct netmap_node *peer, void *ctx)
{
    struct all *all = ctx;

    if (all->rc == 0)
        all->rc = add(&all->feed->look, peer->id);
}

static void add_gone(struct map_node *at, void *ctx)
{
    const struct entry *e = container_of(at, struct entry, by_id);
    struct all *all = ctx;

    if (all->rc == 0 && !is_absent(e) && !netmap_peer(all->netmap, e->node))
        all->rc = add(&all->feed->gone, e->node);
}

/* look at every node again, and at those that have left; who was still to be looked at is among them */
static int everything(struct feed_tailnet *f, const struct netmap *netmap)
{
    struct all all = {.feed = f, .netmap = netmap};

    f->look.at = f->look.count = f->gone.at = f->gone.count = 0;
    map_each(&f->entries, add_gone, &all);
    netmap_each_peer(netmap, add_peer, &all);
    return all.rc;
}

int feed_tailnet_policy(struct feed_tailnet *f, const struct feed_tailnet_policy *policy, const struct netmap *netmap)
{
    f->policy = *policy;
    return f->ready ? everything(f, netmap) : 0;
}

int feed_tailnet_again(struct feed_tailnet *f, const struct netmap *netmap)
{
    struct map_node *n;

    if (f->opening != SNAPSHOT_TOLD)
        return 0;
    clear_offer(f);
    while ((n = map_any(&f->entries)))
        drop(f, container_of(n, struct entry, by_id));
    f->opening = SNAPSHOT_DUE;
    return everything(f, netmap);
}

static int gone(struct feed_tailnet *f, struct entry *e, bool reconnect, ts_t now)
{
    if (is_absent(e))
        return 0;
    if (reconnect) {
        leaves(f, e, ts_add(now, FEED_TAILNET_GRACE_NS));
        return 0;
    }
    return add(&f->gone, e->node);
}

int feed_tailnet_changed(struct feed_tailnet *f, const struct netmap *netmap, const struct netmap_changes *changes,
                         ts_t now)
{
    const struct netmap_node *self = netmap_self(netmap);
    int rc = 0;

    if (!self)
        return 0;
    f->ready = true;
    /* which domain is ours decides about names */
    if (changes->self && text_hash(f, self->name) != f->own_name) {
        f->own_name = text_hash(f, self->name);
        rc = everything(f, netmap);
    }
    for (size_t i = 0; rc == 0 && i < changes->count; i++) {
        struct entry *e = find(f, changes->ids[i]);

        if (netmap_peer(netmap, changes->ids[i]))
            rc = add(&f->look, changes->ids[i]);
        else if (e)
            rc = gone(f, e, changes->reconnect, now);
        else if (f->offered && f->kind == FEED_OP_PUT && f->fresh.node == changes->ids[i])
            rc = add(&f->gone, changes->ids[i]); /* it is about to have a row */
    }
    /* the map does not take as fast as the server changes its mind */
    if (rc == 0 && feed_tailnet_listed(f) > 2 * (netmap_peers_count(netmap) + f->entries.count) + LISTED_SPARE)
        rc = everything(f, netmap);
    return rc;
}

/* ---- time ---- */

static struct entry *first_absent(const struct feed_tailnet *f)
{
    struct list *l = list_first(&f->absent);

    return l ? container_of(l, struct entry, of_absent) : NULL;
}

ts_t feed_tailnet_deadline(const struct feed_tailnet *f)
{
    const struct entry *e = first_absent(f);

    return e ? e->absent_until : TS_NEVER;
}

void feed_tailnet_expire(struct feed_tailnet *f, ts_t now)
{
    struct entry *e;

    /* without memory it stays, and is due again at once */
    while ((e = first_absent(f)) && e->absent_until <= now && add(&f->gone, e->node) == 0)
        returns(f, e);
}

/* ---- life ---- */

size_t feed_tailnet_listed(const struct feed_tailnet *f)
{
    return f->look.count + f->gone.count;
}

bool feed_tailnet_has(const struct feed_tailnet *f, int64_t node)
{
    return find(f, node) != NULL;
}

size_t feed_tailnet_rows(const struct feed_tailnet *f)
{
    return f->entries.count - f->withdrawn;
}

struct feed_tailnet *feed_tailnet_new(const struct feed_tailnet_policy *policy, const struct map_seed *seed)
{
    struct feed_tailnet *f = calloc(1, sizeof(*f));

    if (!f)
        return NULL;
    f->policy = *policy;
    f->seed = *seed;
    map_init(&f->entries);
    map_init(&f->claims);
    list_init(&f->absent);
    return f;
}

void feed_tailnet_free(struct feed_tailnet *f)
{
    struct map_node *n;

    if (!f)
        return;
    clear_offer(f);
    while ((n = map_any(&f->entries)))
        drop(f, container_of(n, struct entry, by_id));
    map_deinit(&f->entries);
    map_deinit(&f->claims);
    free(f->gone.ids);
    free(f->look.ids);
    free(f);
}
