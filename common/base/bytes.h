/* bytes.h - fixed-width integers in memory of any alignment. be = network order, le = little-endian. */
#ifndef BASE_BYTES_H
#define BASE_BYTES_H

#include <stdint.h>
#include <string.h>

#define BYTES_RW_(name, type, swap)                                                                                    \
    static inline type name##_get(const void *p)                                                                       \
    {                                                                                                                  \
        type v;                                                                                                        \
        memcpy(&v, p, sizeof(v));                                                                                      \
        return swap(v);                                                                                                \
    }                                                                                                                  \
    static inline void name##_put(void *p, type v)                                                                     \
    {                                                                                                                  \
        v = swap(v);                                                                                                   \
        memcpy(p, &v, sizeof(v));                                                                                      \
    }

#define BYTES_SAME_(x) (x)
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
BYTES_RW_(be16, uint16_t, __builtin_bswap16)
BYTES_RW_(be32, uint32_t, __builtin_bswap32)
BYTES_RW_(be64, uint64_t, __builtin_bswap64)
BYTES_RW_(le16, uint16_t, BYTES_SAME_)
BYTES_RW_(le32, uint32_t, BYTES_SAME_)
BYTES_RW_(le64, uint64_t, BYTES_SAME_)
#else
BYTES_RW_(be16, uint16_t, BYTES_SAME_)
BYTES_RW_(be32, uint32_t, BYTES_SAME_)
BYTES_RW_(be64, uint64_t, BYTES_SAME_)
BYTES_RW_(le16, uint16_t, __builtin_bswap16)
BYTES_RW_(le32, uint32_t, __builtin_bswap32)
BYTES_RW_(le64, uint64_t, __builtin_bswap64)
#endif

#endif
