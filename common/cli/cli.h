/* cli.h - what both programs' command lines share: exit codes, key commands, key files.
 *
 * Messages for people go to standard error as "program: message"; results to standard output. */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum cli_exit {
    CLI_OK = 0,
    CLI_FAILED = 1,  /* could not do it */
    CLI_USAGE = 2,   /* asked wrongly */
    CLI_CONFIG = 78, /* the configuration is wrong; EX_CONFIG of sysexits.h */
};

/* cli_wants_help - whether --help or -h stands behind the command argv[0]. */
bool cli_wants_help(int argc, char *const *argv);

/* cli_genkey - print a fresh private key; warns when standard output is a file that others may read. */
int cli_genkey(const char *program);

/* cli_pubkey - read a private key from standard input, print its public key. */
int cli_pubkey(const char *program);

/* cli_version - print "PROGRAM VERSION". */
int cli_version(const char *program);

/* cli_key_read - the one key in a file (base64 or hex, blanks and an end of line around it allowed): an identity's
 * private key or a preshared key.
 * why   gets a reason for people when it fails, naming neither the path nor the content
 * Returns 0, 1 when it was read but others than its owner may read the file too (why says so), or a negative error. */
int cli_key_read(const char *path, uint8_t key[32], char *why, size_t why_cap);

#endif
