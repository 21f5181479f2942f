/* Steps: each operation of the step language as calls of the C API. */
#define _POSIX_C_SOURCE 200809L
#include "world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

static const char *string(json_t *step, const char *name) { return json_string_value(json_object_get(step, name)); }

static rk_status open_bucket(world *w, json_t *step, rk_bucket **bucket, given *g) {
  const char *name = string(step, "store");
  named_store *place = store_named(w, name ? name : "main", 0);
  if (place == NULL) return RK_INTERNAL;
  return g->status = rk_bucket_open(place->store, string(step, "bucket"), bucket, &g->error);
}

static int level(const char *name) {
  static const char *const names[] = { "", "one", "quorum", "all", "local_one", "local_quorum", "each_quorum" };
  for (int i = 1; name != NULL && i < 7; i++) {
    if (strcmp(names[i], name) == 0) return i;
  }
  return -1;
}

static int options_of(world *w, json_t *step, rk_opts *o) {
  const rk_opts none = RK_OPTS_INIT;
  const char *name;
  json_t *value;
  *o = none;
  json_object_foreach(json_object_get(step, "options"), name, value) {
    int64_t number = (int64_t)json_integer_value(value);
    if (strcmp(name, "consistency") == 0) o->consistency = level(json_string_value(value));
    else if (strcmp(name, "r") == 0) o->r = (int32_t)number;
    else if (strcmp(name, "w") == 0) o->w = (int32_t)number;
    else if (strcmp(name, "timeout_ms") == 0) o->timeout_ms = number;
    else if (strcmp(name, "ttl_ms") == 0) o->ttl_ms = number;
    else if (strcmp(name, "sloppy") == 0) o->sloppy = json_is_true(value);
    else if (strcmp(name, "context") == 0 && json_is_string(value)) {
      saved_context *saved = context_named(w, json_string_value(value), 0);
      if (saved == NULL) return 0;
      o->context = saved->bytes;
    } else if (strcmp(name, "context") == 0) {
      int good;
      o->context = bytes_of(w, json_object_get(value, "bytes"), &good);
      if (!good) return 0;
    } else return fail(w, "unknown option %s", name);
  }
  return 1;
}

/* update's function: what it does with the siblings, and what it adds. */
typedef struct { const char *how; rk_bytes add; int has_add; } merging;

static int by_bytes(const void *a, const void *b) {
  const rk_bytes *x = a, *y = b;
  int order = memcmp(x->data, y->data, x->len < y->len ? x->len : y->len);
  return order ? order : (x->len > y->len) - (x->len < y->len);
}

static rk_status merge(void *user, const rk_entry *siblings, rk_bytes *value) {
  merging *m = user;
  size_t count = rk_entry_count(siblings), len = 0;
  if (strcmp(m->how, "delete") == 0) return RK_NOT_FOUND;
  if (strcmp(m->how, "abort") == 0) return RK_CANCELED;
  if (strcmp(m->how, "count") == 0) {
    char *text = rk_alloc(32);
    *value = rk_buf(text, (size_t)snprintf(text, 32, "%zu", count));
    return RK_OK;
  }
  rk_bytes *parts = calloc(count + 1, sizeof *parts);
  for (size_t i = 0; i < count; i++) parts[i] = rk_entry_value(siblings, i);
  if (m->has_add) parts[count++] = m->add;
  for (size_t i = 0; i < count; i++) {
    if (parts[i].data == NULL) parts[i].data = "";
    len += parts[i].len + 1;
  }
  qsort(parts, count, sizeof *parts, by_bytes);
  char *text = rk_alloc(len), *to = text;
  for (size_t i = 0; i < count; i++) {
    if (i) *to++ = ',';
    memcpy(to, parts[i].data, parts[i].len);
    to += parts[i].len;
  }
  free(parts);
  *value = rk_buf(text, (size_t)(to - text));
  return RK_OK;
}

static void see_value(given *g) {
  g->has_value = g->status >= 0;
  g->absent = rk_entry_count(g->entry) == 0;
  g->value = rk_entry_value(g->entry, 0);
}

