/* sandbox_calls.h - the system calls a server child may make once it is in the sandbox, each with what needs it.
 *
 *      CALL(name, why)                       whatever its arguments
 *      CALL_IF(name, arg, mask, value, why)  when (argument `arg` & mask) == value, of its low 32 bits: every argument
 *                                            asked about is an int or a word of flags
 *      REFUSE(name, error, why)              fails with that error, and the caller goes another way
 *      REFUSE_IF(name, …, value, error, why) the same, as CALL_IF
 *
 * A call may stand several times; the first line that fits decides. One that stands nowhere ends the process. What is
 * not here is the point: no socket, bind or connect (but see SANDBOX_CALLS_TO_DIAL), no exec, no new process, no signal
 * to another process, no memory that can be executed, no mount, no namespace, no io_uring (which would do all of that
 * without asking).
 *
 * The list was made by tracing the end-to-end tests on both sides of sandbox_enter, and by reading what libuv, glibc
 * and the sanitizers do on paths that no test takes (errors, other kernels, other versions). The first lines are the
 * ones of every packet; their order costs nothing, for the kernel remembers per call what the filter always allows. */
#ifndef INGRESS_SANDBOX_CALLS_H
#define INGRESS_SANDBOX_CALLS_H

/* What makes a clone a thread and nothing else. */
#define SANDBOX_THREAD_MASK                                                                                            \
    (CLONE_VM | CLONE_THREAD | CLONE_SIGHAND | CLONE_PTRACE | CLONE_VFORK | CLONE_NEWNS | CLONE_NEWCGROUP |            \
     CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET)
#define SANDBOX_THREAD (CLONE_VM | CLONE_THREAD | CLONE_SIGHAND)

/* glibc's second internal signal, between the one of pthread_cancel and SIGRTMIN: setuid for all threads. */
#define SANDBOX_SIGSETXID (__SIGRTMIN + 1)

