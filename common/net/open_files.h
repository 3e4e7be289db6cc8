/* open_files.h - the limit of open files: every connection is a descriptor, and the soft limit's usual 1,024 is for
 * programs that use select(2). SHELL. */
#ifndef NET_OPEN_FILES_H
#define NET_OPEN_FILES_H

#include <stddef.h>

/* open_files_raise - as far as this process may. What goes wrong is logged under `area`. */
void open_files_raise(const char *area);

/* open_files_compare - a warning under `area` when there may be fewer of them than `wanted`, and some for the program.
 * what      the limit that is wanted, as the log is to name it
 * advice    what else can be done than raise the limit of open files: " or ...", or "" */
void open_files_compare(const char *area, size_t wanted, const char *what, const char *advice);

#endif
