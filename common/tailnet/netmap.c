/* netmap.c - map frames onto the state, by the rules of tailscale's controlclient (updateStateFromResponse,
 * updatePeersStateFromResponse): Peers alone, or PeersRemoved, PeersChanged, OnlineChange, PeersChangedPatch. */
#include "common/tailnet/netmap.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/bug.h"
#include "common/base/err.h"
#include "common/base/rfc3339.h"
#include "common/tailnet/netmap_read.h"

struct user {
    struct map_node by_id;
    int64_t id;
    char *login;
};

struct netmap {
    struct map_seed seed;
    struct netmap_node *self; /* NULL before the first frame */
    struct map peers, keys, users;
    struct derp_map derp;
};

/* The members of a frame that mean something here. Absent and null are one. */
enum part {
    KEEP_ALIVE,
    NODE,
    PEERS,
    PEERS_REMOVED,
    PEERS_CHANGED,
    ONLINE_CHANGE,
    PEERS_PATCH,
    DERP_MAP,
    USER_PROFILES,
    CONTROL_TIME,
    PARTS_COUNT
};
static const char *const part_names[PARTS_COUNT] = {
    "KeepAlive", "Node", "Peers", "PeersRemoved", "PeersChanged", "OnlineChange",
    "PeersChangedPatch", "DERPMap", "UserProfiles", "ControlTime"};

struct frame {
    struct json_slice parts[PARTS_COUNT];
};

static uint64_t id_hash(const struct netmap *map, int64_t id)
{
    return map_hash(&map->seed, &id, sizeof(id));
}

static uint64_t key_hash(const struct netmap *map, const uint8_t key[TAILNET_KEY_BYTES])
{
    return map_hash(&map->seed, key, TAILNET_KEY_BYTES);
}

struct netmap *netmap_new(const struct map_seed *seed)
{
    struct netmap *map = calloc(1, sizeof(*map));

    if (!map)
        return NULL;
    map->seed = *seed;
    map_init(&map->peers);
    map_init(&map->keys);
    map_init(&map->users);
    return map;
}

/* ---- looking ---- */

static struct netmap_node *find(const struct netmap *map, int64_t id)
{
    for (struct map_node *n = map_first(&map->peers, id_hash(map, id)); n; n = map_next(n)) {
        struct netmap_node *peer = container_of(n, struct netmap_node, by_id);

        if (peer->id == id)
            return peer;
    }
    return NULL;
}

const struct netmap_node *netmap_self(const struct netmap *map)
{
    return map->self;
}

const struct netmap_node *netmap_peer(const struct netmap *map, int64_t id)
{
    return find(map, id);
}

const struct netmap_node *netmap_peer_by_key(const struct netmap *map, const uint8_t key[TAILNET_KEY_BYTES])
{
    for (struct map_node *n = map_first(&map->keys, key_hash(map, key)); n; n = map_next(n)) {
        struct netmap_node *peer = container_of(n, struct netmap_node, by_key);

        if (memcmp(peer->key, key, TAILNET_KEY_BYTES) == 0)
            return peer;
    }
    return NULL;
}

size_t netmap_peers_count(const struct netmap *map)
{
    return map->peers.count;
}

struct visitor {
    void (*fn)(const struct netmap_node *peer, void *ctx);
    void *ctx;
};

static void visit(struct map_node *node, void *ctx)
{
    struct visitor *v = ctx;

    v->fn(container_of(node, struct netmap_node, by_id), v->ctx);
}

void netmap_each_peer(const struct netmap *map, void (*fn)(const struct netmap_node *peer, void *ctx), void *ctx)
{
    map_each(&map->peers, visit, &(struct visitor){fn, ctx});
}

const struct derp_map *netmap_derp(const struct netmap *map)
{
    return &map->derp;
}

static struct user *find_user(const struct netmap *map, int64_t id)
{
    for (struct map_node *n = map_first(&map->users, id_hash(map, id)); n; n = map_next(n)) {
        struct user *user = container_of(n, struct user, by_id);

        if (user->id == id)
            return user;
    }
    return NULL;
}

const char *netmap_login(const struct netmap *map, int64_t user)
{
    const struct user *found = find_user(map, user);

    return found ? found->login : "";
}

/* ---- changes ---- */

