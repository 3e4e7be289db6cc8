/* config_hint.h - what libyaml's complaints mean to an operator.
 *
 * The values such a file holds most often are those YAML refuses without quotes: [::]:443 begins a list,
 * *.example.com an alias. The parser's own words ("did not find expected node content") help nobody there. */
#ifndef CONFIG_HINT_H
#define CONFIG_HINT_H

#include <stddef.h>

struct config_hint {
    char text[128];  /* what to do about it; "" when there is nothing to add */
    unsigned column; /* where the cause stands on that line, from 1; 0: where the parser said */
};

/* config_hint_find - look at the line the parser stopped on. `problem` is the parser's message. */
void config_hint_find(struct config_hint *hint, const char *text, size_t len, unsigned line, unsigned column,
                      const char *problem);

#endif
