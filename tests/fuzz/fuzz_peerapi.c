/* fuzz_peerapi.c - any bytes as a node's answer and as an ingress's request: fed whole or in pieces they get the same
 * verdict at the same place. The first byte says how long the pieces are. */
#include "common/peerapi/peerapi.h"

#include <string.h>

#include "common/base/bug.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum peerapi_verdict answer(struct peerapi_answer *a, const uint8_t *data, size_t size, size_t piece)
{
    enum peerapi_verdict v = PEERAPI_NEED_MORE;
    size_t used;

    peerapi_answer_init(a);
    for (size_t at = 0; at < size && v == PEERAPI_NEED_MORE; at += used) {
        v = peerapi_answer_feed(a, data + at, MIN(piece, size - at), &used);
        BUG_ON(used > MIN(piece, size - at) || (v == PEERAPI_NEED_MORE && used == 0));
        BUG_ON(v == PEERAPI_NEED_MORE && a->bytes >= PEERAPI_ANSWER_MAX);
    }
    BUG_ON(a->reason_len > sizeof(a->reason) || a->bytes > PEERAPI_ANSWER_MAX);
    return v;
}

static enum peerapi_offer_result offer(struct peerapi_offer *o, const uint8_t *data, size_t size, size_t piece,
                                       size_t *total)
{
    static const struct addr own = {{0xfd, [15] = 1}};
    enum peerapi_offer_result r = PEERAPI_OFFER_NEED_MORE;
    size_t used;

    peerapi_offer_init(o, &own, 1, true);
    for (*total = 0; *total < size && r == PEERAPI_OFFER_NEED_MORE; *total += used) {
        r = peerapi_offer_feed(o, data + *total, MIN(piece, size - *total), &used);
        BUG_ON(used > MIN(piece, size - *total) || (r == PEERAPI_OFFER_NEED_MORE && used == 0));
        BUG_ON(r == PEERAPI_OFFER_NEED_MORE && *total + used >= PEERAPI_OFFER_MAX);
    }
    return r;
}

static void answers(const uint8_t *data, size_t size, size_t piece)
{
    static struct peerapi_answer a, b;
    enum peerapi_verdict v = answer(&a, data, size, size + 1);

    BUG_ON(answer(&b, data, size, piece) != v);
    BUG_ON(a.status != b.status || a.half_close_propagate != b.half_close_propagate);
    if (v != PEERAPI_PROTOCOL) /* where garbage is noticed does depend on the pieces */
        BUG_ON(a.bytes != b.bytes || a.reason_len != b.reason_len || memcmp(a.reason, b.reason, a.reason_len) != 0);
    v = peerapi_answer_end(&a);
    BUG_ON(v == PEERAPI_NEED_MORE || peerapi_answer_end(&b) != v);
}

static void offers(const uint8_t *data, size_t size, size_t piece)
{
    static struct peerapi_offer a, b;
    size_t used_a, used_b;
    enum peerapi_offer_result r = offer(&a, data, size, size + 1, &used_a);

    BUG_ON(offer(&b, data, size, piece, &used_b) != r);
    BUG_ON(r == PEERAPI_OFFER_REFUSE && (a.refusal != b.refusal || a.keep_alive != b.keep_alive));
    if (r == PEERAPI_OFFER_OK) {
        BUG_ON(used_a != used_b || a.port != b.port || a.port == 0 || strcmp(a.name, b.name) != 0);
        BUG_ON(!addrport_equal(&a.src, &b.src));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    size_t piece = 1 + data[0] % 64;

    answers(data + 1, size - 1, piece);
    offers(data + 1, size - 1, piece);
    return 0;
}
