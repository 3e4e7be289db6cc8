/* interfaces.h - the addresses of this machine. SHELL. */
#ifndef NET_INTERFACES_H
#define NET_INTERFACES_H

#include <stddef.h>

#include "common/base/addr.h"

/* interfaces_list - up to cap addresses of interfaces that are up; loopback and link-local ones are left out, as they mean
 * nothing elsewhere. Asks the kernel by a socket of its own kind: before a sandbox forbids that. Returns how many. */
size_t interfaces_list(struct addr *out, size_t cap);

#endif
