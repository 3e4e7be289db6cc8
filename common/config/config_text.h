/* config_text.h - what single words in a configuration file mean, and how such values are written.
 *
 * Each config_text_* reader takes text with a zero at its end and returns NULL when it was understood, else a short
 * reason that follows the value in an error ("'5x' ..."). Results are only written on success. */
#ifndef CONFIG_TEXT_H
#define CONFIG_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/addr.h"

#define CONFIG_TEXT_STR 32   /* longest duration or size, with its zero */
#define CONFIG_NAME_MAX 253  /* a DNS name without its last dot; RFC 1035 section 2.3.4 */

/* struct config_hostport - where to connect: a name to resolve or an address, and a port; or a Unix socket. */
struct config_hostport {
    const char *host; /* DNS name in lower case, or an address without brackets; "" with a Unix socket or not given */
    struct addr addr; /* when host is an address, else none */
    uint16_t port;
    const char *unix_path; /* "" when it is no Unix socket */
};

/* on off true false yes no, in lower case. */
const char *config_text_bool(const char *text, bool *out);

/* decimal digits only; no sign, no leading zeros (octal to some readers). */
const char *config_text_uint(const char *text, uint64_t *out);

/* "5s": a number and one of ms s m h d; nanoseconds. */
const char *config_text_duration(const char *text, uint64_t *out_ns);

/* "16KiB": a number and nothing, KiB, MiB or GiB; bytes. */
const char *config_text_size(const char *text, uint64_t *out_bytes);

/* config_text_name - a DNS name, made canonical in place: lower case, no last dot. Labels of 1 to 63 letters, digits,
 * hyphens (not first or last) and underscores; the last label is not a number, so no address passes. With wildcard, the
 * first label may be "*". RFC 1035 section 2.3.1, RFC 1123 section 2.1. */
const char *config_text_name(char *name, bool wildcard);

/* config_text_hostport - split "name:port", "192.0.2.1:port", "[2001:db8::1]:port" in place: out points into text. */
const char *config_text_hostport(char *text, struct config_hostport *out);

/* *_write - the shortest exact form into out; returns out. Durations are whole milliseconds. */
const char *config_text_duration_write(uint64_t ns, char out[CONFIG_TEXT_STR]);
const char *config_text_size_write(uint64_t bytes, char out[CONFIG_TEXT_STR]);

#endif
