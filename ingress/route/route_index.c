/* route_index.c - linear probing; where the search for an entry begins follows from its own 28 hash bits, so an array can
 * be copied without looking at what its entries lead to. From the upper ones of them: then entries that are neighbours
 * are neighbours in a larger array too, and copying goes through fresh memory page by page. From the lower ones each
 * entry would be a page fault of its own. */
#include "ingress/route/route_index.h"

#include <stdlib.h>
#include <sys/mman.h>

#include "common/base/bug.h"
#include "common/base/err.h"

#define HASH_BITS      28
#define HASH_MASK      ((1u << HASH_BITS) - 1)
#define PART_BITS      12
#define PLACE_SHIFT    (HASH_BITS + PART_BITS)
#define FREE           0u
#define GONE           UINT64_MAX /* a place that does not exist */
#define ENTRIES_MIN    16
#define PIECE_BYTES    ((size_t)256 << 10)
#define PIECE_COST     256 /* to give one back takes as long as so many rows: some 20 us */
#define SMALL_BYTES    (PIECE_BYTES / 2)
#define COPIED_A_STEP  10 /* with each change: begun at 5/8, the second array is complete before the first is 3/4 full */

_Static_assert(ROUTE_PARTS_MAX == 1u << PART_BITS, "a part fits");

static uint64_t entry_of(uint64_t hash, uint32_t place, uint32_t part)
{
    BUG_ON(place >= ROUTE_PLACES_MAX || part >= ROUTE_PARTS_MAX);
    return (hash & HASH_MASK) | (uint64_t)part << HASH_BITS | (uint64_t)(place + 1) << PLACE_SHIFT;
}

bool route_index_same(uint64_t a, uint64_t b)
{
    return ((a ^ b) & HASH_MASK) == 0;
}

/* ---- memory: large arrays are mapped, so that they begin empty and are given back piece by piece; the allocator would
 * clear tens of megabytes at once, and unmap them at once ---- */

static size_t pieces_of(size_t entries)
{
    size_t bytes = sizeof(struct route_array) + entries * sizeof(uint64_t);

    return bytes > SMALL_BYTES ? (bytes + PIECE_BYTES - 1) / PIECE_BYTES : 0;
}

