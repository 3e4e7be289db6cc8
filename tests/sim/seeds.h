/* seeds.h - the command line of a simulation in which a number makes a world:
 *
 *      sim_x                     its usual number of seeds, from 1 on
 *      sim_x --seeds N           so many
 *      sim_x --seed S            this one again, telling all it can
 *      sim_x --seed S --seeds N  N from S on */
#ifndef TESTS_SIM_SEEDS_H
#define TESTS_SIM_SEEDS_H

#include <stdbool.h>
#include <stdint.h>

struct seeds {
    uint64_t first, count;
    bool one; /* asked for by its number: somebody wants to see what happens */
};

/* seeds_read - false: a wrong command line, and that was said. */
bool seeds_read(struct seeds *out, uint64_t count_default, int argc, char **argv);

#endif
