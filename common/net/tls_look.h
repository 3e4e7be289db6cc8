/* tls_look.h - what a TLS server shows to a visitor who asks for a name: its certificate, or an alert. SHELL.
 *
 * For diagnosis: nothing is sent but the handshake, and a certificate that nobody should trust is described rather than
 * refused. Blocks until its deadline. */
#ifndef NET_TLS_LOOK_H
#define NET_TLS_LOOK_H

#include <stdbool.h>

#include "common/base/ts.h"

#define TLS_LOOK_NO_ALERT (-1)

struct tls_look {
    /* of a handshake that came through */
    char version[16];     /* "TLSv1.3" */
    char subject[256];    /* RFC 2253; cut if longer, as the others */
    char issuer[256];
    char expires[32];     /* "Jan  1 00:00:00 2030 GMT" */
    bool trusted;         /* by this machine's authorities, for this name, now */
    char distrust[128];   /* why not */
    /* of one that did not */
    int alert;            /* number, RFC 8446 section 6, or TLS_LOOK_NO_ALERT */
    char alert_name[48];  /* "unrecognized name" */
    bool not_tls;         /* something answered, but not in TLS as this program knows it */
    char error[160];      /* what happened, for people */
};

/* tls_look - a handshake over a connected non-blocking socket, which stays the caller's.
 * name      to ask for (SNI)
 * deadline  by loop_now's clock
 * True: it came through. */
bool tls_look(int fd, const char *name, ts_t deadline, struct tls_look *out);

#endif
