/* Stores files in a ring: store URI < "path\n..." ; the key of a file is its path, the value its bytes.
   Prints "stored N BYTES" as it goes, "skipped REASON PATH" for what it leaves out, and "done FILES BYTES RETRIES" last.
   A write that failed is tried again: the same value under the same key, so a second store does no harm. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "ringkeep.h"

#define VALUE_BYTES_MAX ((size_t)8 << 20)
#define TRIES_MAX 50

static unsigned char *read_file(const char *path, size_t *length, const char **reason) {
    struct stat info;
    *reason = "unreadable";
    if (stat(path, &info) != 0 || !S_ISREG(info.st_mode)) return NULL;
    if ((size_t)info.st_size > VALUE_BYTES_MAX) {
        *reason = "over-8-MiB";
        return NULL;
    }
    FILE *file = fopen(path, "rb");
    if (file == NULL) return NULL;
    unsigned char *bytes = malloc((size_t)info.st_size + 1);
    *length = bytes == NULL ? 0 : fread(bytes, 1, (size_t)info.st_size, file);
    fclose(file);
    return bytes;
}

static int put(rk_bucket *bucket, const char *path, const unsigned char *bytes, size_t length, long *retries) {
    rk_error error = RK_ERROR_INIT;
    for (int attempt = 0; attempt < TRIES_MAX; attempt++) {
        rk_status status = rk_put(bucket, rk_buf(path, strlen(path)), rk_buf(bytes, length), NULL, NULL, &error);
        if (status == RK_OK) return 0;
        if (!error.retryable) break;
        (*retries)++;
        struct timespec pause = { 0, 50 * 1000 * 1000 };
        nanosleep(&pause, NULL);
    }
    fprintf(stderr, "%s: %s: %s\n", path, rk_status_name(error.code), error.message);
    return -1;
}

int main(int argc, char **argv) {
    rk_store *store = NULL;
    rk_bucket *bucket = NULL;
    rk_error error = RK_ERROR_INIT;
    if (argc != 2) {
        fprintf(stderr, "usage: store URI < paths\n");
        return 2;
    }
    if (rk_connect(argv[1], &store, &error) != RK_OK || rk_bucket_open(store, NULL, &bucket, &error) != RK_OK) {
        fprintf(stderr, "%s: %s\n", argv[1], error.message);
        return 1;
    }
    long files = 0, retries = 0;
    unsigned long long total = 0;
    int failed = 0;
    char path[4096];
    while (!failed && fgets(path, sizeof path, stdin) != NULL) {
        size_t length = 0;
        const char *reason = NULL;
        path[strcspn(path, "\n")] = '\0';
        unsigned char *bytes = read_file(path, &length, &reason);
        if (bytes == NULL) {
            printf("skipped %s %s\n", reason, path);
            fflush(stdout);
            continue;
        }
        failed = put(bucket, path, bytes, length, &retries) != 0;
        free(bytes);
        files++;
        total += length;
        if (files % 16 == 0) {
            printf("stored %ld %llu\n", files, total);
            fflush(stdout);
        }
    }
    if (!failed) printf("done %ld %llu %ld\n", files, total, retries);
    rk_bucket_free(bucket);
    rk_store_free(store);
    return failed ? 1 : 0;
}
