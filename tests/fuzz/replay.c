/* replay.c - a plain main() for fuzz targets: runs every file of the named corpus folders once, and every prefix of
 * small ones, so that corpora are regression tests without libFuzzer. Fails when a folder is missing or empty. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define PREFIXES_MAX 2048

static long run_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    struct stat st;

    if (!f || fstat(fileno(f), &st) != 0 || !S_ISREG(st.st_mode)) {
        if (f)
            fclose(f);
        return 0;
    }
    size_t size = (size_t)st.st_size;
    uint8_t *data = malloc(size ? size : 1);

    if (!data || fread(data, 1, size, f) != size) {
        fprintf(stderr, "replay: can't read %s\n", path);
        exit(1);
    }
    fclose(f);
    long runs = 0;

    for (size_t n = size <= PREFIXES_MAX ? 0 : size; n <= size; n++, runs++) {
        uint8_t *exact = malloc(n ? n : 1); /* its own block, so that reading past the end is seen */

        if (!exact)
            exit(1);
        memcpy(exact, data, n);
        LLVMFuzzerTestOneInput(exact, n);
        free(exact);
    }
    free(data);
    return runs;
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        DIR *dir = opendir(argv[i]);
        long files = 0, runs = 0;

        for (struct dirent *e; dir && (e = readdir(dir));) {
            char path[4096];

            snprintf(path, sizeof(path), "%s/%s", argv[i], e->d_name);
            long n = run_file(path);

            files += n > 0;
            runs += n;
        }
        if (dir)
            closedir(dir);
        printf("%s: %ld inputs, %ld runs\n", argv[i], files, runs);
        if (files == 0) {
            fprintf(stderr, "replay: no corpus in %s\n", argv[i]);
            return 1;
        }
    }
    return argc > 1 ? 0 : 1;
}
