/* fuzz_netmap.c - any bytes as map frames: a stream of them in pieces (the first byte says how long), and the same frames
 * at once, give the same map; and whatever is in a map is found in it. */
#include <stdlib.h>
#include <string.h>

#include "common/base/bug.h"
#include "common/base/bytes.h"
#include "common/tailnet/map_frames.h"
#include "common/tailnet/netmap.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct map_seed seed = {3, 4};

struct play {
    struct netmap *map;
    struct netmap_changes changes;
    unsigned applied;
    bool over;
};

static void frame(struct play *p, const char *text, size_t len)
{
    size_t peers = netmap_peers_count(p->map), noted = p->changes.count;
    struct netmap_asides asides;
    bool first = !netmap_self(p->map) || (p->applied % 5 == 4); /* now and then a new stream */

    switch (netmap_apply(p->map, text, len, first, &p->changes, &asides)) {
    case NETMAP_APPLIED:
        p->applied++;
        BUG_ON(!netmap_self(p->map));
        break;
    case NETMAP_NOMEM:
        p->over = true;
        break;
    default:
        BUG_ON(netmap_peers_count(p->map) != peers || p->changes.count != noted);
        break;
    }
}

static void play(struct play *p, const uint8_t *data, size_t size, size_t piece)
{
    struct map_frames frames = {0};
    const char *text;
    size_t used, len;

    *p = (struct play){.map = netmap_new(&seed)};
    BUG_ON(!p->map);
    for (size_t at = 0; at < size && !p->over; at += used) {
        size_t n = MIN(piece, size - at);
        int got = map_frames_feed(&frames, data + at, n, &used, &text, &len);

        BUG_ON(used > n || (got == 0 && used != n) || frames.room > 2 * (size + 4096));
        if (got < 0)
            break;
        if (got == 1) {
            frame(p, text, len);
            map_frames_done(&frames);
        }
    }
    map_frames_deinit(&frames);
}

static void check_peer(const struct netmap_node *peer, void *ctx)
{
    const struct play *p = ctx;
    const struct netmap_node *by_key = netmap_peer_by_key(p->map, peer->key);

    BUG_ON(peer->id == 0 || netmap_peer(p->map, peer->id) != peer || !by_key || memcmp(by_key->key, peer->key, 32) != 0);
    BUG_ON(peer->addresses_count > NETMAP_ADDRS_MAX || peer->endpoints_count > NETMAP_ENDPOINTS_MAX);
    BUG_ON(!netmap_login(p->map, peer->user));
}

static void compare_peer(const struct netmap_node *peer, void *ctx)
{
    const struct play *other = ctx;
    const struct netmap_node *same = netmap_peer(other->map, peer->id);

    BUG_ON(!same || memcmp(same->key, peer->key, 32) != 0 || same->online != peer->online ||
           same->home_derp != peer->home_derp || strcmp(same->name, peer->name) != 0);
}

static void end(struct play *p)
{
    netmap_free(p->map);
    netmap_changes_deinit(&p->changes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct play whole, pieces;

    if (size == 0)
        return 0;
    size_t piece = 1 + data[0] % 64;

    play(&whole, data + 1, size - 1, size);
    play(&pieces, data + 1, size - 1, piece);
    BUG_ON(whole.applied != pieces.applied || netmap_peers_count(whole.map) != netmap_peers_count(pieces.map));
    netmap_each_peer(whole.map, check_peer, &whole);
    netmap_each_peer(whole.map, compare_peer, &pieces);
    end(&whole);
    end(&pieces);
    /* without lengths, too: most of what is tried then is JSON */
    struct play one = {.map = netmap_new(&seed)};

    frame(&one, (const char *)data + 1, size - 1);
    netmap_each_peer(one.map, check_peer, &one);
    end(&one);
    return 0;
}
