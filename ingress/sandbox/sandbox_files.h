/* sandbox_files.h - which files a process may still open, by Landlock. SHELL.
 *
 * Landlock needs no privilege, follows files rather than names, and holds for all threads started later. Descriptors
 * that are open already stay as they are. Linux 5.13 and later, where it was not left out or disabled at boot. */
#ifndef INGRESS_SANDBOX_FILES_H
#define INGRESS_SANDBOX_FILES_H

#include <stdbool.h>

#define SANDBOX_FILES_MORE 8

struct sandbox_files {
    const char *feed;      /* "": none. Read: what is in its folder, for a feed is replaced by renaming a new one over it; and
                            * what is in the folder of the file that a symbolic link leads to now */
    const char *state_dir; /* read and write: what is in it; "": none */
    const char *more[SANDBOX_FILES_MORE]; /* read, likewise: what a feed from the network needs; NULL or "": nothing */
    bool dials; /* read: what looking up names and checking certificates needs of this machine */
};

/* sandbox_files_enter - from here on these only, for good. A folder that is not there is not an error here: whoever
 * opens a file in it will say so. Needs no_new_privs.
 * Returns the kernel's Landlock version (>= 1); 0: it has none, and nothing was restricted; or -errno. landlock(7). */
int sandbox_files_enter(const struct sandbox_files *files) __attribute__((warn_unused_result));

#endif
