/* advice.h - what an operator can do about a reason: the last column of reason.h, for people at a terminal. */
#ifndef INGRESS_ADVICE_H
#define INGRESS_ADVICE_H

#include "ingress/reason.h"

/* advice - one or two sentences; "" for REASON_OK. */
const char *advice(enum reason reason);

#endif
