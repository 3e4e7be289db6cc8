/* map_frames.h - map frames out of the endless body of a map stream: a length in 4 bytes, little-endian, then JSON.
 *
 * Memory grows with what has come, never with what a length promises. */
#ifndef TAILNET_MAP_FRAMES_H
#define TAILNET_MAP_FRAMES_H

#include <stddef.h>
#include <stdint.h>

#define MAP_FRAME_BYTES_MAX ((size_t)64 << 20) /* some 50,000 nodes at once; later changes are small */

struct map_frames {
    char *bytes;
    size_t len, room;
    uint8_t head[4];
    size_t head_len;
};

/* map_frames_feed - take bytes up to the end of one frame; *used <= len are taken.
 * Returns 1: a frame is whole, (*text, *text_len) until map_frames_done, which comes before the next call; 0: more is
 * needed; ERR_TOO_LARGE, ERR_NOMEM. */
int map_frames_feed(struct map_frames *frames, const uint8_t *data, size_t len, size_t *used, const char **text,
                    size_t *text_len) __attribute__((warn_unused_result));
/* map_frames_done - the frame was looked at: a whole map's memory is given back at once, for the next frame may be a
 * minute away. */
void map_frames_done(struct map_frames *frames);
void map_frames_deinit(struct map_frames *frames); /* empty afterwards */

#endif
