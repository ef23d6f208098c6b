/* replay.c - runs a fuzz target over files, without libFuzzer: the seeds, and every input that once crashed.
 *     replay_TARGET FOLDER...      a folder that does not exist holds nothing */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static int replay(const char *folder, const char *name)
{
    koe_buf file = { 0 };
    koe_error err = { 0 };
    char *path = koe_path_join(folder, name);
    int rc = !path || koe_file_read(&file, path, 1 << 26, &err) != KOE_OK;
    if (rc) fprintf(stderr, "%s/%s: %s\n", folder, name, err.message);
    uint8_t *exact = rc ? NULL : malloc(file.n ? file.n : 1); /* so that the sanitizer sees a read past the end */
    if (exact) {
        memcpy(exact, file.data, file.n);
        printf("%s\n", path);
        fflush(stdout);
        LLVMFuzzerTestOneInput(exact, file.n);
    }
    free(exact);
    free(path);
    koe_buf_free(&file);
    return rc;
}

int main(int argc, char **argv)
{
    int rc = 0;
    for (int i = 1; i < argc; i++) {
        DIR *d = opendir(argv[i]);
        for (struct dirent *e; d && (e = readdir(d));)
            if (e->d_name[0] != '.') rc |= replay(argv[i], e->d_name);
        if (d) closedir(d);
    }
    return rc;
}
