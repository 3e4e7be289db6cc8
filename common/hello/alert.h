/* alert.h - the one thing the ingress ever says to a TLS client itself: a fatal alert, in the clear, before the
 * connection is closed. RFC 8446 section 6. */
#ifndef HELLO_ALERT_H
#define HELLO_ALERT_H

#include <stdint.h>

enum tls_alert {
    TLS_ALERT_ACCESS_DENIED = 49,
    TLS_ALERT_DECODE_ERROR = 50,
    TLS_ALERT_INTERNAL_ERROR = 80,
    TLS_ALERT_UNRECOGNIZED_NAME = 112, /* RFC 6066 section 3 */
};

#define HELLO_ALERT_BYTES 7

/* hello_alert - write the record of a fatal alert, version TLS 1.2, which every client can read. */
void hello_alert(enum tls_alert alert, uint8_t out[HELLO_ALERT_BYTES]);

#endif
