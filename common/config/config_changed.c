/* config_changed.c - which values of a reloaded file will not be taken up. */
#include "common/config/config_path.h"
#include "common/config/config_walk.h"

struct walk {
    struct config_path path;
    void (*fn)(const char *path, void *ctx);
    void *ctx;
    size_t found;
};

static void compare(struct walk *w, const struct config_schema *schema, const void *before, const void *after)
{
    for (size_t i = 0; i < schema->count; i++) {
        const struct config_field *f = &schema->fields[i];
        size_t from = config_path_down(&w->path, f->name), count_before, count_after;
        const char *a = config_items(f, before, &count_before), *b = config_items(f, after, &count_after);

        if (f->flags & CONFIG_RESTART) {
            bool same = count_before == count_after;

            for (size_t n = 0; n < count_before && same; n++)
                same = config_value_equal(f, a + n * f->size, b + n * f->size);
            if (!same) {
                w->found++;
                w->fn(w->path.text, w->ctx);
            }
        } else if (f->type == CONFIG_STRUCT && !f->list) {
            compare(w, f->sub, a, b);
        }
        config_path_up(&w->path, from);
    }
}

size_t config_changed(const struct config_schema *schema, const void *before, const void *after,
                      void (*fn)(const char *path, void *ctx), void *ctx)
{
    struct walk w = {.fn = fn, .ctx = ctx};

    config_path_init(&w.path);
    compare(&w, schema, before, after);
    return w.found;
}