#define SANDBOX_CALLS(CALL, CALL_IF, REFUSE)                                                                           \
    /* bytes */                                                                                                        \
    CALL(recvmmsg, "datagrams, in batches")                                                                            \
    CALL(sendmmsg, "the same outwards")                                                                                \
    CALL(sendmsg, "messages to the supervisor; a visitor's bytes")                                                     \
    CALL(recvmsg, "messages of the supervisor")                                                                        \
    CALL(recvfrom, "recv: a visitor's hello")                                                                          \
    CALL(sendto, "send: a TLS alert")                                                                                  \
    CALL(readv, "a visitor's bytes, straight into the inner send queue")                                               \
    CALL(writev, "the log; bytes straight out of the inner receive queue")                                             \
    CALL(read, "eventfds and timerfds; the feed, the state file")                                                      \
    CALL(write, "the same outwards, and the access log")                                                               \
    CALL(pread64, "the configuration, out of the supervisor's memfd")                                                  \
    /* the loop */                                                                                                     \
    CALL(epoll_pwait, "libuv waits")                                                                                   \
    CALL(epoll_ctl, "libuv watches")                                                                                   \
    CALL(timerfd_settime, "the engines' next deadline")                                                                \
    CALL(epoll_create1, "a worker's loop")                                                                             \
    CALL(timerfd_create, "a worker's loop")                                                                            \
    CALL(eventfd2, "a worker's mailbox: uv_async")                                                                     \
    CALL(pipe2, "a worker's loop: libuv makes room for signals")                                                       \
    CALL(clock_gettime, "where the vDSO leaves a clock to the kernel")                                                 \
    CALL(clock_getres, "libuv asks whether the coarse clock will do")                                                  \
    REFUSE(io_uring_setup, ENOSYS, "newer libuv tries it, and goes on without")                                        \
    /* sockets: the supervisor opened them, or they were accepted */                                                   \
    CALL(accept4, "visitors; who asks the admin socket")                                                               \
    CALL(shutdown, "an end of file to the visitor")                                                                    \
    CALL_IF(setsockopt, 2, ~0u, TCP_NODELAY, "a visitor's socket")                                                     \
    CALL_IF(setsockopt, 2, ~0u, SO_LINGER, "a reset to the visitor")                                                   \
    CALL_IF(ioctl, 1, ~0u, FIONBIO, "libuv makes what it watches non-blocking")                                        \
    CALL_IF(fcntl, 1, ~0u, F_GETFL, "the same, of a loop's epoll set, which has no FIONBIO")                           \
    CALL_IF(fcntl, 1, ~0u, F_SETFL, "the same")                                                                        \
    CALL(close, "all of them")                                                                                         \
    CALL(ppoll, "poll: room in the supervisor's socket")                                                               \
    /* files: Landlock says which */                                                                                   \
    CALL(openat, "the feed, the state file")                                                                           \
    CALL(newfstatat, "fstat: the size of the feed")                                                                    \
    CALL(fstat, "likewise")                                                                                            \
    CALL(fsync, "the state file")                                                                                      \
    CALL(renameat, "the state file takes its place")                                                                   \
    CALL(unlinkat, "one that could not be finished goes")                                                              \
    CALL(geteuid, "whom the feed may not be read as, for the log")                                                     \
    /* memory, none of it executable */                                                                                \
    CALL_IF(mmap, 2, PROT_EXEC, 0, "malloc, stacks, guarded memory")                                                   \
    CALL_IF(mprotect, 2, PROT_EXEC, 0, "malloc, guard pages")                                                          \
    CALL(munmap, "malloc, guarded memory")                                                                             \
    CALL(mremap, "realloc")                                                                                            \
    CALL(brk, "malloc")                                                                                                \
    CALL(madvise, "free; secrets stay out of dumps")                                                                   \
    CALL(mlock, "secrets stay out of swap")                                                                            \
    CALL(munlock, "likewise")                                                                                          \
    CALL(sysinfo, "qsort: how much memory it may sort in")                                                             \
    CALL(clock_nanosleep, "a full mailbox is tried again a moment later")                                              \
    /* threads */                                                                                                      \
    CALL(futex, "mutexes of the mailboxes, joins")                                                                     \
    CALL_IF(clone, 0, SANDBOX_THREAD_MASK, SANDBOX_THREAD, "a worker")                                                 \
    REFUSE(clone3, ENOSYS, "its flags are behind a pointer; glibc goes on with clone")                                 \
    CALL(set_robust_list, "a thread begins")                                                                           \
    CALL(rseq, "likewise")                                                                                             \
    CALL_IF(rt_sigaction, 0, ~0u, SANDBOX_SIGSETXID, "glibc, before the first thread")                                 \
    CALL(rt_sigprocmask, "a thread begins; abort")                                                                     \
    CALL(sched_getaffinity, "how many cores an allocator should think of")                                             \
    CALL(sched_yield, "uv_async, where two threads meet")                                                              \
    CALL(restart_syscall, "the kernel's own, when a stopped process goes on")                                          \
    CALL(exit, "a thread ends")                                                                                        \
    CALL(exit_group, "the process ends")                                                                               \
    /* BUG_ON: abort; a denied call: its report. They end us, and nobody else */                                       \
    CALL(gettid, "raise")                                                                                              \
    CALL(getpid, "raise; also malloc and getrandom look for forks")                                                    \
    CALL_IF(tgkill, 0, ~0u, self, "raise")                                                                             \
    CALL_IF(rt_sigaction, 0, ~0u, SIGABRT, "abort. The handler of SIGSYS is for good")                                 \
    CALL(rt_sigreturn, "back from a handler")                                                                          \
    /* chance */                                                                                                       \
    CALL(getrandom, "keys, sequence numbers, hash seeds")                                                              \
    SANDBOX_CALLS_OF_OLD(CALL)                                                                                         \
    SANDBOX_CALLS_OF_SANITIZERS(CALL, CALL_IF)

/* Only where the feed comes over the network, which the server then asks for itself. With these a taken-over server can
 * connect to whatever the machine can: see docs/threat-model.md. */
