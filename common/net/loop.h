/* loop.h - one thread's event loop: libuv, the clock, deadlines, descriptors, and one flush a turn.
 *
 * SHELL. Descriptors are watched by an epoll set of the loop's own, which libuv sees as one descriptor: the kernel is told
 * when more is to be watched, and that less is only when an event comes that nobody wants (docs/decisions/0085). Callbacks feed engines and mark what changed; the flush callback then runs once at the end of the loop turn
 * and moves output, events and deadlines. Shell timers (struct loop_timer) are deadlines in one heap behind one
 * timerfd, beside the engine's own deadline which the flush callback returns. Time is CLOCK_BOOTTIME. */
#ifndef NET_LOOP_H
#define NET_LOOP_H

#include <uv.h>

#include "common/base/timerq.h"

struct loop;

struct loop_timer {
    struct timer timer;
    void (*fn)(struct loop_timer *timer, ts_t now); /* called once; arm again to repeat */
};

/* A descriptor in the loop. Embedded by its owner, who must not free it before loop_poll_close called `closed`. */
struct loop_poll {
    struct loop *loop;
    void (*fn)(struct loop_poll *poll, bool readable, bool writable, ts_t now);
    void (*closed)(struct loop_poll *poll); /* the memory is free again */
    struct loop_poll *next_closed;          /* among those to be told so */
    int fd;
    uint8_t events;  /* what the owner waits for: UV_READABLE | UV_WRITABLE */
    uint8_t watched; /* what the kernel watches: at least as much; 0: the descriptor is not in the set */
    bool closing;
};

struct loop {
    uv_loop_t uv;
    uv_check_t check;
    uv_prepare_t prepare;
    uv_poll_t set;  /* the epoll set */
    int set_fd;
    struct loop_poll *closed; /* to be told so at the next turn */
    unsigned polls;           /* opened, and not closed */
    struct loop_poll timerfd;
    int timer_fd;
    ts_t timer_set; /* what the timerfd is set to: no later than the next deadline */
    struct timerq timers;
    /* moves engine output and events; returns the engine's next deadline */
    ts_t (*flush)(void *ctx, ts_t now);
    void *ctx;
    bool dirty; /* something happened since the last flush that the check did not see */
    bool stopping;
    ts_t woke_at;          /* of this turn, as far as the time spent waiting tells */
    uint64_t idle_ns;      /* waited so far */
    uint64_t turn_max_ns;  /* the longest turn: from the end of a wait until all that it brought was done */
};

/* loop_now - CLOCK_BOOTTIME; sample once a callback. loop_wall - Unix time, ns. */
ts_t loop_now(void);
uint64_t loop_wall(void);

/* loop_init - 0 or a negative libuv/errno code. flush may be NULL. */
int loop_init(struct loop *loop, ts_t (*flush)(void *ctx, ts_t now), void *ctx);
/* loop_run - until loop_stop. */
void loop_run(struct loop *loop);
void loop_stop(struct loop *loop);
/* loop_deinit - closes the loop's own handles; every other handle must be closed. Says which one was not. */
void loop_deinit(struct loop *loop);

void loop_timer_init(struct loop_timer *t, void (*fn)(struct loop_timer *, ts_t));
void loop_timer_arm(struct loop *loop, struct loop_timer *t, ts_t at); /* TS_NEVER: disarm */

/* loop_poll_init - watch nothing yet. 0 or a negative code (then nothing needs closing). The descriptor is non-blocking
 * and stays the owner's: it may be closed right after loop_poll_close. */
int loop_poll_init(struct loop *loop, struct loop_poll *p, int fd,
                   void (*fn)(struct loop_poll *, bool readable, bool writable, ts_t now));
/* loop_poll_set - UV_READABLE, UV_WRITABLE, both or 0. */
void loop_poll_set(struct loop_poll *p, int events);
/* loop_poll_close - idempotent. Stops watching at once (the descriptor may be closed right after); `closed` (may be
 * NULL) is called later, when the memory is free. */
void loop_poll_close(struct loop_poll *p, void (*closed)(struct loop_poll *));
/* loop_poll_left - the same for a descriptor that the caller closes next and that nobody else holds (no other process, no
 * copy): its end takes it out of the kernel's set, without a call for that. */
void loop_poll_left(struct loop_poll *p, void (*closed)(struct loop_poll *));

#endif
