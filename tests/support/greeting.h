/* greeting.h - what load and backend agree on: a real ClientHello, whose random begins with what is asked of the backend.
 * Every relay passes these bytes on untouched, those that route by the server name and those that know nothing of TLS. */
#ifndef SUPPORT_GREETING_H
#define SUPPORT_GREETING_H

#include <stddef.h>
#include <stdint.h>

#define GREETING_BYTES       517 /* as browsers pad it */
#define GREETING_RECORD_HEAD 5
#define GREETING_ASK_AT      11 /* first byte of the random: record head, message head, version */

#define ASK_REPLY  'r' /* REPLY_BYTES, then whatever the other side does */
#define ASK_SINK   'u' /* throw away what comes */
#define ASK_SOURCE 'd' /* send as much as can be sent */
#define ASK_ECHO   'e'

#define REPLY_BYTES 1024
#define PING_BYTES  100

#endif
