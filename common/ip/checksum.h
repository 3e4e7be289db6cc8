/* checksum.h - the Internet checksum. RFC 1071. */
#ifndef IP_CHECKSUM_H
#define IP_CHECKSUM_H

#include <stddef.h>
#include <stdint.h>

/* checksum_add - a running sum with len more bytes in it. Start with 0. All parts but the last are of even length. */
uint64_t checksum_add(uint64_t sum, const void *data, size_t len);

/* checksum_fold - the checksum of a running sum, ready to be stored with be16_put. Over bytes that hold a right
 * checksum it yields 0. */
uint16_t checksum_fold(uint64_t sum);

#endif