static int note(struct netmap_changes *changes, int64_t id)
{
    if (changes->count == changes->room) {
        size_t room = changes->room ? 2 * changes->room : 64;
        int64_t *grown = realloc(changes->ids, room * sizeof(*grown));

        if (!grown)
            return ERR_NOMEM;
        changes->ids = grown;
        changes->room = room;
    }
    changes->ids[changes->count++] = id;
    return 0;
}

/* note_way - of more than presence */
static int note_way(struct netmap_changes *changes, int64_t id)
{
    changes->ways = true;
    return note(changes, id);
}

void netmap_changes_clear(struct netmap_changes *changes)
{
    *changes = (struct netmap_changes){.ids = changes->ids, .room = changes->room};
}

void netmap_changes_deinit(struct netmap_changes *changes)
{
    free(changes->ids);
    *changes = (struct netmap_changes){0};
}

/* ---- changing ---- */

static void node_free(struct netmap_node *node)
{
    if (node)
        netmap_node_deinit(node);
    free(node);
}

static void drop(struct netmap *map, struct netmap_node *peer)
{
    map_remove(&map->peers, &peer->by_id);
    map_remove(&map->keys, &peer->by_key);
    node_free(peer);
}

static int drop_all(struct netmap *map, struct netmap_changes *changes)
{
    struct map_node *n;
    int rc = 0;

    while ((n = map_any(&map->peers))) {
        struct netmap_node *peer = container_of(n, struct netmap_node, by_id);

        if (changes && rc == 0)
            rc = note_way(changes, peer->id);
        drop(map, peer);
    }
    return rc;
}

static void users_free(struct netmap *map)
{
    struct map_node *n;

    while ((n = map_any(&map->users))) {
        struct user *user = container_of(n, struct user, by_id);

        map_remove(&map->users, n);
        free(user->login);
        free(user);
    }
}

/* claim - its key is this node's alone: a key names one node, and one that another is said to have now was renumbered.
 * Else a server could make all keys alike, and a chain of all nodes. */
static int claim(struct netmap *map, struct netmap_node *node, struct netmap_changes *changes)
{
    struct netmap_node *other = (struct netmap_node *)(uintptr_t)netmap_peer_by_key(map, node->key);
    int rc = 0;

    if (other) {
        rc = note_way(changes, other->id);
        drop(map, other);
    }
    map_insert(&map->keys, &node->by_key, key_hash(map, node->key));
    return rc;
}

/* read_node - on the heap; *rc 0, ERR_INVALID (and counted as left out) or ERR_NOMEM with NULL. */
static struct netmap_node *read_node(struct json_slice slice, unsigned *left_out, int *rc)
{
    json_t *value = netmap_parse(slice);
    struct netmap_node *node = calloc(1, sizeof(*node));

    *rc = !node ? ERR_NOMEM : !value ? ERR_INVALID : netmap_node_read(value, node, left_out);
    json_decref(value);
    if (*rc == 0)
        return node;
    if (*rc == ERR_INVALID)
        ++*left_out;
    node_free(node);
    return NULL;
}

static int put_peer(struct netmap *map, struct json_slice slice, struct netmap_changes *changes, unsigned *left_out)
{
    int rc;
    struct netmap_node *peer = read_node(slice, left_out, &rc);

    if (!peer)
        return rc == ERR_NOMEM ? rc : 0;
    struct netmap_node *old = find(map, peer->id);

    if (old)
        drop(map, old);
    else if (map->peers.count == NETMAP_PEERS_MAX) {
        ++*left_out;
        node_free(peer);
        return 0;
    }
    rc = claim(map, peer, changes);
    map_insert(&map->peers, &peer->by_id, id_hash(map, peer->id));
    return rc ? rc : note_way(changes, peer->id);
}

static int put_peers(struct netmap *map, struct json_slice list, struct netmap_changes *changes, unsigned *left_out)
{
    struct json_slices s;
    struct json_slice value;

    if (!list.at)
        return 0;
    json_slices_list(&s, list);
    while (json_slices_element(&s, &value)) {
        int rc = put_peer(map, value, changes, left_out);

        if (rc != 0)
            return rc;
    }
    return 0;
}

/* number_of - a decimal id; 0, which is nobody's: it is none */
static int64_t number_of(struct json_slice text)
{
    char digits[24];
    char *end;

    if (text.len == 0 || text.len >= sizeof(digits))
        return 0;
    memcpy(digits, text.at, text.len);
    digits[text.len] = 0;
    int64_t id = strtoll(digits, &end, 10);

    return *end ? 0 : id;
}

