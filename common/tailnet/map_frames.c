#include "common/tailnet/map_frames.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/bug.h"
#include "common/base/bytes.h"
#include "common/base/err.h"

#define ROOM_MIN  4096
#define ROOM_KEPT ((size_t)64 << 10) /* between frames; a whole map's buffer is given back */

void map_frames_deinit(struct map_frames *frames)
{
    free(frames->bytes);
    *frames = (struct map_frames){0};
}

void map_frames_done(struct map_frames *frames)
{
    if (frames->room > ROOM_KEPT)
        map_frames_deinit(frames);
    frames->len = frames->head_len = 0;
}

static bool make_room(struct map_frames *frames, size_t upto)
{
    size_t room = MAX(frames->room, ROOM_MIN);

    if (upto <= frames->room)
        return true;
    while (room < upto)
        room *= 2;
    char *grown = realloc(frames->bytes, room);

    if (!grown)
        return false;
    frames->bytes = grown;
    frames->room = room;
    return true;
}

int map_frames_feed(struct map_frames *frames, const uint8_t *data, size_t len, size_t *used, const char **text,
                    size_t *text_len)
{
    size_t n = MIN(len, sizeof(frames->head) - frames->head_len);

    memcpy(frames->head + frames->head_len, data, n);
    frames->head_len += n;
    *used = n;
    if (frames->head_len < sizeof(frames->head))
        return 0;
    size_t whole = le32_get(frames->head);

    if (whole > MAP_FRAME_BYTES_MAX)
        return ERR_TOO_LARGE;
    n = MIN(len - *used, whole - frames->len);
    if (!make_room(frames, frames->len + n))
        return ERR_NOMEM;
    if (n > 0)
        memcpy(frames->bytes + frames->len, data + *used, n);
    frames->len += n;
    *used += n;
    if (frames->len < whole)
        return 0;
    *text = frames->bytes;
    *text_len = whole;
    return 1;
}
