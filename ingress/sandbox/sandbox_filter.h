/* sandbox_filter.h - a seccomp filter out of the list in sandbox_calls.h.
 *
 * It is classic BPF, written here by hand because it is two instructions a call: load the number, compare, allow. A
 * library for that would be another dependency in the one process that should have few
 * (docs/decisions/0010-a-filter-of-our-own.md). */
#ifndef INGRESS_SANDBOX_FILTER_H
#define INGRESS_SANDBOX_FILTER_H

#include <linux/filter.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SANDBOX_FILTER_MAX 512 /* instructions; the kernel takes 4,096 */

/* sandbox_filter_build - the program. self: our pid, whom alone we may signal. dials: it may connect outwards. Returns
 * its length. */
size_t sandbox_filter_build(struct sock_filter out[SANDBOX_FILTER_MAX], uint32_t self, bool dials);

/* sandbox_filter_no_io_uring - from now on the kernel has no io_uring for us (ENOSYS), and no_new_privs is set.
 * libuv 1.49 and later set up a ring with every loop, whatever UV_USE_IO_URING says; one that was set up before
 * sandbox_filter_enter would have to be served after it, and a ring goes past any list of system calls. Call it before
 * the first loop. 0 or -errno. */
int sandbox_filter_no_io_uring(void) __attribute__((warn_unused_result));

/* sandbox_filter_enter - put it in force for this thread and all that it starts, for good. Needs no_new_privs.
 * From then on a call that is not on the list writes a line to standard error that names its number, and ends the
 * process by SIGSYS; one by another architecture's numbers ends it without a word.
 * 0 or -errno. seccomp(2). */
int sandbox_filter_enter(bool dials) __attribute__((warn_unused_result));

#endif
