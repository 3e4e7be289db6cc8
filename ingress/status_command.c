#include "ingress/status_command.h"

#include <stdio.h>

#include "ingress/admin_command.h"

static const char help[] =
    "usage: funnel-ingress status [--json] [-c FILE]\n"
    "\n"
    "Says how the running ingress and its feed are: does the feed speak, how old is the map of nodes, what is wrong with\n"
    "it, how many nodes are connected. It is asked through its admin.socket.\n"
    "\n"
    "  --json    the same as one JSON object\n"
    "\n"
    "Exit status: 0 printed, 1 the ingress can't be asked, 2 usage, 78 the configuration is wrong.\n";

static long long number(const json_t *object, const char *key)
{
    return (long long)json_integer_value(json_object_get(object, key));
}

static const char *text(const json_t *object, const char *key)
{
    const char *value = json_string_value(json_object_get(object, key));

    return value ? value : "";
}

static void line_if(const char *title, const char *value)
{
    if (*value)
        printf("%-12s%s\n", title, value);
}

static void print_tailnet(const json_t *tailnet)
{
    size_t i;
    const json_t *one;

    if (!tailnet)
        return;
    printf("%-12shome region %lld (%.1f ms), %lld connected\n", "relays", number(tailnet, "home"),
           json_number_value(json_object_get(tailnet, "home_latency_s")) * 1000, number(tailnet, "relays"));
    printf("%-12s%lld in the tailnet, %lld talked to, %lld directly\n", "paths", number(tailnet, "peers"),
           number(tailnet, "talked_to"), number(tailnet, "direct"));
    json_array_foreach(json_object_get(tailnet, "paths"), i, one)
    {
        printf("%-12s%s  %s\n", "", text(one, "key"), text(one, "way"));
    }
}

static void print(const json_t *answer, bool json)
{
    const json_t *feed = json_object_get(answer, "feed"), *retry = json_object_get(feed, "retry_in_s"),
                 *kept = json_object_get(feed, "kept_age_s"), *age = json_object_get(feed, "age_s");

    if (json) {
        json_dumpf(answer, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(6));
        putchar('\n');
        return;
    }
    printf("%-12s%s, version %s, generation %lld\n", "ingress",
           json_is_true(json_object_get(answer, "serving")) ? "serving" : "NOT SERVING: the feed is too old",
           text(answer, "version"), number(answer, "generation"));
    printf("%-12s%s (%s), ", "feed", text(feed, "state"), text(feed, "type"));
    if (json_is_true(json_object_get(feed, "heard")))
        printf("last heard %.0f s ago", json_number_value(age));
    else if (json_is_number(age))
        printf("not heard yet: its map is the one on disk, %.0f s old", json_number_value(age));
    else
        printf("not heard yet");
    if (number(feed, "revision"))
        printf(", revision %lld", number(feed, "revision"));
    printf("\n%-12s%s, %s", "source", text(feed, "where"), text(feed, "source"));
    if (json_is_number(retry))
        printf(", next try in %.0f s", json_number_value(retry));
    putchar('\n');
    line_if("error", text(feed, "error"));
    if (json_is_number(kept))
        printf("%-12swritten %.0f s ago\n", "map on disk", json_number_value(kept));
    printf("%-12s%lld, %lld connected, %lld left out, %lld streams\n", "nodes", number(feed, "nodes"),
           number(answer, "nodes_connected"), number(feed, "left_out"), number(answer, "streams"));
    print_tailnet(json_object_get(answer, "tailnet"));
    printf("%-12s%lld snapshots (%lld refused, %lld broken off), %lld deltas, %lld bad rows, %lld conflicts\n", "so far",
           number(feed, "snapshots"), number(feed, "snapshots_refused"), number(feed, "snapshots_aborted"),
           number(feed, "deltas"), number(feed, "bad_rows"), number(feed, "conflicts"));
    line_if("bad row", text(feed, "last_bad_row"));
    line_if("conflict", text(feed, "last_conflict"));
    line_if("refused", text(feed, "last_refusal"));
}

int status_command(int argc, char **argv, const char *file)
{
    static const struct admin_command command = {"status", help, true, print};

    return admin_command(&command, argc, argv, file);
}
