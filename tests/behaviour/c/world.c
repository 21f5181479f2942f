/* Cases: directories, stores, variables, contexts, bytes and texts of the step language. */
#define _POSIX_C_SOURCE 200809L
#define _XOPEN_SOURCE 700
#include "world.h"

#include <ftw.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int fail(world *w, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(w->fault, sizeof w->fault, format, arguments);
  va_end(arguments);
  return 0;
}

void *keep(world *w, size_t len) {
  if (w->kept_count == w->kept_room) {
    w->kept_room = w->kept_room ? w->kept_room * 2 : 64;
    w->kept = realloc(w->kept, w->kept_room * sizeof *w->kept);
    if (w->kept == NULL) abort();
  }
  void *memory = calloc(len ? len : 1, 1);
  if (memory == NULL) abort();
  return w->kept[w->kept_count++] = memory;
}

rk_bytes copy(world *w, rk_bytes bytes) {
  char *memory = keep(w, bytes.len);
  if (bytes.len) memcpy(memory, bytes.data, bytes.len);
  return rk_buf(memory, bytes.len);
}

void world_begin(world *w) {
  memset(w, 0, sizeof *w);
  const char *base = getenv("TMPDIR");
  snprintf(w->dir, sizeof w->dir, "%s/ringkeep-c-XXXXXX", base ? base : "/tmp");
  if (mkdtemp(w->dir) == NULL) { perror(w->dir); exit(1); }
  char pid[32];
  snprintf(pid, sizeof pid, "%ld", (long)getpid());
  w->streams = json_object();
  w->variables = json_pack("{s:s, s:s}", "dir", w->dir, "pid", pid);
}

static int remove_one(const char *path, const struct stat *about, int kind, struct FTW *walk) {
  (void)about;
  (void)kind;
  (void)walk;
  return remove(path);
}

