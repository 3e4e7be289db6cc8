/* address_book.h - where each connected node was last heard from, kept in state_dir, so that an ingress that starts again
 * can call nodes behind NAT before they notice that it was away. SHELL, on the main thread.
 *
 * A text file, `endpoints`: one "id address:port" a line, then "end=" and their number; without that it was cut, and is
 * ignored. It is made in slices of the loop's turns and written on a thread, a while after something changed; nodes that
 * left the table are dropped with it. What it says is a hint: a node that does not answer there is waited for as ever, and who answers must know the node's key. */
#ifndef INGRESS_ADDRESS_BOOK_H
#define INGRESS_ADDRESS_BOOK_H

#include "common/base/addr.h"
#include "common/net/loop.h"

struct workers;
struct route_node;
struct address_book;

/* address_book_new - reads the file of the folder (borrowed; "": nothing is kept). NULL: out of memory. */
struct address_book *address_book_new(struct loop *loop, struct workers *workers, const char *state_dir);

/* address_book_call - once the workers run: each node that is still in the table is called where it was, some hundreds a
 * second. */
void address_book_call(struct address_book *book, ts_t now);

/* address_book_heard - a session with the node came up (its reference is taken). */
void address_book_heard(struct address_book *book, const struct route_node *node, const struct addrport *from, ts_t now);

/* address_book_free - writes what is not written yet. NULL allowed. */
void address_book_free(struct address_book *book);

#endif
