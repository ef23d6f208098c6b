/* children.h - the processes that a server has started: espeak-ng's helper. For tests. */
#ifndef TESTS_SERVER_CHILDREN_H
#define TESTS_SERVER_CHILDREN_H
#include <dirent.h>

#include "server.h"

/* Sends them a signal (0: none); how many there are, 0 too on a kernel without the list of children. */
static inline int signal_children(const server *s, int number)
{
    char path[64];
    int n = 0;
    snprintf(path, sizeof path, "/proc/%d/task", (int)s->pid);
    DIR *tasks = opendir(path);
    for (struct dirent *e = tasks ? readdir(tasks) : NULL; e; e = readdir(tasks)) {
        char file[400];
        int child;
        snprintf(file, sizeof file, "/proc/%d/task/%s/children", (int)s->pid, e->d_name);
        FILE *f = fopen(file, "re");
        while (f && fscanf(f, "%d", &child) == 1) n += kill(child, number) == 0;
        if (f) fclose(f);
    }
    if (tasks) closedir(tasks);
    return n;
}
#endif