static int one_key(world *w, json_t *step, const char *op, rk_bucket *b, const rk_opts *o, given *g) {
  int good, value_good = 1;
  rk_bytes key = bytes_of(w, json_object_get(step, "key"), &good), value = { NULL, 0 };
  if (json_object_get(step, "value")) value = bytes_of(w, json_object_get(step, "value"), &value_good);
  if (!good || !value_good) return 0;
  if (strcmp(op, "put") == 0) g->status = rk_put(b, key, value, o, &g->receipt, &g->error);
  else if (strcmp(op, "delete") == 0) g->status = rk_delete(b, key, o, &g->receipt, &g->error);
  else if (strcmp(op, "get") == 0) {
    g->status = rk_get(b, key, o, &g->entry, &g->error);
    see_value(g);
  } else if (strcmp(op, "read") == 0) {
    json_t *expect = json_object_get(step, "expect");
    g->status = rk_read(b, key, o, &g->entry, &g->error);
    /* What the resolver makes of the siblings only a get says. */
    if (g->status == RK_OK && (json_object_get(expect, "value") || json_object_get(expect, "absent"))) {
      rk_entry *shown = NULL;
      rk_get(b, key, o, &shown, NULL);
      g->has_value = 1;
      g->absent = rk_entry_count(shown) == 0;
      g->value = copy(w, rk_entry_value(shown, 0));
      rk_entry_free(shown);
    }
  } else {
    merging m = { string(step, "merge"), { NULL, 0 }, json_object_get(step, "add") != NULL };
    if (m.how == NULL) return fail(w, "update without merge");
    if (m.has_add) m.add = bytes_of(w, json_object_get(step, "add"), &good);
    g->status = rk_update(b, key, merge, &m, o, &g->entry, &g->error);
    see_value(g);
  }
  return 1;
}

static int many(world *w, json_t *step, const char *op, rk_bucket *b, const rk_opts *o, given *g) {
  int fill = strcmp(op, "fill") == 0, get = strcmp(op, "get_many") == 0, good;
  json_t *list = json_object_get(step, get ? "keys" : "items");
  size_t n = fill ? (size_t)json_integer_value(json_object_get(step, "count")) : json_array_size(list);
  rk_bytes *keys = keep(w, n * sizeof *keys), *values = keep(w, n * sizeof *values);
  rk_status *each = keep(w, n * sizeof *each);
  rk_entry **entries = keep(w, n * sizeof *entries);
  for (size_t i = 0; i < n; i++) {
    if (fill) {
      char *name = keep(w, 256);
      int len = snprintf(name, 256, "%s%06zu", string(step, "prefix"), i);
      keys[i] = values[i] = rk_buf(name, (size_t)len);
      continue;
    }
    json_t *one = json_array_get(list, i);
    keys[i] = bytes_of(w, get ? one : json_array_get(one, 0), &good);
    if (good && !get) values[i] = bytes_of(w, json_array_get(one, 1), &good);
    if (!good) return 0;
  }
  g->status = get ? rk_get_many(b, keys, n, o, entries, each, &g->error)
                  : rk_put_many(b, keys, values, n, o, each, &g->error);
  g->items = keep(w, n * sizeof *g->items);
  g->items_count = n;
  for (size_t i = 0; i < n; i++) {
    g->items[i].status = each[i];
    g->items[i].value = copy(w, rk_entry_value(entries[i], 0));
    rk_entry_free(entries[i]);
  }
  return 1;
}

