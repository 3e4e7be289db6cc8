/* What a server child is sent: everything once, descriptors only for what it does not hold yet. And what keeps a supply
 * from being made: a file or a key that can't be used, said with the place that names it. */
#include "ingress/supply.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/crypto/crypto.h"
#include "common/crypto/key.h"
#include "ingress/ipc.h"

static const char config_text[] = "workers: 2\n"
                                  "listen:\n"
                                  "  - address: \"127.0.0.1:0\"\n"
                                  "wireguard: {listen: [\"127.0.0.1:0\"]}\n"
                                  "identities:\n"
                                  "  - {name: blue, key_file: blue.key, previous_key_file: old.key}\n"
                                  "  - {name: red, key_file: red.key}\n"
                                  "feed: {type: file, path: nodes.json}\n";

struct folder {
    char path[64];
    uint8_t key[KEY_BYTES];
};

static void write_file(const char *folder, const char *name, const char *text)
{
    char path[128];
    FILE *f;

    snprintf(path, sizeof(path), "%s/%s", folder, name);
    f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(chmod(path, 0600), 0);
}

static int setup(void **state)
{
    struct folder *d = calloc(1, sizeof(*d));
    struct rng rng;
    char text[KEY_STR + 1];

    assert_non_null(d);
    assert_int_equal(crypto_init(), 0);
    crypto_rng(&rng);
    strcpy(d->path, "/tmp/test_supply.XXXXXX");
    assert_non_null(mkdtemp(d->path));
    key_generate(&rng, d->key);
    key_format(d->key, text);
    strcat(text, "\n");
    write_file(d->path, "blue.key", text);
    write_file(d->path, "old.key", text);
    write_file(d->path, "red.key", text);
    write_file(d->path, "c.yaml", config_text);
    *state = d;
    return 0;
}

static int teardown(void **state)
{
    static const char *const names[] = {"blue.key", "old.key", "red.key", "c.yaml"};
    struct folder *d = *state;
    char path[128];

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        snprintf(path, sizeof(path), "%s/%s", d->path, names[i]);
        unlink(path);
    }
    rmdir(d->path);
    free(d);
    return 0;
}

static struct supply *load(const struct folder *d, uint32_t number, struct config_errors *errors)
{
    char path[128];

    snprintf(path, sizeof(path), "%s/c.yaml", d->path);
    config_errors_init(errors);
    return supply_load(path, number, errors);
}

/* hear - the next message, which must be this one; freed by the caller */
static void hear(int fd, enum ipc_type type, uint32_t generation, struct ipc_message *msg)
{
    assert_int_equal(ipc_recv(fd, msg), 1);
    assert_string_equal(ipc_type_name(msg->type), ipc_type_name(type));
    assert_int_equal(msg->generation, generation);
}

static void hear_config(int fd, uint32_t generation)
{
    struct ipc_message msg;
    char text[sizeof(config_text)];

    hear(fd, IPC_CONFIG, generation, &msg);
    assert_non_null(strstr(msg.u.text, "/c.yaml"));
    assert_int_equal(pread(msg.fd, text, sizeof(text), 0), sizeof(config_text) - 1);
    assert_memory_equal(text, config_text, sizeof(config_text) - 1);
    assert_int_equal(pwrite(msg.fd, "x", 1, 0), -1);
    assert_int_equal(ftruncate(msg.fd, 0), -1);
    ipc_message_deinit(&msg);
}

static void hear_key(int fd, uint32_t generation, const char *identity, bool previous, const struct folder *d)
{
    struct ipc_message msg;

    hear(fd, IPC_KEY, generation, &msg);
    assert_string_equal(msg.u.key.identity, identity);
    assert_int_equal(msg.u.key.previous, previous);
    assert_memory_equal(msg.u.key.key, d->key, KEY_BYTES);
    ipc_message_deinit(&msg);
}

