/* selfsigned.h - a certificate for trying things out: made on the spot, trusted by nobody but who is told to. */
#ifndef NODE_SELFSIGNED_H
#define NODE_SELFSIGNED_H

#include <stddef.h>

/* selfsigned_write - a fresh P-256 key and a self-signed certificate for these DNS names (the first one is the subject;
 * "*." wildcards and addresses allowed), valid from an hour ago (clocks differ) for `days` days, as PEM files.
 * Existing files are not overwritten; the key's is readable by its owner only.
 * Returns 0, or -errno (-EIO when OpenSSL fails) with a reason for people in `why`. */
int selfsigned_write(const char *const *names, size_t names_count, int days, const char *certificate_path,
                     const char *key_path, char *why, size_t why_cap);

#endif