static int remove_peers(struct netmap *map, struct json_slice list, struct netmap_changes *changes)
{
    struct json_slices s;
    struct json_slice id;

    if (!list.at)
        return 0;
    json_slices_list(&s, list);
    while (json_slices_element(&s, &id)) {
        struct netmap_node *peer = find(map, number_of(id));
        int rc = peer ? note_way(changes, peer->id) : 0;

        if (rc != 0)
            return rc;
        if (peer)
            drop(map, peer);
    }
    return 0;
}

/* {"12": true}: ids are decimal strings here, as JSON has no other keys */
static int online_change(struct netmap *map, struct json_slice object, struct netmap_changes *changes)
{
    struct json_slices s;
    struct json_slice id, value;

    if (!object.at)
        return 0;
    json_slices_object(&s, object);
    while (json_slices_member(&s, &id, &value)) {
        struct netmap_node *peer = find(map, number_of(id));
        bool online = json_slice_is(value, "true");

        if (!peer || peer->online == online)
            continue;
        peer->online = online;
        if (note(changes, peer->id) != 0)
            return ERR_NOMEM;
    }
    return 0;
}

static int patch_peer(struct netmap *map, const json_t *value, struct netmap_changes *changes, unsigned *left_out)
{
    struct netmap_node *peer = find(map, json_integer_value(json_object_get(value, "NodeID")));

    if (!peer)
        return 0;
    map_remove(&map->keys, &peer->by_key); /* the key may be what changes */
    int rc = netmap_node_patch(value, peer, left_out), claimed = claim(map, peer, changes);

    if (rc || claimed)
        return rc ? rc : claimed;
    bool presence = json_object_size(value) == 2 && json_object_get(value, "Online");

    return presence ? note(changes, peer->id) : note_way(changes, peer->id);
}

static int patch_peers(struct netmap *map, struct json_slice list, struct netmap_changes *changes, unsigned *left_out)
{
    struct json_slices s;
    struct json_slice slice;

    if (!list.at)
        return 0;
    json_slices_list(&s, list);
    while (json_slices_element(&s, &slice)) {
        json_t *value = netmap_parse(slice);
        int rc = value ? patch_peer(map, value, changes, left_out) : 0;

        json_decref(value);
        if (rc != 0)
            return rc;
    }
    return 0;
}

static int put_user(struct netmap *map, const json_t *value, unsigned *left_out)
{
    int64_t id = json_integer_value(json_object_get(value, "ID"));
    char *login = netmap_text(value, "LoginName", left_out);
    struct user *user = login ? find_user(map, id) : NULL;

    if (!login)
        return ERR_NOMEM;
    if (!user && map->users.count == NETMAP_USERS_MAX) {
        ++*left_out;
        free(login);
        return 0;
    }
    if (!user && (user = calloc(1, sizeof(*user)))) {
        user->id = id;
        map_insert(&map->users, &user->by_id, id_hash(map, id));
    }
    if (!user) {
        free(login);
        return ERR_NOMEM;
    }
    free(user->login);
    user->login = login;
    return 0;
}

static int put_users(struct netmap *map, struct json_slice list, unsigned *left_out)
{
    struct json_slices s;
    struct json_slice slice;

    if (!list.at)
        return 0;
    json_slices_list(&s, list);
    while (json_slices_element(&s, &slice)) {
        json_t *value = netmap_parse(slice);
        int rc = value ? put_user(map, value, left_out) : 0;

        json_decref(value);
        if (rc != 0)
            return rc;
    }
    return 0;
}

static int put_derp(struct netmap *map, struct json_slice slice, struct netmap_changes *changes)
{
    json_t *value = slice.at ? netmap_parse(slice) : NULL;
    int rc = value ? derp_map_read(value, &map->derp) : 0;

    changes->derp |= value != NULL;
    changes->ways |= value != NULL;
    json_decref(value);
    return rc;
}

/* ---- frames ---- */

static bool is_list(enum part part)
{
    return part == PEERS || part == PEERS_REMOVED || part == PEERS_CHANGED || part == PEERS_PATCH || part == USER_PROFILES;
}

