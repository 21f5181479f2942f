/* Misuse of every exported function, and what handles promise inside a process: NULLs, wrong sizes and numbers, closed
   and inherited handles, cancels, closes with operations in flight. Nothing here may crash, hang, or call back twice. */
#define _POSIX_C_SOURCE 200809L
#include <poll.h>
#include <pthread.h>
#include <ringkeep.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static int failures, passes;
static rk_error err = RK_ERROR_INIT;
static const rk_bytes NONE = { NULL, 0 };

#define HOLDS(what) \
  do { if (!(what)) { printf("  %s:%d: %s (%s)\n", __FILE__, __LINE__, #what, err.message); failures++; } } while (0)
/* A misused call says so: the status, and a message. */
#define REFUSED(call) \
  do { memset(err.message, 0, sizeof err.message); HOLDS((call) == RK_INVALID_ARGUMENT); HOLDS(err.message[0] != 0); } while (0)
#define GIVES(status, call) HOLDS((call) == (status))

static rk_store *memory(void) {
  rk_store *store = NULL;
  GIVES(RK_OK, rk_open(NULL, NULL, &store, &err));
  return store;
}

static rk_bucket *default_bucket(rk_store *store) {
  rk_bucket *bucket = NULL;
  GIVES(RK_OK, rk_bucket_open(store, NULL, &bucket, &err));
  return bucket;
}

/* A node whose only seed is nowhere: its operations wait for a cluster until their deadline. */
static rk_store *waiting_node(void) {
  rk_store *store = NULL;
  GIVES(RK_OK, rk_open(NULL, "listen=127.0.0.1:0&seeds=127.0.0.1:1", &store, &err));
  return store;
}

/* What callbacks were given. */
typedef struct { pthread_mutex_t lock; int calls, ok, canceled, closed, others; rk_bucket *again; } tally;
static void tally_init(tally *t) { memset(t, 0, sizeof *t); pthread_mutex_init(&t->lock, NULL); }
static int calls_of(tally *t) {
  pthread_mutex_lock(&t->lock);
  int calls = t->calls;
  pthread_mutex_unlock(&t->lock);
  return calls;
}

static void count(void *user, rk_status s, const rk_entry *entry, const rk_receipt *receipt, const rk_error *error) {
  tally *t = user;
  (void)entry;
  (void)receipt;
  if (t->again != NULL) {
    rk_entry *seen = NULL;
    rk_get(t->again, rk_str("k"), NULL, &seen, NULL);
    rk_entry_free(seen);
  }
  pthread_mutex_lock(&t->lock);
  t->calls++;
  if (s == RK_OK) t->ok++;
  else if (s == RK_CANCELED) t->canceled++;
  else if (s == RK_CLOSED) t->closed++;
  else t->others++;
  if (s < 0 && (error == NULL || error->code != s || error->message[0] == 0)) t->others += 1000;
  pthread_mutex_unlock(&t->lock);
}

static void nulls_are_refused(void) {
  rk_store *s = (rk_store *)1;
  rk_bucket *b = (rk_bucket *)1;
  rk_entry *e = (rk_entry *)1;
  rk_receipt *r = (rk_receipt *)1;
  rk_iter *it = (rk_iter *)1;
  rk_queue *q = (rk_queue *)1;
  rk_op *op = (rk_op *)1;
  uint64_t number = 7;
  rk_bytes key = rk_str("k");
  const rk_entry *borrowed = (const rk_entry *)1;
  REFUSED(rk_open(NULL, NULL, NULL, &err));
  REFUSED(rk_connect("ringkeep://127.0.0.1:1", NULL, &err));
  REFUSED(rk_connect("nonsense", &s, &err));
  HOLDS(s == NULL);
  REFUSED(rk_ready(NULL, -1, &err));
  REFUSED(rk_close(NULL, -1, &err));
  REFUSED(rk_bucket_open(NULL, NULL, &b, &err));
  HOLDS(b == NULL);
  REFUSED(rk_get(NULL, key, NULL, &e, &err));
  HOLDS(e == NULL);
  e = (rk_entry *)1;
  REFUSED(rk_read(NULL, key, NULL, &e, &err));
  HOLDS(e == NULL);
  REFUSED(rk_put(NULL, key, key, NULL, &r, &err));
  HOLDS(r == NULL);
  r = (rk_receipt *)1;
  REFUSED(rk_delete(NULL, key, NULL, &r, &err));
  HOLDS(r == NULL);
  REFUSED(rk_update(NULL, key, NULL, NULL, NULL, &e, &err));
  REFUSED(rk_get_many(NULL, &key, 1, NULL, &e, NULL, &err));
  REFUSED(rk_put_many(NULL, &key, &key, 1, NULL, NULL, &err));
  REFUSED(rk_count(NULL, NULL, NULL, &number, &err));
  HOLDS(number == 0);
  REFUSED(rk_scan(NULL, NULL, NULL, &it, &err));
  HOLDS(it == NULL);
  REFUSED(rk_iter_next(NULL, &key, &borrowed, &err));
  HOLDS(borrowed == NULL && key.data == NULL);
  REFUSED(rk_queue_open(NULL, &q, &err));
  HOLDS(q == NULL);
  REFUSED(rk_admin(NULL, "status", NULL, &e, &err));
  key = rk_str("k");
  GIVES(RK_INVALID_ARGUMENT, rk_get_async(NULL, key, NULL, NULL, count, NULL, &op));
  HOLDS(op == NULL);
  GIVES(RK_INVALID_ARGUMENT, rk_read_async(NULL, key, NULL, NULL, count, NULL, NULL));
  GIVES(RK_INVALID_ARGUMENT, rk_put_async(NULL, key, key, NULL, NULL, count, NULL, NULL));
  GIVES(RK_INVALID_ARGUMENT, rk_delete_async(NULL, key, NULL, NULL, count, NULL, NULL));
  GIVES(RK_INVALID_ARGUMENT, rk_get(NULL, key, NULL, &e, NULL));
  HOLDS(rk_entry_count(NULL) == 0 && rk_entry_value(NULL, 0).data == NULL && rk_entry_expires_ms(NULL, 0) == -1);
  HOLDS(rk_entry_context(NULL).len == 0 && rk_receipt_context(NULL).len == 0);
  HOLDS(rk_receipt_owners(NULL) == 0 && rk_receipt_fallbacks(NULL) == 0);
  HOLDS(rk_queue_fd(NULL) == -1 && rk_queue_drain(NULL, 10) == 0);
  HOLDS(rk_node_id(NULL) == NULL && rk_address(NULL) == NULL);
  HOLDS(rk_status_name(RK_OK) != NULL && rk_api_version() == RK_API_VERSION);
  rk_store_free(NULL);
  rk_bucket_free(NULL);
  rk_entry_free(NULL);
  rk_receipt_free(NULL);
  rk_iter_free(NULL);
  rk_queue_free(NULL);
  rk_op_cancel(NULL);
  rk_op_free(NULL);
  rk_free(NULL);
  void *none = rk_alloc(0);
  HOLDS(none != NULL);
  rk_free(none);
}

static void wrong_numbers_are_refused(void) {
  rk_store *s = memory();
  rk_bucket *b = default_bucket(s);
  rk_entry *e = NULL, *entries[3];
  rk_iter *it = NULL;
  uint64_t number;
  rk_bytes key = rk_str("k"), hollow = rk_buf(NULL, 5), vast = rk_buf("x", SIZE_MAX);
  rk_range range = RK_RANGE_ALL;
  rk_error small = RK_ERROR_INIT;
  REFUSED(rk_get(b, hollow, NULL, &e, &err));
  REFUSED(rk_get(b, vast, NULL, &e, &err));
  REFUSED(rk_get(b, NONE, NULL, &e, &err));
  REFUSED(rk_get(b, key, NULL, NULL, &err));
  REFUSED(rk_read(b, key, NULL, NULL, &err));
  REFUSED(rk_put(b, key, hollow, NULL, NULL, &err));
  REFUSED(rk_put(b, hollow, key, NULL, NULL, &err));
  REFUSED(rk_delete(b, hollow, NULL, NULL, &err));
  REFUSED(rk_update(b, key, NULL, NULL, NULL, NULL, &err));
  REFUSED(rk_get_many(b, NULL, 3, NULL, entries, NULL, &err));
  REFUSED(rk_get_many(b, &key, 1, NULL, NULL, NULL, &err));
  REFUSED(rk_put_many(b, &key, NULL, 1, NULL, NULL, &err));
  REFUSED(rk_put_many(b, &key, &key, SIZE_MAX, NULL, NULL, &err));
  rk_status one;
  REFUSED(rk_get_many(b, &key, SIZE_MAX, NULL, &e, &one, &err));
  REFUSED(rk_count(b, NULL, NULL, NULL, &err));
  REFUSED(rk_scan(b, NULL, NULL, NULL, &err));
  REFUSED(rk_queue_open(s, NULL, &err));
  REFUSED(rk_admin(s, NULL, NULL, &e, &err));
  REFUSED(rk_admin(s, "dance", NULL, &e, &err));
  REFUSED(rk_admin(s, "create_bucket", "{", &e, &err));
  REFUSED(rk_admin(s, "leave", NULL, &e, &err));
  HOLDS(strstr(err.message, "not in this version") != NULL);
  REFUSED(rk_bucket_open(s, "", (rk_bucket **)&it, &err));
  REFUSED(rk_ready(s, -2, &err));
  REFUSED(rk_ready(s, 0, &err));
  REFUSED(rk_close(s, -7, &err));
  range.limit = -2;
  REFUSED(rk_scan(b, &range, NULL, &it, &err));
  range.limit = -1;
  range.prefix = hollow;
  REFUSED(rk_count(b, &range, NULL, &number, &err));
  for (int field = 0; field < 10; field++) {
    rk_opts o = RK_OPTS_INIT;
    if (field == 0) o.size = 8;
    if (field == 1) o.size = sizeof o + 8;
    if (field == 2) o.consistency = 7;
    if (field == 3) o.consistency = -1;
    if (field == 4) o.w = -2;
    if (field == 5) o.w = 0;
    if (field == 6) o.sloppy = 2;
    if (field == 7) o.timeout_ms = 0;
    if (field == 8) o.ttl_ms = -5;
    if (field == 9) o.context = rk_buf(NULL, 3);
    REFUSED(rk_put(b, key, key, &o, NULL, &err));
  }
  for (int field = 0; field < 3; field++) {
    rk_opts o = RK_OPTS_INIT;
    if (field == 0) o.r = -2;
    if (field == 1) { o.r = 1; o.consistency = RK_ONE; }
    if (field == 2) o.timeout_ms = INT64_MAX;
    REFUSED(rk_get(b, key, &o, &e, &err));
  }
  /* An error struct of another size is refused and left alone. */
  small.size = 16;
  small.code = 55;
  e = (rk_entry *)1;
  GIVES(RK_INVALID_ARGUMENT, rk_get(b, key, NULL, &e, &small));
  HOLDS(small.code == 55 && e == NULL);
  rk_store *second = (rk_store *)1;
  REFUSED(rk_open(NULL, "colour=red", &second, &err));
  HOLDS(second == NULL && strstr(err.message, "colour") != NULL);
  REFUSED(rk_open("\xff", NULL, &second, &err));
  rk_bucket_free(b);
  rk_store_free(s);
}

static rk_status merge_by(void *user, const rk_entry *siblings, rk_bytes *value) {
  const char *how = user;
  (void)siblings;
  if (strcmp(how, "empty") == 0) return RK_OK;
  if (strcmp(how, "hollow") == 0) { value->len = 9; return RK_OK; }
  if (strcmp(how, "delete") == 0) return RK_NOT_FOUND;
  if (strcmp(how, "unknown") == 0) return -12345;
  value->data = rk_alloc(3);
  value->len = 3;
  return RK_OVERLOADED;
}

static void an_update_ends_as_its_function_says(void) {
  rk_store *s = memory();
  rk_bucket *b = default_bucket(s);
  rk_entry *e = NULL;
  rk_bytes key = rk_str("k");
  GIVES(RK_OK, rk_update(b, key, merge_by, "empty", NULL, &e, &err));
  HOLDS(rk_entry_count(e) == 1 && rk_entry_value(e, 0).len == 0 && rk_entry_context(e).len > 0);
  rk_entry_free(e);
  REFUSED(rk_update(b, key, merge_by, "hollow", NULL, &e, &err));
  GIVES(RK_OVERLOADED, rk_update(b, key, merge_by, "abort", NULL, &e, &err));
  GIVES(RK_CANCELED, rk_update(b, key, merge_by, "unknown", NULL, &e, &err));
  GIVES(RK_OK, rk_get(b, key, NULL, &e, &err));
  rk_entry_free(e);
  GIVES(RK_OK, rk_update(b, key, merge_by, "delete", NULL, &e, &err));
  HOLDS(e != NULL && rk_entry_count(e) == 0);
  rk_entry_free(e);
  GIVES(RK_NOT_FOUND, rk_get(b, key, NULL, &e, &err));
  HOLDS(e == NULL && err.code == RK_NOT_FOUND && err.message[0] == 0);
  rk_bucket_free(b);
  rk_store_free(s);
}

static void every_item_has_its_own_status(void) {
  rk_store *s = memory();
  rk_bucket *b = default_bucket(s);
  rk_bytes keys[3] = { rk_str("a"), { NULL, 0 }, rk_str("c") }, values[3] = { rk_str("1"), rk_str("2"), rk_str("3") };
  rk_status each[3];
  rk_entry *entries[3];
  GIVES(RK_PARTIAL, rk_put_many(b, keys, values, 3, NULL, each, &err));
  HOLDS(each[0] == RK_OK && each[1] == RK_INVALID_ARGUMENT && each[2] == RK_OK);
  keys[2] = rk_str("nope");
  GIVES(RK_PARTIAL, rk_get_many(b, keys, 3, NULL, entries, each, &err));
  HOLDS(each[0] == RK_OK && each[1] == RK_INVALID_ARGUMENT && each[2] == RK_NOT_FOUND);
  HOLDS(rk_entry_value(entries[0], 0).len == 1 && entries[1] == NULL && entries[2] == NULL);
  rk_entry_free(entries[0]);
  GIVES(RK_OK, rk_get_many(b, NULL, 0, NULL, NULL, NULL, &err));
  GIVES(RK_OK, rk_close(s, -1, &err));
  GIVES(RK_CLOSED, rk_get_many(b, keys, 3, NULL, entries, each, &err));
  HOLDS(each[0] == RK_CLOSED && each[2] == RK_CLOSED && entries[0] == NULL);
  rk_bucket_free(b);
  rk_store_free(s);
}

static void a_closed_store_says_so_everywhere(void) {
  rk_store *s = memory();
  rk_bucket *b = default_bucket(s), *late = (rk_bucket *)1;
  rk_queue *q = NULL, *q2 = NULL;
  rk_iter *it = NULL, *it2 = NULL;
  rk_entry *e = NULL;
  rk_receipt *r = NULL;
  uint64_t number;
  tally t;
  rk_bytes key = rk_str("k");
  tally_init(&t);
  GIVES(RK_OK, rk_put(b, key, key, NULL, &r, &err));
  GIVES(RK_OK, rk_get(b, key, NULL, &e, &err));
  GIVES(RK_OK, rk_scan(b, NULL, NULL, &it, &err));
  GIVES(RK_OK, rk_queue_open(s, &q, &err));
  GIVES(RK_OK, rk_close(s, 1000, &err));
  GIVES(RK_OK, rk_close(s, 1000, &err));
  /* What was given before lives on; everything else is closed. */
  HOLDS(rk_entry_value(e, 0).len == 1 && rk_entry_value(e, 1).data == NULL && rk_receipt_owners(r) == 1);
  HOLDS(rk_receipt_fallbacks(r) == 0 && rk_receipt_context(r).len > 0 && rk_entry_expires_ms(e, 0) == -1);
  rk_entry_free(e);
  rk_receipt_free(r);
  GIVES(RK_CLOSED, rk_get(b, key, NULL, &e, &err));
  GIVES(RK_CLOSED, rk_read(b, key, NULL, &e, &err));
  GIVES(RK_CLOSED, rk_put(b, key, key, NULL, NULL, &err));
  HOLDS(err.maybe_applied == 0 && err.message[0] != 0);
  GIVES(RK_CLOSED, rk_delete(b, key, NULL, NULL, &err));
  GIVES(RK_CLOSED, rk_update(b, key, merge_by, "empty", NULL, NULL, &err));
  GIVES(RK_CLOSED, rk_put_many(b, &key, &key, 1, NULL, NULL, &err));
  GIVES(RK_CLOSED, rk_count(b, NULL, NULL, &number, &err));
  GIVES(RK_CLOSED, rk_scan(b, NULL, NULL, &it2, &err));
  GIVES(RK_CLOSED, rk_iter_next(it, NULL, NULL, &err));
  GIVES(RK_CLOSED, rk_bucket_open(s, NULL, &late, &err));
  GIVES(RK_CLOSED, rk_queue_open(s, &q2, &err));
  GIVES(RK_CLOSED, rk_ready(s, -1, &err));
  GIVES(RK_CLOSED, rk_admin(s, "status", NULL, &e, &err));
  GIVES(RK_CLOSED, rk_get_async(b, key, NULL, q, count, &t, NULL));
  GIVES(RK_CLOSED, rk_read_async(b, key, NULL, q, count, &t, NULL));
  GIVES(RK_CLOSED, rk_put_async(b, key, key, NULL, NULL, count, &t, NULL));
  GIVES(RK_CLOSED, rk_delete_async(b, key, NULL, NULL, count, &t, NULL));
  HOLDS(late == NULL && rk_queue_drain(q, 10) == 0 && calls_of(&t) == 0);
  rk_store_free(s);
  rk_iter_free(it);
  rk_queue_free(q);
  rk_bucket_free(b);
}

static int in_child(rk_store *s, rk_bucket *b, rk_queue *q, rk_iter *it, rk_entry *kept) {
  rk_entry *e = NULL;
  rk_store *own;
  rk_bucket *bucket;
  failures = 0;
  GIVES(RK_FORKED, rk_get(b, rk_str("k"), NULL, &e, &err));
  GIVES(RK_FORKED, rk_put(b, rk_str("k"), rk_str("v"), NULL, NULL, &err));
  GIVES(RK_FORKED, rk_get_async(b, rk_str("k"), NULL, q, count, NULL, NULL));
  GIVES(RK_FORKED, rk_get_async(b, rk_str("k"), NULL, NULL, count, NULL, NULL));
  GIVES(RK_FORKED, rk_iter_next(it, NULL, NULL, &err));
  GIVES(RK_FORKED, rk_close(s, -1, &err));
  GIVES(RK_FORKED, rk_bucket_open(s, NULL, &bucket, &err));
  HOLDS(rk_queue_drain(q, 10) == 0 && rk_entry_count(kept) == 1);
  own = memory();
  bucket = default_bucket(own);
  GIVES(RK_OK, rk_put(bucket, rk_str("k"), rk_str("child"), NULL, NULL, &err));
  GIVES(RK_OK, rk_get(bucket, rk_str("k"), NULL, &e, &err));
  HOLDS(rk_entry_value(e, 0).len == 5);
  rk_entry_free(e);
  rk_bucket_free(bucket);
  GIVES(RK_OK, rk_close(own, -1, &err));
  rk_store_free(own);
  rk_iter_free(it);
  rk_queue_free(q);
  rk_bucket_free(b);
  rk_entry_free(kept);
  rk_store_free(s);
  fflush(stdout);
  return failures == 0 ? 0 : 1;
}

static void a_child_of_fork_has_handles_of_its_own(void) {
  rk_store *s = memory(), *stuck = waiting_node();
  rk_bucket *b = default_bucket(s), *stuck_bucket = default_bucket(stuck);
  rk_queue *q = NULL;
  rk_iter *it = NULL;
  rk_entry *e = NULL;
  tally t;
  tally_init(&t);
  GIVES(RK_OK, rk_put(b, rk_str("k"), rk_str("v"), NULL, NULL, &err));
  GIVES(RK_OK, rk_get(b, rk_str("k"), NULL, &e, &err));
  GIVES(RK_OK, rk_queue_open(s, &q, &err));
  GIVES(RK_OK, rk_scan(b, NULL, NULL, &it, &err));
  GIVES(RK_OK, rk_get_async(stuck_bucket, rk_str("k"), NULL, NULL, count, &t, NULL));
  fflush(stdout);
  pid_t child = fork();
  if (child == 0) {
    alarm(60);
    _exit(in_child(s, b, q, it, e));
  }
  int status = -1;
  HOLDS(child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
  rk_entry_free(e);
  GIVES(RK_OK, rk_get(b, rk_str("k"), NULL, &e, &err));
  HOLDS(rk_entry_value(e, 0).len == 1);
  rk_entry_free(e);
  rk_iter_free(it);
  rk_queue_free(q);
  rk_bucket_free(b);
  rk_bucket_free(stuck_bucket);
  rk_store_free(s);
  rk_store_free(stuck);
  HOLDS(calls_of(&t) == 1);
}

static void stores_open_and_close_a_hundred_times(void) {
  for (int i = 0; i < 100; i++) {
    rk_store *s = memory();
    rk_bucket *b = default_bucket(s);
    GIVES(RK_OK, rk_put(b, rk_str("k"), rk_str("v"), NULL, NULL, &err));
    if (i % 2) GIVES(RK_OK, rk_close(s, -1, &err));
    rk_store_free(s);
    rk_bucket_free(b);
  }
}

static void completions_come_through_the_queue(void) {
  rk_store *s = memory(), *other = memory();
  rk_bucket *b = default_bucket(s);
  rk_queue *q = NULL, *foreign = NULL;
  struct pollfd wait;
  tally t;
  rk_bytes key = rk_str("k");
  rk_opts wrong = RK_OPTS_INIT;
  tally_init(&t);
  GIVES(RK_OK, rk_queue_open(s, &q, &err));
  GIVES(RK_OK, rk_queue_open(other, &foreign, &err));
  GIVES(RK_INVALID_ARGUMENT, rk_get_async(b, key, NULL, foreign, count, &t, NULL));
  GIVES(RK_INVALID_ARGUMENT, rk_get_async(b, key, NULL, q, NULL, &t, NULL));
  wait.fd = rk_queue_fd(q);
  wait.events = POLLIN;
  HOLDS(poll(&wait, 1, 0) == 0);
  for (int i = 0; i < 50; i++) GIVES(RK_OK, rk_put_async(b, key, key, NULL, q, count, &t, NULL));
  HOLDS(calls_of(&t) == 0);
  while (calls_of(&t) < 50) {
    HOLDS(poll(&wait, 1, 10000) == 1);
    HOLDS(rk_queue_drain(q, 7) <= 7);
  }
  HOLDS(poll(&wait, 1, 0) == 0 && rk_queue_drain(q, 10) == 0 && t.ok == 50);
  /* What is wrong with the request the callback says. */
  wrong.w = 9;
  GIVES(RK_OK, rk_put_async(b, key, key, &wrong, q, count, &t, NULL));
  GIVES(RK_OK, rk_get_async(b, rk_buf(NULL, 4), NULL, q, count, &t, NULL));
  while (calls_of(&t) < 52) rk_queue_drain(q, 10);
  HOLDS(t.others == 2);
  /* Without a queue a thread of the library calls back, and may call the store again. */
  t.again = b;
  GIVES(RK_OK, rk_get_async(b, key, NULL, NULL, count, &t, NULL));
  GIVES(RK_OK, rk_read_async(b, key, NULL, NULL, count, &t, NULL));
  GIVES(RK_OK, rk_delete_async(b, key, NULL, NULL, count, &t, NULL));
  GIVES(RK_OK, rk_close(s, -1, &err));
  HOLDS(calls_of(&t) == 55 && t.ok == 53);
  rk_queue_free(foreign);
  rk_queue_free(q);
  rk_bucket_free(b);
  rk_store_free(s);
  rk_store_free(other);
}

static void a_cancel_calls_back_once(void) {
  rk_store *s = waiting_node();
  rk_bucket *b = default_bucket(s);
  rk_queue *q = NULL;
  rk_op *ops[20];
  struct pollfd wait;
  tally t;
  tally_init(&t);
  GIVES(RK_OK, rk_queue_open(s, &q, &err));
  for (int i = 0; i < 20; i++) GIVES(RK_OK, rk_put_async(b, rk_str("k"), rk_str("v"), NULL, q, count, &t, &ops[i]));
  for (int i = 0; i < 10; i++) { rk_op_cancel(ops[i]); rk_op_cancel(ops[i]); }
  wait.fd = rk_queue_fd(q);
  wait.events = POLLIN;
  while (calls_of(&t) < 10 && poll(&wait, 1, 10000) == 1) rk_queue_drain(q, 3);
  HOLDS(calls_of(&t) == 10 && t.canceled == 10);
  for (int i = 0; i < 20; i++) rk_op_free(ops[i]);
  /* Freeing the queue cancels the rest and calls back here. */
  rk_queue_free(q);
  HOLDS(calls_of(&t) == 20 && t.canceled == 20);
  rk_bucket_free(b);
  rk_store_free(s);
  HOLDS(calls_of(&t) == 20);
}

static void *get_until_closed(void *bucket) {
  rk_entry *e = NULL;
  rk_error error = RK_ERROR_INIT;
  rk_status status = rk_get(bucket, rk_str("k"), NULL, &e, &error);
  return status == RK_CLOSED && e == NULL ? bucket : NULL;
}

static void a_close_completes_what_is_in_flight(void) {
  rk_store *s = waiting_node();
  rk_bucket *b = default_bucket(s);
  rk_queue *q = NULL;
  pthread_t thread;
  void *good = NULL;
  tally queued, called;
  tally_init(&queued);
  tally_init(&called);
  GIVES(RK_OK, rk_queue_open(s, &q, &err));
  HOLDS(pthread_create(&thread, NULL, get_until_closed, b) == 0);
  for (int i = 0; i < 30; i++) {
    GIVES(RK_OK, rk_get_async(b, rk_str("k"), NULL, q, count, &queued, NULL));
    GIVES(RK_OK, rk_put_async(b, rk_str("k"), rk_str("v"), NULL, NULL, count, &called, NULL));
  }
  struct timespec moment = { 0, 100000000 };
  nanosleep(&moment, NULL);
  GIVES(RK_OK, rk_close(s, 100, &err));
  HOLDS(calls_of(&queued) == 30 && queued.ok == 0 && queued.others == 0);
  HOLDS(calls_of(&called) == 30 && called.ok == 0 && called.others == 0);
  HOLDS(rk_queue_drain(q, 100) == 0);
  pthread_join(thread, &good);
  HOLDS(good == b);
  rk_queue_free(q);
  rk_bucket_free(b);
  rk_store_free(s);
  HOLDS(calls_of(&queued) == 30 && calls_of(&called) == 30);
}

static void *work(void *bucket) {
  for (int i = 0; i < 200; i++) {
    char key[16];
    rk_entry *e = NULL;
    size_t len = (size_t)snprintf(key, sizeof key, "key-%d", i % 17);
    if (rk_put(bucket, rk_buf(key, len), rk_buf(key, len), NULL, NULL, NULL) != RK_OK) return NULL;
    if (rk_get(bucket, rk_buf(key, len), NULL, &e, NULL) != RK_OK) return NULL;
    if (rk_entry_value(e, 0).len != len) return NULL;
    rk_entry_free(e);
  }
  return bucket;
}

static void any_thread_may_call(void) {
  rk_store *s = memory();
  rk_bucket *b = default_bucket(s);
  pthread_t threads[8];
  uint64_t number = 0;
  for (int i = 0; i < 8; i++) HOLDS(pthread_create(&threads[i], NULL, work, b) == 0);
  for (int i = 0; i < 8; i++) {
    void *good = NULL;
    pthread_join(threads[i], &good);
    HOLDS(good == b);
  }
  GIVES(RK_OK, rk_count(b, NULL, NULL, &number, &err));
  HOLDS(number == 17);
  rk_bucket_free(b);
  rk_store_free(s);
}

int main(void) {
  static const struct { const char *name; void (*run)(void); } tests[] = {
    { "nulls_are_refused", nulls_are_refused },
    { "wrong_numbers_are_refused", wrong_numbers_are_refused },
    { "an_update_ends_as_its_function_says", an_update_ends_as_its_function_says },
    { "every_item_has_its_own_status", every_item_has_its_own_status },
    { "a_closed_store_says_so_everywhere", a_closed_store_says_so_everywhere },
    { "a_child_of_fork_has_handles_of_its_own", a_child_of_fork_has_handles_of_its_own },
    { "stores_open_and_close_a_hundred_times", stores_open_and_close_a_hundred_times },
    { "completions_come_through_the_queue", completions_come_through_the_queue },
    { "a_cancel_calls_back_once", a_cancel_calls_back_once },
    { "a_close_completes_what_is_in_flight", a_close_completes_what_is_in_flight },
    { "any_thread_may_call", any_thread_may_call },
  };
  int failed = 0;
  alarm(120);
  for (size_t i = 0; i < sizeof tests / sizeof tests[0]; i++) {
    failures = 0;
    tests[i].run();
    if (failures) { printf("FAILED %s\n", tests[i].name); failed++; } else passes++;
    fflush(stdout);
  }
  printf("%d passed, %d failed\n", passes, failed);
  return failed != 0;
}
