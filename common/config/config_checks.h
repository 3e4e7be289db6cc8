/* config_checks.h - checks that both programs' files need. */
#ifndef CONFIG_CHECKS_H
#define CONFIG_CHECKS_H

#include "common/base/addr.h"
#include "common/config/config.h"

/* struct config_once - a value that may appear once, and where it does. Both texts from config_format or the config. */
struct config_once {
    const char *text;
    const char *path; /* for config_fault */
};

/* config_check_once - complain at each value that has appeared before. Sorts `values`. */
void config_check_once(struct config_check *at, struct config_once *values, size_t count);

/* config_check_own_addresses - own addresses inside the tunnel: single hosts, none twice. path names the list. */
void config_check_own_addresses(struct config_check *at, const char *path, const struct addr *addresses, size_t count);

/* config_check_per_family - UDP sockets: at most one address of IPv4 and one of IPv6. */
void config_check_per_family(struct config_check *at, const char *path, const struct addrport *listen, size_t count);

/* config_check_label - a name we give things: letters, digits, '-', '_' and '.'; it goes into logs and metrics. */
void config_check_label(struct config_check *at, const char *path, const char *label);

#endif
