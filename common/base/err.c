#include "common/base/err.h"

#include <string.h>

const char *err_str(int err)
{
    switch (err) {
    case 0:
        return "ok";
#define X(name, value, text)                                                                                           \
    case name:                                                                                                         \
        return text;
        ERR_MAP(X)
#undef X
    default:
        return err < 0 && err > -3000 ? strerror(-err) : "unknown error";
    }
}
