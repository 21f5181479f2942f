/* A member in C: member DIRECTORY LISTEN SEEDS, the seeds with commas between them, or `-` to found the ring.
   Prints `ready ID`, answers each line of its input (`status`, `get KEY`), and ends in order when the input ends. */
#include <stdio.h>
#include <string.h>

#include "ringkeep.h"

/* What a command of administration answers, or `null`. */
static void print_answer(rk_store *store, const char *command) {
    rk_entry *entry = NULL;
    if (rk_admin(store, command, NULL, &entry, NULL) != RK_OK) {
        printf("null");
        return;
    }
    rk_bytes json = rk_entry_value(entry, 0);
    printf("%.*s", (int)json.len, (const char *)json.data);
    rk_entry_free(entry);
}

static void print_status(rk_store *store) {
    printf("{\"status\":");
    print_answer(store, "status");
    printf(",\"metrics\":");
    print_answer(store, "metrics");
    printf("}\n");
}

static void print_value(rk_bucket *bucket, const char *key) {
    rk_opts options = RK_OPTS_INIT;
    rk_error error = RK_ERROR_INIT;
    rk_entry *entry = NULL;
    options.r = 1;
    rk_status status = rk_get(bucket, rk_buf(key, strlen(key)), &options, &entry, &error);
    if (status == RK_OK) {
        rk_bytes value = rk_entry_value(entry, 0);
        printf("%.*s\n", (int)value.len, (const char *)value.data);
    } else {
        printf("%s%s\n", status == RK_NOT_FOUND ? "-" : "error ", status == RK_NOT_FOUND ? "" : error.message);
    }
    rk_entry_free(entry);
}

int main(int argc, char **argv) {
    char options[512], line[4200];
    rk_store *store = NULL;
    rk_bucket *bucket = NULL;
    rk_error error = RK_ERROR_INIT;
    if (argc != 4) {
        fprintf(stderr, "usage: member DIRECTORY LISTEN SEEDS\n");
        return 2;
    }
    int founds = strcmp(argv[3], "-") == 0;
    snprintf(options, sizeof options, "insecure=1&listen=%s&%s%s", argv[2], founds ? "create=1" : "seeds=",
             founds ? "" : argv[3]);
    if (rk_open(argv[1], options, &store, &error) != RK_OK || rk_ready(store, -1, &error) != RK_OK ||
        rk_bucket_open(store, NULL, &bucket, &error) != RK_OK) {
        fprintf(stderr, "%s: %s\n", argv[1], error.message);
        return 1;
    }
    printf("ready %s\n", rk_node_id(store));
    fflush(stdout);
    while (fgets(line, sizeof line, stdin) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        if (strncmp(line, "get ", 4) == 0) {
            print_value(bucket, line + 4);
        } else {
            print_status(store);
        }
        fflush(stdout);
    }
    rk_bucket_free(bucket);
    rk_status status = rk_close(store, -1, &error);
    rk_store_free(store);
    return status == RK_OK ? 0 : 1;
}
