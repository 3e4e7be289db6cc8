/* sandbox_filter.c - the program is one straight run down the list:
 *
 *      is this our architecture, and not x32?   no: kill
 *      A = number of the call
 *      A == CALL?      yes: allow
 *      A == CALL_IF?   yes: A = argument & mask; A == value? yes: allow. Then A = number again, for lines to come
 *      A == REFUSE?    yes: its error. REFUSE_IF: as CALL_IF
 *      trap
 *
 * What it traps meets on_denied, which says what it was before the process ends: with "kill" in its place an operator
 * whose new libc makes a new call would see a server die and nothing else. It is no softer: the call is not made, the
 * handler can't be exchanged (rt_sigaction is on the list for other signals only), and a SIGSYS that is blocked kills
 * at once. */
#include "ingress/sandbox/sandbox_filter.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/base/bug.h"
#include "ingress/sandbox/sandbox_calls.h"

#if defined(__x86_64__)
#define OUR_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define OUR_ARCH AUDIT_ARCH_AARCH64
#else
#error "no list of system calls for this architecture yet: see sandbox_calls.h"
#endif

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "an argument's low word comes first");

#define X32_CALL 0x40000000u /* the bit that marks x86-64's calls with 32-bit pointers */

struct rule {
    uint32_t number;
    uint32_t action; /* what the kernel then does */
    bool looks;      /* at an argument: only if it has the value */
    uint32_t arg, mask, value;
};

struct program {
    struct sock_filter *code;
    size_t len;
};

static void emit(struct program *p, uint16_t code, uint8_t yes, uint8_t no, uint32_t k)
{
    BUG_ON(p->len >= SANDBOX_FILTER_MAX);
    p->code[p->len++] = (struct sock_filter){code, yes, no, k};
}

static void load(struct program *p, size_t offset)
{
    emit(p, BPF_LD | BPF_W | BPF_ABS, 0, 0, (uint32_t)offset);
}

/* go on when A == k, else over `skip` instructions */
static void unless_equal_skip(struct program *p, uint32_t k, uint8_t skip)
{
    emit(p, BPF_JMP | BPF_JEQ | BPF_K, 0, skip, k);
}

static void verdict(struct program *p, uint32_t action)
{
    emit(p, BPF_RET | BPF_K, 0, 0, action);
}

static void add_rule(struct program *p, const struct rule *rule)
{
    if (!rule->looks) {
        unless_equal_skip(p, rule->number, 1);
        verdict(p, rule->action);
        return;
    }
    unless_equal_skip(p, rule->number, 5);
    load(p, offsetof(struct seccomp_data, args) + rule->arg * sizeof(uint64_t));
    emit(p, BPF_ALU | BPF_AND | BPF_K, 0, 0, rule->mask);
    unless_equal_skip(p, rule->value, 1);
    verdict(p, rule->action);
    load(p, offsetof(struct seccomp_data, nr));
}

size_t sandbox_filter_build(struct sock_filter out[SANDBOX_FILTER_MAX], uint32_t self, bool dials)
{
#define ALLOW                    SECCOMP_RET_ALLOW
#define ERROR(error)             (SECCOMP_RET_ERRNO | (error))
#define IF(arg, mask, value)     true, arg, (uint32_t)(mask), (uint32_t)(value)
#define CALL(name, why)          {SYS_##name, ALLOW, false, 0, 0, 0},
#define REFUSE(name, error, why) {SYS_##name, ERROR(error), false, 0, 0, 0},
#define CALL_IF(name, arg, mask, value, why)          {SYS_##name, ALLOW, IF(arg, mask, value)},
#define REFUSE_IF(name, arg, mask, value, error, why) {SYS_##name, ERROR(error), IF(arg, mask, value)},
    const struct rule rules[] = {SANDBOX_CALLS(CALL, CALL_IF, REFUSE)};
    static const struct rule dial_rules[] = {SANDBOX_CALLS_TO_DIAL(CALL, CALL_IF, REFUSE_IF)};
#undef ALLOW
#undef ERROR
#undef IF
#undef CALL
#undef REFUSE
#undef CALL_IF
#undef REFUSE_IF
    struct program p = {.code = out};

    load(&p, offsetof(struct seccomp_data, arch));
    emit(&p, BPF_JMP | BPF_JEQ | BPF_K, 1, 0, OUR_ARCH);
    verdict(&p, SECCOMP_RET_KILL_PROCESS);
    load(&p, offsetof(struct seccomp_data, nr));
    emit(&p, BPF_JMP | BPF_JGE | BPF_K, 0, 1, X32_CALL);
    verdict(&p, SECCOMP_RET_KILL_PROCESS);
    for (size_t i = 0; i < ARRAY_SIZE(rules); i++)
        add_rule(&p, &rules[i]);
    for (size_t i = 0; dials && i < ARRAY_SIZE(dial_rules); i++)
        add_rule(&p, &dial_rules[i]);
    verdict(&p, SECCOMP_RET_TRAP);
    return p.len;
}

static int install(struct sock_filter *code, size_t len)
{
    struct sock_fprog program = {.len = (unsigned short)len, .filter = code};

    return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) == 0 ? 0 : -errno;
}

int sandbox_filter_no_io_uring(void)
{
    static const struct rule rule = {SYS_io_uring_setup, SECCOMP_RET_ERRNO | ENOSYS, false, 0, 0, 0};
    struct sock_filter code[SANDBOX_FILTER_MAX];
    struct program p = {.code = code};

    load(&p, offsetof(struct seccomp_data, nr));
    add_rule(&p, &rule);
    verdict(&p, SECCOMP_RET_ALLOW);
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 ? install(code, p.len) : -errno;
}

/* A handler: only what signal-safety(7) lists. It was reset to the default by being called (SA_RESETHAND), and so the
 * raise ends the process, where the supervisor sees it. */
static void on_denied(int signum, siginfo_t *info, void *context)
{
    char line[64] = "error sandbox event=denied syscall=";
    size_t len = strlen(line);
    unsigned number = (unsigned)info->si_syscall, unit = 1;

    (void)context;
    while (number / unit >= 10)
        unit *= 10;
    for (; unit; unit /= 10)
        line[len++] = (char)('0' + number / unit % 10);
    line[len++] = '\n';
    (void)!write(STDERR_FILENO, line, len);
    raise(signum);
}

int sandbox_filter_enter(bool dials)
{
    struct sock_filter code[SANDBOX_FILTER_MAX];
    struct sigaction action = {.sa_sigaction = on_denied, .sa_flags = SA_SIGINFO | SA_RESETHAND | SA_NODEFER};

    if (sigaction(SIGSYS, &action, NULL) != 0)
        return -errno;
    return install(code, sandbox_filter_build(code, (uint32_t)getpid(), dials));
}
