/* test_mailbox.c - every mail arrives once and in its sender's order, a full box says so, and what may be lost leaves
 * half of it to what may not. */
#include "ingress/mailbox.h"

#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#define SENDERS 4
#define EACH    50000

/* A reader: `data` of its mails is a number, and each kind (a sender) counts up from 0. */
struct reader {
    uv_loop_t loop;
    struct mailbox *box;
    uintptr_t next[SENDERS];
    size_t taken;
};

static void on_mail(void *ctx, const struct mail *mail)
{
    struct reader *r = ctx;

    assert_in_range(mail->kind, 0, SENDERS - 1);
    assert_int_equal((uintptr_t)mail->data, r->next[mail->kind]);
    r->next[mail->kind]++;
    r->taken++;
}

static int setup(void **state)
{
    struct reader *r = calloc(1, sizeof(*r));

    assert_non_null(r);
    assert_int_equal(uv_loop_init(&r->loop), 0);
    r->box = mailbox_new(&r->loop, on_mail, r);
    assert_non_null(r->box);
    *state = r;
    return 0;
}

static void close_box(struct reader *r)
{
    mailbox_close(r->box);
    r->box = NULL;
}

/* the loop closes with nothing left */
static int teardown(void **state)
{
    struct reader *r = *state;

    close_box(r);
    assert_int_equal(uv_run(&r->loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(uv_loop_close(&r->loop), 0);
    free(r);
    return 0;
}

static bool post(struct reader *r, uintptr_t number)
{
    return mailbox_post(r->box, 0, (void *)number);
}

static bool try(struct reader *r, uintptr_t number)
{
    return mailbox_try(r->box, 0, (void *)number);
}

static void read_until(struct reader *r, size_t taken)
{
    while (r->taken < taken)
        uv_run(&r->loop, UV_RUN_ONCE);
    assert_int_equal(r->taken, taken);
}

static void mails_arrive_in_order(void **state)
{
    struct reader *r = *state;

    for (uintptr_t i = 0; i < 10; i++)
        assert_true(post(r, i));
    assert_int_equal(r->taken, 0); /* on the loop's thread, not in the sender's call */
    read_until(r, 10);
}

static void a_full_box_says_so_and_has_room_again(void **state)
{
    struct reader *r = *state;
    uintptr_t sent = 0;

    for (int round = 1; round <= 3; round++) {
        while (post(r, sent))
            sent++;
        assert_int_equal(sent, round * MAILBOX_SLOTS);
        read_until(r, sent);
    }
}

static void what_may_be_lost_fills_half(void **state)
{
    struct reader *r = *state;
    uintptr_t sent = 0;

    while (try(r, sent))
        sent++;
    assert_int_equal(sent, MAILBOX_SLOTS / 2);
    while (post(r, sent))
        sent++;
    assert_int_equal(sent, MAILBOX_SLOTS);
    assert_false(try(r, sent));
    read_until(r, sent);
    assert_true(try(r, sent));
}

static void a_full_box_leaves_the_loop_time_for_others(void **state)
{
    struct reader *r = *state;
    uintptr_t sent = 0;

    while (post(r, sent))
        sent++;
    uv_run(&r->loop, UV_RUN_NOWAIT);
    assert_in_range(r->taken, 1, sent - 1);
    read_until(r, sent); /* the rest needs no further post */
}

static void closing_hands_over_what_is_left(void **state)
{
    struct reader *r = *state;

    for (uintptr_t i = 0; i < MAILBOX_SLOTS; i++)
        assert_true(post(r, i));
    close_box(r);
    assert_int_equal(r->taken, MAILBOX_SLOTS);
}

struct sender {
    pthread_t thread;
    struct mailbox *box;
    int kind;
};

/* odd ones by mailbox_try, which has to wait for the other half */
static void *send_all(void *arg)
{
    struct sender *s = arg;

    for (uintptr_t i = 0; i < EACH; i++)
        while (!(s->kind % 2 ? mailbox_try : mailbox_post)(s->box, s->kind, (void *)i))
            sched_yield();
    return NULL;
}

static void mails_of_many_threads_arrive_once(void **state)
{
    struct reader *r = *state;
    struct sender senders[SENDERS];

    for (int i = 0; i < SENDERS; i++) {
        senders[i] = (struct sender){.box = r->box, .kind = i};
        assert_int_equal(pthread_create(&senders[i].thread, NULL, send_all, &senders[i]), 0);
    }
    read_until(r, (size_t)SENDERS * EACH);
    for (int i = 0; i < SENDERS; i++) {
        pthread_join(senders[i].thread, NULL);
        assert_int_equal(r->next[i], EACH);
    }
    close_box(r);
    assert_int_equal(r->taken, (size_t)SENDERS * EACH);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(mails_arrive_in_order, setup, teardown),
        cmocka_unit_test_setup_teardown(a_full_box_says_so_and_has_room_again, setup, teardown),
        cmocka_unit_test_setup_teardown(what_may_be_lost_fills_half, setup, teardown),
        cmocka_unit_test_setup_teardown(a_full_box_leaves_the_loop_time_for_others, setup, teardown),
        cmocka_unit_test_setup_teardown(closing_hands_over_what_is_left, setup, teardown),
        cmocka_unit_test_setup_teardown(mails_of_many_threads_arrive_once, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
