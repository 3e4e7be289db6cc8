#include "ingress/admin_call.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "common/base/ts.h"

FILE *admin_call(int fd, const json_t *request, uint64_t patience_ns)
{
    struct timeval patience = {.tv_sec = (time_t)(patience_ns / TS_S)};
    char *text = json_dumps(request, JSON_COMPACT);
    size_t len = text ? strlen(text) : 0;
    FILE *in = NULL;

    if (text && fcntl(fd, F_SETFL, 0) == 0 &&
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) == 0) {
        text[len] = '\n'; /* in place of its zero: from here on it is bytes */
        if (send(fd, text, len + 1, MSG_NOSIGNAL) == (ssize_t)len + 1)
            in = fdopen(fd, "r");
    }
    free(text);
    if (!in)
        close(fd);
    return in;
}
