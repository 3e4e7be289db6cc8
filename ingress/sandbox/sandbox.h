/* sandbox.h - giving up what the server child does not need, before it reads anything that others wrote. SHELL.
 *
 * What is left to it: the descriptors it was given, visitors it accepts, reading the feed's folder, its state
 * directory, memory, threads and the clock. docs/threat-model.md says what that is worth. */
#ifndef INGRESS_SANDBOX_H
#define INGRESS_SANDBOX_H

#include <stdbool.h>

#include "ingress/sandbox/sandbox_files.h"

struct sandbox {
    const char *user; /* a name, or uid, or uid:gid (gid = uid when left out); "" stays who we are. Only root can change
                       * user: for anyone else it is a warning unless it is this very user already */
    bool confine;     /* restrict files and system calls too */
    struct sandbox_files files;
};

/* sandbox_hide_memory - no core dumps, and nobody of the same user may look into this process: it has keys, or will.
 * Changing user or exec undoes the second half. 0, or a negative error, logged. */
int sandbox_hide_memory(void) __attribute__((warn_unused_result));

/* sandbox_show_memory - to debuggers of the same user again; still no core dumps. */
void sandbox_show_memory(void);

/* sandbox_enter - for good: hidden memory, no new privileges by exec, another user, no capabilities, the given files
 * only, and the system calls of sandbox_calls.h only. Sockets that are open stay open; none can be opened any more.
 * A kernel without Landlock leaves files to their modes, with a warning; one without seccomp filters is an error.
 * One thread only: call it before any other is started. Returns 0, or a negative error, logged; the process must then
 * end, because it may have lost some privileges and not others. */
int sandbox_enter(const struct sandbox *sandbox) __attribute__((warn_unused_result));

#endif
