/* front.h - the public side until the name is known: accept, PROXY header, ClientHello. One a worker. SHELL. */
#ifndef INGRESS_FRONT_H
#define INGRESS_FRONT_H

#include "ingress/worker.h"

struct front;

struct front *front_new(struct worker *worker); /* NULL: out of memory */
void front_free(struct front *front);           /* after front_stop and a turn of the loop */

/* front_listen - accept on fd (taken); address: of the listener, as addrport_format writes it. 0 or a negative code,
 * then fd is still the caller's. */
int front_listen(struct front *front, int fd, const char *address);

/* front_generation - settings changed: listeners that the generation does not name are closed. */
void front_generation(struct front *front, const struct generation *generation);

/* front_close_listeners - take what waits in the queues, then close. Visitors in their hello go on. */
void front_close_listeners(struct front *front, ts_t now);

/* front_stop - end everything: listeners and visitors. */
void front_stop(struct front *front, ts_t now);

/* front_pending - visitors that have not said a name yet. */
size_t front_pending(const struct front *front);

#endif
