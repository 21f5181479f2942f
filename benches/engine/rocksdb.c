// RocksDB under the engine benchmark: the same workload as workload.rs, through Debian's C API, driven by lines on
// standard input. Compiled by the benchmark itself, so that no package of ours depends on it.
#include <math.h>
#include <pthread.h>
#include <rocksdb/c.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define KEY_BYTES 21
#define VALUE_BYTES 100

static rocksdb_t *db;
static rocksdb_readoptions_t *reading;
static rocksdb_writeoptions_t *writing, *syncing;
static uint64_t records;

static void check(char *error) {
    if (error) {
        fprintf(stderr, "rocksdb: %s\n", error);
        exit(1);
    }
}

static uint64_t now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static uint64_t mix(uint64_t z) {
    z += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static void make_key(char *key, uint64_t number) {
    static const char digits[] = "0123456789abcdef";
    uint64_t mixed = mix(number);
    key[0] = 1;
    memcpy(key + 1, "user", 4);
    for (int i = 0; i < 16; i++) key[5 + i] = digits[(mixed >> (60 - 4 * i)) & 15];
}

static void make_value(char *value, uint64_t number) {
    for (int i = 0; i < VALUE_BYTES; i++) value[i] = (char)(mix(number + (uint64_t)(i / 8)) >> (8 * (i % 8)));
}

// The zipfian generator of YCSB with theta 0.99, scattered over the keys.
static double zeta_n, zipf_eta, zipf_alpha;
static uint64_t zipf_n;

static void zipf_prepare(uint64_t n) {
    if (zipf_n == n) return;
    double zeta = 0;
    for (uint64_t i = 1; i <= n; i++) zeta += 1.0 / pow((double)i, 0.99);
    zipf_n = n;
    zeta_n = zeta;
    zipf_alpha = 1.0 / (1.0 - 0.99);
    zipf_eta = (1 - pow(2.0 / (double)n, 1 - 0.99)) / (1 - (1 + pow(0.5, 0.99)) / zeta);
}

static uint64_t pick(int zipf, uint64_t random) {
    if (!zipf) return random % records;
    double u = (double)(random >> 11) / 9007199254740992.0, uz = u * zeta_n;
    uint64_t rank = uz < 1 ? 0 : uz < 1 + pow(0.5, 0.99) ? 1
        : (uint64_t)((double)zipf_n * pow(zipf_eta * u - zipf_eta + 1, zipf_alpha));
    return mix(rank) % records;
}

static int by_time(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static void report(uint32_t *times, uint64_t count, uint64_t elapsed) {
    qsort(times, count, sizeof *times, by_time);
    printf("%u %u %.1f\n", times[count / 2], times[count * 99 / 100], (double)count * 1e9 / (double)elapsed);
}

static void put(rocksdb_writeoptions_t *options, uint64_t number, const char *value) {
    char key[KEY_BYTES], *error = NULL;
    make_key(key, number);
    rocksdb_put(db, options, key, KEY_BYTES, value, VALUE_BYTES, &error);
    check(error);
}

static void load(uint64_t count) {
    char value[VALUE_BYTES];
    uint64_t start = now();
    for (uint64_t i = 0; i < count; i++) {
        make_value(value, i);
        put(writing, i, value);
    }
    records = count;
    printf("0 0 %.1f\n", (double)count * 1e9 / (double)(now() - start));
}

static void read_modify_write(int zipf, uint64_t count, uint64_t seed) {
    uint32_t *times = malloc(count * sizeof *times);
    if (zipf) zipf_prepare(records);
    uint64_t start = now(), before = start;
    for (uint64_t i = 0; i < count; i++) {
        char key[KEY_BYTES], changed[VALUE_BYTES], *error = NULL;
        size_t length;
        make_key(key, pick(zipf, mix(seed + i)));
        char *value = rocksdb_get(db, reading, key, KEY_BYTES, &length, &error);
        check(error);
        if (!value || length != VALUE_BYTES) exit(2);
        memcpy(changed, value, VALUE_BYTES);
        memcpy(changed, &i, 8);
        rocksdb_free(value);
        rocksdb_put(db, writing, key, KEY_BYTES, changed, VALUE_BYTES, &error);
        check(error);
        uint64_t after = now();
        times[i] = (uint32_t)(after - before);
        before = after;
    }
    report(times, count, before - start);
    free(times);
}

static void read_keys(int miss, uint64_t count, uint64_t seed) {
    uint32_t *times = malloc(count * sizeof *times);
    uint64_t start = now(), before = start;
    for (uint64_t i = 0; i < count; i++) {
        char key[KEY_BYTES], *error = NULL;
        size_t length;
        make_key(key, pick(0, mix(seed + i)) + (miss ? records : 0));
        char *value = rocksdb_get(db, reading, key, KEY_BYTES, &length, &error);
        check(error);
        if (!value != !!miss) exit(3);
        rocksdb_free(value);
        uint64_t after = now();
        times[i] = (uint32_t)(after - before);
        before = after;
    }
    report(times, count, before - start);
    free(times);
}

static void scan(uint64_t count, uint64_t seed, int items) {
    uint32_t *times = malloc(count * sizeof *times);
    uint64_t sum = 0, start = now(), before = start;
    for (uint64_t i = 0; i < count; i++) {
        char key[KEY_BYTES];
        size_t length;
        make_key(key, pick(0, mix(seed + i)));
        rocksdb_iterator_t *iterator = rocksdb_create_iterator(db, reading);
        rocksdb_iter_seek(iterator, key, KEY_BYTES);
        for (int n = 0; n < items && rocksdb_iter_valid(iterator); n++) {
            sum += (uint64_t)rocksdb_iter_key(iterator, &length)[5] + (uint64_t)rocksdb_iter_value(iterator, &length)[0];
            rocksdb_iter_next(iterator);
        }
        rocksdb_iter_destroy(iterator);
        uint64_t after = now();
        times[i] = (uint32_t)(after - before);
        before = after;
    }
    if (sum == 42) fputc(' ', stderr);
    report(times, count, before - start);
    free(times);
}

struct writer { uint64_t from, count; };

static void *write_synced(void *argument) {
    struct writer *writer = argument;
    char value[VALUE_BYTES];
    for (uint64_t i = 0; i < writer->count; i++) {
        make_value(value, i);
        put(syncing, writer->from + i, value);
    }
    return NULL;
}

static void synced(int writers, uint64_t count) {
    pthread_t threads[256];
    struct writer work[256];
    uint64_t start = now();
    for (int w = 0; w < writers; w++) {
        work[w] = (struct writer){(uint64_t)w * 1000000u, count / (uint64_t)writers};
        pthread_create(&threads[w], NULL, write_synced, &work[w]);
    }
    for (int w = 0; w < writers; w++) pthread_join(threads[w], NULL);
    printf("0 0 %.1f\n", (double)count * 1e9 / (double)(now() - start));
}

static uint64_t property(const char *name) {
    uint64_t value = 0;
    rocksdb_property_int(db, name, &value);
    return value;
}

static void settle(void) {
    while (property("rocksdb.num-running-compactions") + property("rocksdb.num-running-flushes")
               + property("rocksdb.compaction-pending") + property("rocksdb.mem-table-flush-pending") > 0)
        usleep(20000);
}

static void flush(void) {
    char *error = NULL;
    rocksdb_flushoptions_t *options = rocksdb_flushoptions_create();
    rocksdb_flush(db, options, &error);
    check(error);
}

static void open_db(const char *path, uint64_t memory, uint64_t cache) {
    char *error = NULL;
    rocksdb_options_t *options = rocksdb_options_create();
    rocksdb_block_based_table_options_t *tables = rocksdb_block_based_options_create();
    rocksdb_options_set_create_if_missing(options, 1);
    rocksdb_options_set_write_buffer_size(options, memory);
    rocksdb_options_set_compression(options, rocksdb_no_compression);
    rocksdb_block_based_options_set_block_cache(tables, rocksdb_cache_create_lru(cache));
    rocksdb_block_based_options_set_filter_policy(tables, rocksdb_filterpolicy_create_bloom_full(10));
    rocksdb_options_set_block_based_table_factory(options, tables);
    reading = rocksdb_readoptions_create();
    writing = rocksdb_writeoptions_create();
    syncing = rocksdb_writeoptions_create();
    rocksdb_writeoptions_set_sync(syncing, 1);
    uint64_t start = now();
    db = rocksdb_open(options, path, &error);
    check(error);
    printf("0 0 %.1f\n", (double)(now() - start));
}

int main(void) {
    char line[4096], word[32], path[3072];
    unsigned long long a, b, c;
    setvbuf(stdout, NULL, _IOLBF, 0);
    while (fgets(line, sizeof line, stdin)) {
        if (sscanf(line, "open %llu %llu %3071[^\n]", &a, &b, path) == 3) open_db(path, a, b);
        else if (sscanf(line, "load %llu", &a) == 1) load(a);
        else if (sscanf(line, "rmw %31s %llu %llu", word, &a, &b) == 3) read_modify_write(word[0] == 'z', a, b);
        else if (sscanf(line, "read %llu %llu", &a, &b) == 2) read_keys(0, a, b);
        else if (sscanf(line, "miss %llu %llu", &a, &b) == 2) read_keys(1, a, b);
        else if (sscanf(line, "scan %llu %llu %llu", &a, &b, &c) == 3) scan(a, b, (int)c);
        else if (sscanf(line, "sync %llu %llu", &a, &b) == 2) synced((int)a, b);
        else if (!strncmp(line, "settle", 6)) { settle(); puts("0 0 0"); }
        else if (!strncmp(line, "flush", 5)) { flush(); settle(); puts("0 0 0"); }
        else return 4;
    }
    return 0;
}
