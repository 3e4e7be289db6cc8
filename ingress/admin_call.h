/* admin_call.h - the other end of the admin socket: one request to a running server, and its lines of answer. SHELL,
 * blocking: for the command line only. */
#ifndef INGRESS_ADMIN_CALL_H
#define INGRESS_ADMIN_CALL_H

#include <jansson.h>
#include <stdint.h>
#include <stdio.h>

/* admin_call - send `request` on the connected socket fd (taken).
 * patience_ns  a read that waits longer fails
 * Returns a stream of lines, to be closed with fclose; NULL: it does not listen, errno says why. */
FILE *admin_call(int fd, const json_t *request, uint64_t patience_ns);

#endif
