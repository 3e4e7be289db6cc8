/* err.h - the codes an `int` function may return: 0, or one of these, or a negative errno / libuv code.
 *
 * Own codes start at -10000, clear of -errno and of libuv's -3000 and -4095, so all fit one int and one err_str(). */
#ifndef BASE_ERR_H
#define BASE_ERR_H

#define ERR_MAP(X)                                                                                                     \
    X(ERR_NOMEM, -10000, "out of memory or over the memory budget")                                                    \
    X(ERR_FULL, -10001, "queue or table is full")                                                                      \
    X(ERR_CLOSED, -10002, "already closed")                                                                            \
    X(ERR_INVALID, -10003, "not valid")                                                                                \
    X(ERR_TRUNCATED, -10004, "ends too early")                                                                         \
    X(ERR_TOO_LARGE, -10005, "too large")                                                                              \
    X(ERR_CRYPTO, -10006, "cryptographic operation failed")                                                            \
    X(ERR_EXISTS, -10007, "exists already")                                                                            \
    X(ERR_NOT_FOUND, -10008, "not found")                                                                              \
    X(ERR_NO_PORTS, -10009, "no free local port")                                                                      \
    X(ERR_NO_SESSION, -10010, "no usable session")                                                                     \
    X(ERR_AGAIN, -10011, "not now; try again later")                                                                   \
    X(ERR_WRONG_STATE, -10012, "not possible in this state")

enum err {
#define X(name, value, text) name = value,
    ERR_MAP(X)
#undef X
};

/* err_str - a short text for any of our codes or a negative errno. Static storage or strerror's. */
const char *err_str(int err);

#endif