#define SANDBOX_CALLS_TO_DIAL(CALL, CALL_IF, REFUSE_IF)                                                                \
    CALL_IF(socket, 0, ~0u, AF_INET, "to the feed's server, to name servers; c-ares sorts addresses by asking routes") \
    CALL_IF(socket, 0, ~0u, AF_INET6, "likewise")                                                                      \
    REFUSE_IF(socket, 0, ~0u, AF_UNIX, EAFNOSUPPORT, "libc: the interface of a link-local name server; nscd")          \
    REFUSE_IF(socket, 0, ~0u, AF_NETLINK, EAFNOSUPPORT, "likewise")                                                    \
    CALL(connect, "likewise")                                                                                          \
    CALL(getsockname, "which address a route would use")                                                               \
    CALL(getpeername, "which of a host's addresses answered")                                                          \
    CALL_IF(getsockopt, 2, ~0u, SO_ERROR, "whether a connection was made")                                             \
    CALL_IF(setsockopt, 1, ~0u, SOL_SOCKET, "c-ares: buffer sizes")                                                    \
    CALL_IF(setsockopt, 1, ~0u, IPPROTO_TCP, "c-ares: TCP Fast Open, no delay")                                        \
    CALL_IF(fcntl, 1, ~0u, F_GETFD, "c-ares makes its sockets close-on-exec and non-blocking by hand")                 \
    CALL_IF(fcntl, 1, ~0u, F_SETFD, "likewise")                                                                        \
    CALL_IF(fcntl, 1, ~0u, F_GETFL, "likewise")                                                                        \
    CALL_IF(fcntl, 1, ~0u, F_SETFL, "likewise")                                                                        \
    CALL(uname, "c-ares: the host's own name, for the domain to search in")                                            \
    CALL(lseek, "stdio, when a file of the resolver's is closed")                                                      \
    CALL(mkdirat, "the folder of a tailnet's keys, in state_dir")

/* gcc says by a macro that it builds with a sanitizer that has a runtime of its own, clang by a feature. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANDBOX_SANITIZERS 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANDBOX_SANITIZERS 1
#endif
#endif

/* x86-64 has older calls beside the ones above, which libraries still use. */
#if defined(__x86_64__)
#define SANDBOX_CALLS_OF_OLD(CALL)                                                                                     \
    CALL(epoll_wait, "libuv waits")                                                                                    \
    CALL(poll, "room in the supervisor's socket")
#else
#define SANDBOX_CALLS_OF_OLD(CALL)
#endif

/* Only in builds for tests: leaks are looked for at exit, by a process that stops our threads; reports read about us. */
#if defined(SANDBOX_SANITIZERS)
#define SANDBOX_CALLS_OF_SANITIZERS(CALL, CALL_IF)                                                                     \
    CALL_IF(clone, 0, CLONE_VM | CLONE_UNTRACED, CLONE_VM | CLONE_UNTRACED, "the leak checker's tracer")               \
    CALL(ptrace, "it stops our threads")                                                                               \
    CALL(wait4, "and waits for them; we wait for it")                                                                  \
    CALL(prctl, "we let it")                                                                                           \
    CALL(getppid, "it makes sure we are still there")                                                                  \
    CALL(getdents64, "it lists our threads")                                                                           \
    CALL(rt_sigaction, "it handles its own faults")                                                                    \
    CALL(sigaltstack, "a thread begins and ends")                                                                      \
    CALL(prlimit64, "the size of a stack")                                                                             \
    CALL(lseek, "reports")                                                                                             \
    SANDBOX_CALLS_OF_OLD_SANITIZERS(CALL)
#else
#define SANDBOX_CALLS_OF_SANITIZERS(CALL, CALL_IF)
#endif

#if defined(__x86_64__)
#define SANDBOX_CALLS_OF_OLD_SANITIZERS(CALL)                                                                          \
    CALL(open, "/proc")                                                                                                \
    CALL(stat, "likewise")                                                                                             \
    CALL(getdents, "likewise")                                                                                         \
    CALL(readlink, "likewise")
#else
#define SANDBOX_CALLS_OF_OLD_SANITIZERS(CALL)                                                                          \
    CALL(readlinkat, "/proc")
#endif

#endif