static int ranged(world *w, json_t *step, const char *op, rk_bucket *b, const rk_opts *o, given *g) {
  rk_range range = RK_RANGE_ALL;
  rk_iter *iter = NULL;
  size_t room = 0;
  int good = 1;
  if (json_object_get(step, "prefix")) range.prefix = bytes_of(w, json_object_get(step, "prefix"), &good);
  if (good && json_object_get(step, "start")) range.start = bytes_of(w, json_object_get(step, "start"), &good);
  if (good && json_object_get(step, "end")) range.end = bytes_of(w, json_object_get(step, "end"), &good);
  if (!good) return 0;
  if (json_object_get(step, "limit")) range.limit = json_integer_value(json_object_get(step, "limit"));
  if (strcmp(op, "count") == 0) {
    g->status = rk_count(b, &range, o, &g->count, &g->error);
    return 1;
  }
  g->status = rk_scan(b, &range, o, &iter, &g->error);
  while (g->status >= 0) {
    rk_bytes key;
    const rk_entry *entry;
    g->status = rk_iter_next(iter, &key, &entry, &g->error);
    if (g->status == RK_END || g->status < 0) break;
    if (g->items_count == room) {
      item *grown = keep(w, (room * 2 + 64) * sizeof *grown);
      if (room) memcpy(grown, g->items, room * sizeof *grown);
      g->items = grown;
      room = room * 2 + 64;
    }
    item one = { g->status, copy(w, key), copy(w, rk_entry_value(entry, 0)) };
    g->items[g->items_count++] = one;
  }
  if (g->status == RK_END) g->status = RK_OK;
  rk_iter_free(iter);
  return 1;
}

static int admin(world *w, json_t *step, const char *op, rk_store *store, given *g) {
  const char *command = strcmp(op, "admin") == 0 ? string(step, "command") : op;
  static const char *const rules[] = { "name", "n", "r", "w", "resolver", "ttl_ms", "sloppy" };
  json_t *arguments = NULL;
  char *text = NULL;
  if (strcmp(op, "create_bucket") == 0) {
    arguments = json_object();
    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++) {
      if (json_object_get(step, rules[i])) json_object_set(arguments, rules[i], json_object_get(step, rules[i]));
    }
  } else if (json_object_get(step, "arguments")) {
    arguments = json_incref(json_object_get(step, "arguments"));
  }
  if (arguments) text = json_dumps(arguments, 0);
  g->status = rk_admin(store, command, text, &g->entry, &g->error);
  rk_bytes answer = rk_entry_value(g->entry, 0);
  if (g->status == RK_OK) g->answer = json_loadb(answer.data, answer.len, 0, NULL);
  free(text);
  json_decref(arguments);
  (void)w;
  return 1;
}

static int lives(world *w, json_t *step, const char *op, given *g) {
  named_store *place = store_named(w, string(step, "as"), 1);
  if (place == NULL) return 0;
  json_t *path = json_object_get(step, "path");
  if (strcmp(op, "open") == 0) {
    const char *pairs = pairs_of(w, json_object_get(step, "settings"));
    g->status = rk_open(path ? text_of(w, path) : NULL, pairs, &place->store, &g->error);
  } else {
    g->status = rk_connect(text_of(w, json_object_get(step, "uri")), &place->store, &g->error);
  }
  return 1;
}