void world_end(world *w) {
  /* Clients before nodes: the last ones first. */
  for (int i = STORES_MAX - 1; i >= 0; i--) rk_store_free(w->stores[i].store);
  rk_cluster_free(w->cluster);
  nftw(w->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
  for (size_t i = 0; i < w->kept_count; i++) free(w->kept[i]);
  free(w->kept);
  json_decref(w->variables);
  json_decref(w->streams);
}

static int hex(world *w, const char *text, rk_bytes *out) {
  size_t len = strlen(text) / 2;
  unsigned char *bytes = keep(w, len);
  for (size_t i = 0; i < len; i++) {
    unsigned value;
    if (sscanf(text + 2 * i, "%2x", &value) != 1) return 0;
    bytes[i] = (unsigned char)value;
  }
  *out = rk_buf(bytes, len);
  return strlen(text) % 2 == 0;
}

rk_bytes bytes_of(world *w, json_t *json, int *good) {
  rk_bytes bytes = { NULL, 0 };
  *good = 1;
  if (json_is_string(json)) return rk_buf(json_string_value(json), json_string_length(json));
  if (json_is_object(json) && json_is_string(json_object_get(json, "hex"))) {
    *good = hex(w, json_string_value(json_object_get(json, "hex")), &bytes);
    return bytes;
  }
  json_t *repeat = json_object_get(json, "repeat"), *count = json_object_get(json, "count");
  if (json_is_string(repeat) && json_is_integer(count)) {
    size_t one = json_string_length(repeat), times = (size_t)json_integer_value(count);
    char *memory = keep(w, one * times);
    for (size_t i = 0; i < times; i++) memcpy(memory + i * one, json_string_value(repeat), one);
    return rk_buf(memory, one * times);
  }
  *good = fail(w, "these are no bytes");
  return bytes;
}

const char *text_of(world *w, json_t *json) {
  const char *from = json_string_value(json);
  char *text = keep(w, TEXT_MAX), *to = text;
  while (from != NULL && *from && to < text + TEXT_MAX - 512) {
    const char *end = strncmp(from, "${", 2) == 0 ? strchr(from, '}') : NULL;
    if (end == NULL) { *to++ = *from++; continue; }
    char name[64] = "";
    snprintf(name, sizeof name, "%.*s", (int)(end - from - 2), from + 2);
    const char *value = json_string_value(json_object_get(w->variables, name));
    to += snprintf(to, 512, "%s", value ? value : "");
    from = end + 1;
  }
  return text;
}

named_store *store_named(world *w, const char *name, int create) {
  for (int i = 0; i < STORES_MAX; i++) {
    if (w->stores[i].store != NULL && strcmp(w->stores[i].name, name) == 0) return &w->stores[i];
  }
  for (int i = 0; create && i < STORES_MAX; i++) {
    if (w->stores[i].store == NULL) {
      snprintf(w->stores[i].name, sizeof w->stores[i].name, "%s", name);
      return &w->stores[i];
    }
  }
  fail(w, "no store %s", name);
  return NULL;
}

saved_context *context_named(world *w, const char *name, int create) {
  saved_context *free_place = NULL;
  for (int i = 0; i < SAVED_MAX; i++) {
    if (strcmp(w->contexts[i].name, name) == 0) return &w->contexts[i];
    if (w->contexts[i].name[0] == 0 && free_place == NULL) free_place = &w->contexts[i];
  }
  if (create && free_place != NULL) {
    snprintf(free_place->name, sizeof free_place->name, "%s", name);
    return free_place;
  }
  fail(w, "no context %s", name);
  return NULL;
}

static char *encode(char *to, const char *text) {
  for (; *text; text++) {
    unsigned char c = (unsigned char)*text;
    int plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || strchr("-._~/:,", c);
    to += plain ? sprintf(to, "%c", c) : sprintf(to, "%%%02X", c);
  }
  return to;
}

static char *value_of(world *w, char *to, json_t *value) {
  size_t index;
  json_t *one;
  if (json_is_boolean(value)) return to + sprintf(to, "%d", json_is_true(value));
  if (json_is_integer(value)) return to + sprintf(to, "%lld", (long long)json_integer_value(value));
  if (json_is_real(value)) return to + sprintf(to, "%.17g", json_real_value(value));
  if (json_is_string(value)) return encode(to, text_of(w, value));
  json_array_foreach(value, index, one) {
    if (index) *to++ = ',';
    to = value_of(w, to, one);
  }
  return to;
}

const char *pairs_of(world *w, json_t *settings) {
  char *pairs = keep(w, 4 * TEXT_MAX), *to = pairs;
  const char *name;
  json_t *value;
  json_object_foreach(settings, name, value) {
    if (to != pairs) *to++ = '&';
    to = encode(to, name);
    *to++ = '=';
    to = value_of(w, to, value);
  }
  *to = 0;
  return pairs;
}

static int open_ready(world *w, const char *name, const char *path, const char *pairs) {
  rk_error error = RK_ERROR_INIT;
  named_store *place = store_named(w, name, 1);
  if (place == NULL) return 0;
  if (rk_open(path, pairs, &place->store, &error) != RK_OK) return fail(w, "setup: %s", error.message);
  if (rk_ready(place->store, 10000, &error) != RK_OK) return fail(w, "setup: %s", error.message);
  return 1;
}

int take_nodes(world *w) {
  rk_error error = RK_ERROR_INIT;
  for (size_t i = 0; i < w->nodes; i++) {
    char name[32];
    rk_store *node = NULL;
    snprintf(name, sizeof name, "node%zu", i);
    if (rk_cluster_node(w->cluster, i, &node, &error) != RK_OK) return fail(w, "%s: %s", name, error.message);
    named_store *place = store_named(w, name, 1);
    if (place == NULL) return 0;
    rk_store_free(place->store);
    place->store = node;
  }
  return 1;
}

static int setup_cluster(world *w, json_t *setup) {
  json_int_t size = json_object_get(setup, "size") ? json_integer_value(json_object_get(setup, "size")) : 3;
  json_int_t n = json_object_get(setup, "n") ? json_integer_value(json_object_get(setup, "n")) : 3;
  rk_error error = RK_ERROR_INIT;
  w->nodes = (size_t)size;
  if (rk_cluster_start(w->nodes, (uint32_t)n, NULL, &w->cluster, &error) != RK_OK) return fail(w, "setup: %s", error.message);
  if (!take_nodes(w)) return 0;
  named_store *client = store_named(w, "main", 1);
  if (client == NULL) return 0;
  if (rk_cluster_client(w->cluster, &client->store, &error) != RK_OK) return fail(w, "setup: %s", error.message);
  return 1;
}

int setup(world *w, json_t *setup) {
  const char *kind = json_string_value(json_object_get(setup, "store"));
  const char *pairs = pairs_of(w, json_object_get(setup, "settings"));
  char path[TEXT_MAX + 16];
  size_t index;
  json_t *bucket;
  if (kind == NULL) return fail(w, "setup without a store");
  if (strcmp(kind, "memory") == 0) {
    if (!open_ready(w, "main", NULL, pairs)) return 0;
  } else if (strcmp(kind, "durable") == 0) {
    snprintf(path, sizeof path, "%s/main", w->dir);
    if (!open_ready(w, "main", path, pairs)) return 0;
  } else if (strcmp(kind, "cluster") == 0) {
    if (!setup_cluster(w, setup)) return 0;
  } else if (strcmp(kind, "none") != 0) {
    return fail(w, "setup with the unknown store %s", kind);
  }
  json_array_foreach(json_object_get(setup, "buckets"), index, bucket) {
    rk_error error = RK_ERROR_INIT;
    char *rules = json_dumps(bucket, 0);
    rk_status status = rk_admin(store_named(w, "main", 0)->store, "create_bucket", rules, NULL, &error);
    free(rules);
    if (status != RK_OK) return fail(w, "setup: %s", error.message);
  }
  return 1;
}
