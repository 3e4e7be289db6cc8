/* sandbox.h - giving up what the server child does not need, before it reads a byte from the network. SHELL. */
#ifndef INGRESS_SANDBOX_H
#define INGRESS_SANDBOX_H

/* sandbox_enter - for good: no core dumps and no ptrace by equals, no new privileges by exec, another user, no
 * capabilities. Sockets that are open stay open; a privileged port can't be bound any more.
 * user  a name, or uid, or uid:gid (gid = uid when left out); "" stays who we are. Only root can change user: for
 *       anyone else it is a warning unless it is this very user already.
 * One thread only: call it before any other is started. Returns 0, or a negative error, logged; the process must then
 * end, because it may have lost some privileges and not others. */
int sandbox_enter(const char *user) __attribute__((warn_unused_result));

#endif