static int write_file(world *w, json_t *step) {
  const char *path = text_of(w, json_object_get(step, "path"));
  int good;
  rk_bytes bytes = bytes_of(w, json_object_get(step, "value"), &good);
  char *parent = copy(w, rk_buf(path, strlen(path) + 1)).data == NULL ? NULL : keep(w, strlen(path) + 1);
  strcpy(parent, path);
  for (char *slash = strchr(parent + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
    *slash = 0;
    mkdir(parent, 0777);
    *slash = '/';
  }
  FILE *file = fopen(path, "wb");
  if (!good || file == NULL) return fail(w, "%s cannot be written", path);
  fwrite(bytes.data, 1, bytes.len, file);
  return fclose(file) == 0;
}

static int change_context(world *w, json_t *step, int forge) {
  saved_context *from = context_named(w, string(step, "context"), 0), *to = context_named(w, string(step, "save"), 1);
  if (from == NULL || to == NULL) return 0;
  unsigned char *bytes = keep(w, from->bytes.len);
  memcpy(bytes, from->bytes.data, from->bytes.len);
  if (forge && from->bytes.len > 8) bytes[8] ^= 1;
  to->bytes = rk_buf(bytes, from->bytes.len);
  return 1;
}

/* Steps about the test cluster; -1: the operation is none of them. */
static int clustered(world *w, json_t *step, const char *op, given *g) {
  size_t node = (size_t)json_integer_value(json_object_get(step, "node"));
  if (strcmp(op, "settle") == 0) g->status = rk_cluster_settle(w->cluster, 10000, &g->error);
  else if (strcmp(op, "heal") == 0) g->status = rk_cluster_heal(w->cluster, &g->error);
  else if (strcmp(op, "kill") == 0) g->status = rk_cluster_kill(w->cluster, node, &g->error);
  else if (strcmp(op, "restart") == 0) {
    g->status = rk_cluster_restart(w->cluster, node, &g->error);
    return take_nodes(w);
  } else if (strcmp(op, "partition") == 0) {
    json_t *groups = json_object_get(step, "groups"), *group, *one;
    size_t index, at, count = 0, *nodes = keep(w, 64 * sizeof *nodes), *sizes = keep(w, 64 * sizeof *sizes);
    json_array_foreach(groups, index, group) {
      sizes[index] = json_array_size(group);
      json_array_foreach(group, at, one) nodes[count++] = (size_t)json_integer_value(one);
    }
    g->status = rk_cluster_partition(w->cluster, nodes, sizes, json_array_size(groups), &g->error);
  } else return -1;
  return 1;
}

static int explain(world *w, json_t *step, rk_store *store, given *g) {
  int good;
  rk_bytes key = bytes_of(w, json_object_get(step, "key"), &good);
  const char *bucket = string(step, "bucket");
  if (!good) return 0;
  char *hex = keep(w, 2 * key.len + 1);
  for (size_t i = 0; i < key.len; i++) sprintf(hex + 2 * i, "%02x", ((const unsigned char *)key.data)[i]);
  json_t *made = json_pack("{s:{s:s, s:s}}", "arguments", "key_hex", hex, "bucket", bucket ? bucket : "default");
  good = admin(w, made, "explain", store, g);
  json_decref(made);
  return good;
}

/* Asks for the events after those that a stream has given; 0 when there is none in time. */
static int more_events(world *w, json_t *stream, given *g) {
  named_store *place = store_named(w, string(stream, "store"), 0);
  if (place == NULL) return 0;
  json_decref(g->answer);
  rk_entry_free(g->entry);
  g->answer = NULL;
  g->entry = NULL;
  admin(w, stream, "events", place->store, g);
  if (g->status != RK_OK) return 1;
  json_t *next = json_pack("{s:O, s:O, s:O, s:i}", "after", json_object_get(g->answer, "last"), "source",
                           json_object_get(g->answer, "source"), "since_ms", json_object_get(g->answer, "time_ms"),
                           "timeout_ms", 1000);
  json_object_set_new(stream, "arguments", next);
  json_object_set(stream, "events", json_object_get(g->answer, "events"));
  return 1;
}

static int watch(world *w, json_t *step, given *g) {
  const char *name = string(step, "store");
  json_t *stream = json_pack("{s:s}", "store", name ? name : "main");
  json_object_set_new(w->streams, string(step, "as"), stream);
  return more_events(w, stream, g);
}

static int event(world *w, json_t *step, given *g) {
  json_t *stream = json_object_get(w->streams, string(step, "stream")), *events;
  if (stream == NULL) return fail(w, "no stream %s", string(step, "stream"));
  /* Each try waits at most a second. */
  for (int tries = 0; tries < 10; tries++) {
    while (json_array_size(events = json_object_get(stream, "events")) > 0) {
      json_t *first = json_incref(json_array_get(events, 0));
      const char *kind = string(first, "kind");
      json_array_remove(events, 0);
      if (kind != NULL && strcmp(kind, string(step, "kind")) == 0) {
        json_decref(g->answer);
        g->answer = first;
        return 1;
      }
      json_decref(first);
    }
    if (!more_events(w, stream, g)) return 0;
    if (g->status != RK_OK) return 1;
  }
  return fail(w, "no event %s came", string(step, "kind"));
}

int perform(world *w, json_t *step, given *g) {
  static const char *const keyed[] = { "put", "get", "read", "delete", "update" };
  static const char *const listed[] = { "get_many", "put_many", "fill" };
  const char *op = string(step, "op"), *name = string(step, "store");
  rk_bucket *bucket = NULL;
  rk_opts o;
  if (op == NULL) return fail(w, "a step without op");
  if (json_object_get(step, "codec")) return fail(w, "C has no codecs");
  if (strcmp(op, "open") == 0 || strcmp(op, "connect") == 0) return lives(w, step, op, g);
  if (strcmp(op, "write_file") == 0) return write_file(w, step);
  if (strcmp(op, "forge") == 0 || strcmp(op, "round_trip") == 0) return change_context(w, step, op[0] == 'f');
  int of_cluster = clustered(w, step, op, g);
  if (of_cluster >= 0) return of_cluster;
  if (strcmp(op, "event") == 0) return event(w, step, g);
  named_store *place = store_named(w, name ? name : "main", 0);
  if (place == NULL) return 0;
  if (strcmp(op, "watch") == 0) return watch(w, step, g);
  if (strcmp(op, "explain") == 0) return explain(w, step, place->store, g);
  if (strcmp(op, "address") == 0) {
    json_object_set_new(w->variables, string(step, "save"), json_string(rk_address(place->store)));
    return 1;
  }
  if (strcmp(op, "ready") == 0) { g->status = rk_ready(place->store, -1, &g->error); return 1; }
  if (strcmp(op, "close") == 0) { g->status = rk_close(place->store, -1, &g->error); return 1; }
  if (strcmp(op, "create_bucket") == 0 || strcmp(op, "buckets") == 0 || strcmp(op, "status") == 0 ||
      strcmp(op, "admin") == 0) {
    return admin(w, step, op, place->store, g);
  }
  int kind = strcmp(op, "scan") == 0 || strcmp(op, "count") == 0 ? 3 : 0, good = 1;
  for (size_t i = 0; i < 5; i++) if (strcmp(op, keyed[i]) == 0) kind = 1;
  for (size_t i = 0; i < 3; i++) if (strcmp(op, listed[i]) == 0) kind = 2;
  if (kind == 0) return fail(w, "unknown op %s", op);
  if (!options_of(w, step, &o)) return 0;
  if (open_bucket(w, step, &bucket, g) == RK_OK) {
    if (kind == 1) good = one_key(w, step, op, bucket, &o, g);
    if (kind == 2) good = many(w, step, op, bucket, &o, g);
    if (kind == 3) good = ranged(w, step, op, bucket, &o, g);
  }
  rk_bucket_free(bucket);
  return good;
}

void given_end(given *g) {
  rk_entry_free(g->entry);
  rk_receipt_free(g->receipt);
  json_decref(g->answer);
}

static int save(world *w, json_t *step, const given *g) {
  const char *op = string(step, "op"), *name = string(step, "save");
  if (name == NULL || strcmp(op, "address") == 0 || strcmp(op, "forge") == 0 || strcmp(op, "round_trip") == 0) return 1;
  rk_bytes context = g->receipt ? rk_receipt_context(g->receipt) : rk_entry_context(g->entry);
  saved_context *place = context_named(w, name, 1);
  if (place == NULL) return 0;
  if (context.len == 0) return fail(w, "%s gave no context to save", op);
  place->bytes = copy(w, context);
  return 1;
}

int run_step(world *w, json_t *step) {
  int tries = json_is_true(json_object_get(step, "until")) ? 1000 : 1;
  char why[TEXT_MAX] = "";
  for (int i = 0; i < tries; i++) {
    const struct timespec pause = { 0, 10000000 };
    const rk_error fresh = RK_ERROR_INIT;
    given g;
    memset(&g, 0, sizeof g);
    g.error = fresh;
    int good = perform(w, step, &g);
    int met = good && meets(w, step, &g, why, sizeof why);
    if (met) good = save(w, step, &g);
    given_end(&g);
    if (!good) return 0;
    if (met) return 1;
    if (tries > 1) nanosleep(&pause, NULL);
  }
  return fail(w, "%s", why);
}
