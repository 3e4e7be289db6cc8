/* feed_gather.h - whole lines out of pieces of a stream, up to a length. A line that lies in one piece is not copied. */
#ifndef FEED_FEED_GATHER_H
#define FEED_FEED_GATHER_H

#include <stddef.h>

struct feed_gather {
    char *text; /* the beginning of a line whose end has not come, or the whole line just given out */
    size_t len, cap;
    size_t max;
    unsigned char given; /* text was given out, and goes at the next call */
};

enum feed_gathered {
    FEED_GATHERED_NONE = 0, /* everything was used; no line is whole */
    FEED_GATHERED_LINE,
    FEED_GATHERED_TOO_LONG,
    FEED_GATHERED_NO_MEMORY,
};

void feed_gather_init(struct feed_gather *g, size_t line_max);
void feed_gather_deinit(struct feed_gather *g); /* wipes: rows may hold secrets. Usable again after that */

/* feed_gather - the next line, without its end; borrowed until the next call, from data or from g. */
enum feed_gathered feed_gather(struct feed_gather *g, const char *data, size_t len, size_t *used, const char **line,
                               size_t *line_len);

/* feed_gather_rest - what came after the last line's end, when the stream is over; LINE or NONE. */
enum feed_gathered feed_gather_rest(struct feed_gather *g, const char **line, size_t *line_len);

#endif
