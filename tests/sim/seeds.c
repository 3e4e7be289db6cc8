#include "seeds.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool seeds_read(struct seeds *out, uint64_t count_default, int argc, char **argv)
{
    bool seed = false, seeds = false;

    *out = (struct seeds){.first = 1, .count = count_default};
    for (int i = 1; i < argc; i += 2) {
        bool first = strcmp(argv[i], "--seed") == 0;
        char *end = NULL;
        uint64_t number = i + 1 < argc ? strtoull(argv[i + 1], &end, 0) : 0;

        if (!end || end == argv[i + 1] || *end || (!first && (strcmp(argv[i], "--seeds") != 0 || number == 0))) {
            fprintf(stderr, "usage: %s [--seed S] [--seeds N]\n", argv[0]);
            return false;
        }
        *(first ? &out->first : &out->count) = number;
        *(first ? &seed : &seeds) = true;
    }
    out->one = seed && !seeds;
    if (out->one)
        out->count = 1;
    return true;
}