static struct route_array *array_new(size_t entries)
{
    size_t pieces = pieces_of(entries);
    struct route_array *a = pieces ? mmap(NULL, pieces * PIECE_BYTES, PROT_READ | PROT_WRITE,
                                          MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
                                   : calloc(1, sizeof(*a) + entries * sizeof(a->entries[0]));

    if (!a || a == MAP_FAILED)
        return NULL;
    a->mask = entries - 1;
    while (a->shift < HASH_BITS && (size_t)HASH_MASK >> a->shift > a->mask)
        a->shift++;
    return a;
}

static size_t home_of(const struct route_array *a, uint64_t entry)
{
    return (entry & HASH_MASK) >> a->shift;
}

static void unmap_piece(void *piece)
{
    BUG_ON(munmap(piece, PIECE_BYTES) != 0);
}

/* array_free - one that no reader can know */
static void array_free(struct route_array *a)
{
    size_t pieces = a ? pieces_of(a->mask + 1) : 0;

    if (pieces)
        BUG_ON(munmap(a, pieces * PIECE_BYTES) != 0);
    else
        free(a);
}

/* array_retire - one that readers may still be in */
static void array_retire(struct route_array *a, struct route_epoch *epoch)
{
    size_t pieces = pieces_of(a->mask + 1);

    if (!pieces)
        route_epoch_retire(epoch, a, free, PIECE_COST);
    for (size_t i = 0; i < pieces; i++)
        route_epoch_retire(epoch, (char *)a + i * PIECE_BYTES, unmap_piece, PIECE_COST);
}

int route_index_init(struct route_index *index, struct route_epoch *epoch)
{
    struct route_array *a = array_new(ENTRIES_MIN);

    *index = (struct route_index){.epoch = epoch};
    atomic_init(&index->array, a);
    return a ? 0 : ERR_NOMEM;
}

void route_index_deinit(struct route_index *index)
{
    array_free(atomic_load(&index->array));
    array_free(index->next);
    *index = (struct route_index){.epoch = NULL};
}

/* array_put - where it is now; *used counts one more if that was free, and not one that had gone */
static size_t array_put(struct route_array *a, uint64_t entry, size_t *used)
{
    size_t at = home_of(a, entry);

    for (;; at = (at + 1) & a->mask) {
        uint64_t old = atomic_load_explicit(&a->entries[at], memory_order_relaxed);

        if (old != FREE && old != GONE)
            continue;
        atomic_store_explicit(&a->entries[at], entry, memory_order_release);
        *used += old == FREE;
        return at;
    }
}

/* followed - whether a change at this position must be made in the second array too: copying has been there. What is
 * beyond comes with the copying, so that changes don't touch fresh memory all over: each would be a page fault. */
static bool followed(const struct route_index *index, size_t at)
{
    return index->next && at < index->copied;
}

static _Atomic uint64_t *array_find(struct route_array *a, uint64_t entry)
{
    size_t at = home_of(a, entry);

    for (size_t left = a->mask + 1; left > 0; left--, at = (at + 1) & a->mask) {
        uint64_t old = atomic_load_explicit(&a->entries[at], memory_order_relaxed);

        if (old == entry)
            return &a->entries[at];
        if (old == FREE)
            break;
    }
    return NULL;
}

/* copy - the next few entries into the second array, which takes over once it has them all */
static void copy(struct route_index *index, size_t steps)
{
    struct route_array *from = atomic_load_explicit(&index->array, memory_order_relaxed), *to = index->next;

    for (; to && steps > 0; steps--) {
        uint64_t entry = atomic_load_explicit(&from->entries[index->copied], memory_order_relaxed);

        if (entry != FREE && entry != GONE)
            array_put(to, entry, &index->next_used);
        if (++index->copied <= from->mask)
            continue;
        atomic_store(&index->array, to);
        index->used = index->next_used;
        index->next = NULL;
        array_retire(from, index->epoch);
        return;
    }
}

static size_t entries_for(size_t live)
{
    size_t entries = ENTRIES_MIN;

    while (entries < live * 2)
        entries *= 2;
    return entries;
}

/* begin - a second array, with room for what comes while it is copied, which may be more than is there now */
static void begin(struct route_index *index, size_t live)
{
    size_t from = atomic_load_explicit(&index->array, memory_order_relaxed)->mask + 1;

    index->next = array_new(entries_for(live + from / COPIED_A_STEP));
    index->next_used = 0;
    index->copied = 0;
}

int route_index_reserve(struct route_index *index, size_t more)
{
    size_t entries = atomic_load_explicit(&index->array, memory_order_relaxed)->mask + 1;

    if (!index->next && index->used + more > entries / 8 * 5)
        begin(index, index->live + more);
    /* small ones, and many names at once: done before they are put in */
    if (index->used + more > entries / 4 * 3) {
        if (index->next && index->live + more > (index->next->mask + 1) / 4 * 3) {
            array_free(index->next);
            index->next = NULL;
            begin(index, index->live + more);
        }
        copy(index, SIZE_MAX);
        entries = atomic_load_explicit(&index->array, memory_order_relaxed)->mask + 1;
    }
    return index->used + more < entries ? 0 : ERR_NOMEM;
}

void route_index_insert(struct route_index *index, uint64_t hash, uint32_t place, uint32_t part)
{
    uint64_t entry = entry_of(hash, place, part);

    size_t at = array_put(atomic_load_explicit(&index->array, memory_order_relaxed), entry, &index->used);

    index->live++;
    if (followed(index, at))
        array_put(index->next, entry, &index->next_used);
    copy(index, COPIED_A_STEP);
}

void route_index_remove(struct route_index *index, uint64_t hash, uint32_t place, uint32_t part)
{
    uint64_t entry = entry_of(hash, place, part);
    struct route_array *array = atomic_load_explicit(&index->array, memory_order_relaxed);
    _Atomic uint64_t *at = array_find(array, entry);

    if (!at)
        return;
    atomic_store_explicit(at, GONE, memory_order_relaxed);
    index->live--;
    at = followed(index, (size_t)(at - array->entries)) ? array_find(index->next, entry) : NULL;
    if (at)
        atomic_store_explicit(at, GONE, memory_order_relaxed);
    copy(index, COPIED_A_STEP);
}

void route_index_move(struct route_index *index, uint64_t hash, uint32_t place, uint32_t was, uint32_t part)
{
    uint64_t from = entry_of(hash, place, was), to = entry_of(hash, place, part);
    struct route_array *arrays[] = {atomic_load_explicit(&index->array, memory_order_relaxed), index->next};

    for (size_t i = 0; i < ARRAY_SIZE(arrays) && arrays[i]; i++) {
        _Atomic uint64_t *at = array_find(arrays[i], from);

        if (at)
            atomic_store_explicit(at, to, memory_order_release);
    }
}

void route_look_init(struct route_look *look, const struct route_index *index, uint64_t hash)
{
    look->array = atomic_load(&((struct route_index *)index)->array);
    look->hash = hash & HASH_MASK;
    look->at = home_of(look->array, hash);
    look->left = look->array->mask + 1;
}

bool route_look_next(struct route_look *look, uint32_t *place, uint32_t *part)
{
    const struct route_array *a = look->array;

    while (look->left > 0) {
        uint64_t entry = atomic_load_explicit(&a->entries[look->at], memory_order_acquire);

        if (entry == FREE) {
            look->left = 0;
            break;
        }
        look->at = (look->at + 1) & a->mask;
        look->left--;
        if ((entry & HASH_MASK) != look->hash || entry == GONE)
            continue;
        *place = (uint32_t)(entry >> PLACE_SHIFT) - 1;
        *part = (uint32_t)(entry >> HASH_BITS) & (ROUTE_PARTS_MAX - 1);
        return true;
    }
    return false;
}
