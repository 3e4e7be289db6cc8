#include "node/service.h"

#include <string.h>
#include <strings.h>

static bool has_port(const struct node_config_service *s, uint16_t port)
{
    for (size_t i = 0; i < s->ports_count; i++)
        if (s->ports[i] == port)
            return true;
    return false;
}

/* how well the service's name fits: 0 not at all, else more for longer ones, most for the exact one */
static size_t fit(const struct node_config_service *s, const char *name)
{
    size_t len = strlen(name);

    if (s->name[0] != '*')
        return strcasecmp(s->name, name) == 0 ? SIZE_MAX : 0;
    const char *suffix = s->name + 1; /* with its dot */
    size_t suffix_len = strlen(suffix);

    return len > suffix_len && name[0] != '.' && strcasecmp(name + len - suffix_len, suffix) == 0 ? suffix_len : 0;
}

int service_find(const struct node_config *config, const char *name, uint16_t port)
{
    size_t best_fit = 0;
    int best = -1;

    for (size_t i = 0; i < config->services_count; i++) {
        const struct node_config_service *s = &config->services[i];
        size_t this_fit = has_port(s, port) ? fit(s, name) : 0;

        if (this_fit > best_fit) {
            best_fit = this_fit;
            best = (int)i;
        }
    }
    return best >= 0 && config->services[best].funnel ? best : -1;
}