static void hear_generation(int fd, uint32_t generation, bool first, const struct folder *d)
{
    struct ipc_message msg;

    hear(fd, IPC_BEGIN, generation, &msg);
    assert_int_equal(msg.u.begin.workers, 2);
    ipc_message_deinit(&msg);
    hear_config(fd, generation);
    hear_key(fd, generation, "blue", false, d);
    hear_key(fd, generation, "blue", true, d);
    hear_key(fd, generation, "red", false, d);
    for (uint32_t worker = 0; worker < 2; worker++) {
        hear(fd, IPC_LISTENER, generation, &msg);
        assert_string_equal(msg.u.listener.address, "127.0.0.1:0");
        assert_int_equal(msg.u.listener.worker, worker);
        assert_int_equal(msg.u.listener.listen_index, 0);
        assert_int_equal(msg.fd != -1, first);
        ipc_message_deinit(&msg);
    }
    for (uint32_t worker = 0; worker < 2 && first; worker++) {
        hear(fd, IPC_UDP, generation, &msg);
        assert_int_equal(msg.u.udp.worker, worker);
        assert_int_equal(msg.u.udp.family, 4);
        ipc_message_deinit(&msg);
    }
    hear(fd, IPC_COMMIT, generation, &msg);
    ipc_message_deinit(&msg);
}

static void sends_everything_then_only_what_is_new(void **state)
{
    struct folder *d = *state;
    struct config_errors errors;
    struct supply *first = load(d, 1, &errors), *second = load(d, 2, &errors);
    struct sockets sockets;
    int ours, theirs;

    assert_non_null(first);
    assert_non_null(second);
    sockets_init(&sockets, 2);
    assert_int_equal(sockets_open_udp(&sockets, first->config, first->file, &errors), 0);
    assert_int_equal(sockets_open(&sockets, first->config, 1, first->file, &errors), 0);
    assert_int_equal(ipc_pair(&ours, &theirs), 0);
    assert_int_equal(supply_send(first, &sockets, 0, ours), 0);
    hear_generation(theirs, 1, true, d);
    assert_int_equal(sockets_open(&sockets, second->config, 2, second->file, &errors), 0);
    assert_int_equal(supply_send(second, &sockets, 1, ours), 0);
    hear_generation(theirs, 2, false, d);
    /* a server that replaces another holds nothing */
    assert_int_equal(supply_send(second, &sockets, 0, ours), 0);
    hear_generation(theirs, 2, true, d);

    close(theirs);
    assert_true(supply_send(second, &sockets, 0, ours) < 0);
    close(ours);
    sockets_deinit(&sockets);
    supply_free(first);
    supply_free(second);
}

static void says_which_key_is_wrong(void **state)
{
    struct folder *d = *state;
    struct config_errors errors;
    char path[128];

    write_file(d->path, "old.key", "not a key\n");
    snprintf(path, sizeof(path), "%s/red.key", d->path);
    assert_int_equal(unlink(path), 0);
    assert_null(load(d, 1, &errors));
    assert_int_equal(errors.count, 2);
    assert_non_null(strstr(errors.line[0], "c.yaml: identities[0].previous_key_file: "));
    assert_null(strstr(errors.line[0], "not a key"));
    assert_non_null(strstr(errors.line[1], "c.yaml: identities[1].key_file: "));
    assert_non_null(strstr(errors.line[1], "red.key"));
}

static void says_what_is_wrong_with_the_file(void **state)
{
    struct folder *d = *state;
    struct config_errors errors;

    write_file(d->path, "c.yaml", "lisen: []\n");
    assert_null(load(d, 1, &errors));
    assert_true(errors.count > 0);
    assert_non_null(strstr(errors.line[0], "c.yaml:1:1: lisen"));

    config_errors_init(&errors);
    assert_null(supply_load("/nonexistent/c.yaml", 1, &errors));
    assert_int_equal(errors.count, 1);
}

/* the machine's users decide, but for numbers */
static void says_which_user_is_nobody(void **state)
{
    static const struct {
        const char *user;
        bool known;
    } cases[] = {
        {"root", true},          {"0", true},     {"65532", true},  {"65532:65533", true}, {"no-such-user", false},
        {"65532:", false},       {"65532x", false}, {"65532:x", false}, {":1", false},
    };
    struct folder *d = *state;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char text[sizeof(config_text) + 64];
        struct config_errors errors;

        snprintf(text, sizeof(text), "user: \"%s\"\n%s", cases[i].user, config_text);
        write_file(d->path, "c.yaml", text);
        struct supply *s = load(d, 1, &errors);

        assert_int_equal(s != NULL, cases[i].known);
        assert_true(s || strstr(errors.line[0], "c.yaml: user: there is no user '"));
        supply_free(s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(sends_everything_then_only_what_is_new, setup, teardown),
        cmocka_unit_test_setup_teardown(says_which_key_is_wrong, setup, teardown),
        cmocka_unit_test_setup_teardown(says_which_user_is_nobody, setup, teardown),
        cmocka_unit_test_setup_teardown(says_what_is_wrong_with_the_file, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
