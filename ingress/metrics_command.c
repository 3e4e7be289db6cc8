#include "ingress/metrics_command.h"

#include <stdio.h>

#include "ingress/admin_command.h"

static const char help[] =
    "usage: funnel-ingress metrics [-c FILE]\n"
    "\n"
    "Prints the counters of the running ingress in Prometheus text format; it is asked through its admin.socket.\n"
    "For a scraper, let node_exporter's textfile collector read them:\n"
    "  funnel-ingress metrics -c FILE > /var/lib/node_exporter/funnel.prom.tmp &&\n"
    "      mv /var/lib/node_exporter/funnel.prom.tmp /var/lib/node_exporter/funnel.prom\n"
    "\n"
    "Exit status: 0 printed, 1 the ingress can't be asked, 2 usage, 78 the configuration is wrong.\n";

static void print(const json_t *answer, bool json)
{
    (void)json;
    fputs(json_string_value(answer), stdout);
}

int metrics_command(int argc, char **argv, const char *file)
{
    static const struct admin_command command = {"metrics", help, false, print};

    return admin_command(&command, argc, argv, file);
}
