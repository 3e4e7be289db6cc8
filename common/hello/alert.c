/* alert.c - seven bytes: a record header, the level, the reason. */
#include "common/hello/alert.h"

#include "common/base/bytes.h"

#define RECORD_ALERT 21
#define TLS_1_2      0x0303
#define LEVEL_FATAL  2

void hello_alert(enum tls_alert alert, uint8_t out[HELLO_ALERT_BYTES])
{
    out[0] = RECORD_ALERT;
    be16_put(out + 1, TLS_1_2);
    be16_put(out + 3, 2);
    out[5] = LEVEL_FATAL;
    out[6] = (uint8_t)alert;
}