/* whether a list or an object can be walked to its end, before anything is done */
static bool walkable(enum part part, struct json_slice slice)
{
    struct json_slices s;
    struct json_slice key, value;

    if (part == ONLINE_CHANGE) {
        json_slices_object(&s, slice);
        while (json_slices_member(&s, &key, &value))
            ;
    } else if (is_list(part)) {
        json_slices_list(&s, slice);
        while (json_slices_element(&s, &value))
            ;
    } else {
        return true;
    }
    return !s.bad;
}

static bool cut(const char *text, size_t len, struct frame *out)
{
    struct json_slices s;
    struct json_slice key, value;

    *out = (struct frame){0};
    json_slices_object(&s, (struct json_slice){text, len});
    while (json_slices_member(&s, &key, &value))
        for (enum part i = 0; i < PARTS_COUNT; i++)
            if (json_slice_is(key, part_names[i]) && !json_slice_is(value, "null"))
                out->parts[i] = value;
    for (enum part i = 0; !s.bad && i < PARTS_COUNT; i++)
        if (out->parts[i].at && !walkable(i, out->parts[i]))
            return false;
    return !s.bad;
}

static bool has_elements(struct json_slice list)
{
    struct json_slices s;
    struct json_slice value;

    return list.at && json_slices_list(&s, list) && json_slices_element(&s, &value);
}

static void read_asides(const struct frame *frame, struct netmap_asides *out)
{
    json_t *time = frame->parts[CONTROL_TIME].at ? netmap_parse(frame->parts[CONTROL_TIME]) : NULL;

    if (!json_is_string(time) || !rfc3339_parse(json_string_value(time), &out->control_time))
        out->control_time = 0;
    json_decref(time);
}

static int apply_peers(struct netmap *map, const struct frame *frame, struct netmap_changes *changes, unsigned *left_out)
{
    const struct json_slice *parts = frame->parts;
    int rc;

    if (has_elements(parts[PEERS])) {
        changes->complete = true;
        rc = drop_all(map, changes);
        return rc ? rc : put_peers(map, parts[PEERS], changes, left_out);
    }
    if ((rc = remove_peers(map, parts[PEERS_REMOVED], changes)) ||
        (rc = put_peers(map, parts[PEERS_CHANGED], changes, left_out)) ||
        (rc = online_change(map, parts[ONLINE_CHANGE], changes)))
        return rc;
    return patch_peers(map, parts[PEERS_PATCH], changes, left_out);
}

static int start_over(struct netmap *map, struct netmap_changes *changes)
{
    changes->complete = changes->reconnect = changes->derp = changes->ways = true;
    users_free(map);
    derp_map_deinit(&map->derp);
    return drop_all(map, changes);
}

enum netmap_frame netmap_apply(struct netmap *map, const char *text, size_t len, bool first,
                               struct netmap_changes *changes, struct netmap_asides *asides)
{
    struct netmap_node *self = NULL;
    struct frame frame;
    int rc = 0;

    *asides = (struct netmap_asides){0};
    if (!cut(text, len, &frame))
        return NETMAP_BAD;
    read_asides(&frame, asides);
    if (json_slice_is(frame.parts[KEEP_ALIVE], "true"))
        return NETMAP_KEEPALIVE;
    if (first && !frame.parts[NODE].at)
        return NETMAP_NOT_FIRST;
    if (frame.parts[NODE].at && !(self = read_node(frame.parts[NODE], &asides->left_out, &rc)))
        return rc == ERR_NOMEM ? NETMAP_NOMEM : NETMAP_BAD;
    if (first)
        rc = start_over(map, changes);
    if (self) {
        node_free(map->self);
        map->self = self;
        changes->self = changes->ways = true;
    }
    if (rc || (rc = put_derp(map, frame.parts[DERP_MAP], changes)) ||
        (rc = put_users(map, frame.parts[USER_PROFILES], &asides->left_out)) ||
        (rc = apply_peers(map, &frame, changes, &asides->left_out)))
        return NETMAP_NOMEM;
    return NETMAP_APPLIED;
}

void netmap_empty(struct netmap *map)
{
    (void)drop_all(map, NULL); /* without changes to note there is nothing to fail */
    users_free(map);
    derp_map_deinit(&map->derp);
    node_free(map->self);
    map->self = NULL;
}

void netmap_free(struct netmap *map)
{
    if (!map)
        return;
    netmap_empty(map);
    map_deinit(&map->peers);
    map_deinit(&map->keys);
    map_deinit(&map->users);
    free(map);
}
