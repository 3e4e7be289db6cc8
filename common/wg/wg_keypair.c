/* wg_keypair.c - sealing and opening packets, and the moves of the three sessions. */
#include "common/wg/wg_keypair.h"

#include "common/base/bug.h"
#include "common/base/bytes.h"
#include "common/crypto/aead.h"
#include "common/wg/wg_timers.h"

bool wg_keypair_can_receive(const struct wg_keypair *kp, ts_t now)
{
    return kp && ts_since(now, kp->born) < WG_REJECT_AFTER_NS;
}

bool wg_keypair_can_send(const struct wg_keypair *kp, ts_t now)
{
    return wg_keypair_can_receive(kp, now) && kp->send_counter < WG_REJECT_AFTER_MESSAGES;
}

size_t wg_keypair_seal(struct wg_keypair *kp, uint8_t *buf, size_t padded_len)
{
    struct wg_data_message *m = (void *)buf;
    uint64_t counter = kp->send_counter++;

    BUG_ON(counter >= WG_REJECT_AFTER_MESSAGES); /* a counter used twice would give both packets away */
    le32_put(m->type, WG_MESSAGE_DATA);
    le32_put(m->receiver, kp->remote_index);
    le64_put(m->counter, counter);
    aead_seal(m->sealed, m->sealed, padded_len, NULL, 0, counter, kp->keys.send);
    return sizeof(*m) + padded_len + WG_TAG_BYTES;
}

enum wg_opened wg_keypair_open(struct wg_keypair *kp, struct wg_data_message *m, size_t len, ts_t now)
{
    uint64_t counter = le64_get(m->counter);

    /* authenticate first: a window moved by unauthenticated counters would be anybody's to move */
    if (!aead_open(m->sealed, m->sealed, len - sizeof(*m), NULL, 0, counter, kp->keys.recv))
        return WG_OPENED_BAD;
    if (counter >= WG_REJECT_AFTER_MESSAGES || !wg_replay_take(&kp->replay, counter))
        return WG_OPENED_REPLAY;
    kp->heard_at = now;
    return WG_OPENED;
}

/* retire - one of previous and current becomes previous, the other is to be freed. Leaves no current. */
static struct wg_keypair *retire(struct wg_keypairs *kps)
{
    struct wg_keypair *out = kps->previous;

    if (kps->current && (!out || out->heard_at <= kps->current->heard_at))
        kps->previous = kps->current;
    else
        out = kps->current;
    kps->current = NULL;
    return out;
}

/* waiting - may the peer still confirm `next`? It would have at once, or else have initiated again by now. */
static bool waiting(const struct wg_keypair *next, ts_t now)
{
    return next && ts_since(now, next->born) < WG_REKEY_TIMEOUT_NS;
}

void wg_keypairs_initiated(struct wg_keypairs *kps, struct wg_keypair *fresh, struct wg_keypair *drop[2])
{
    if (waiting(kps->next, fresh->born)) { /* the peer may already send under it */
        drop[0] = kps->previous;
        drop[1] = kps->current;
        kps->previous = kps->next;
    } else {
        drop[0] = kps->next;
        drop[1] = retire(kps);
    }
    kps->next = NULL;
    kps->current = fresh;
}

void wg_keypairs_responded(struct wg_keypairs *kps, struct wg_keypair *fresh, struct wg_keypair *drop[2])
{
    drop[0] = kps->next;
    drop[1] = NULL;
    kps->next = fresh;
}

void wg_keypairs_confirmed(struct wg_keypairs *kps, struct wg_keypair *drop[2])
{
    drop[0] = retire(kps);
    drop[1] = NULL;
    kps->current = kps->next;
    kps->next = NULL;
}
