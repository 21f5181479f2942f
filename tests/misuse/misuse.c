/* Misuse of every exported function, and what handles promise inside a process: NULLs, wrong sizes and numbers, closed
   and inherited handles, cancels, closes with operations in flight. Nothing here may crash, hang, or call back twice. */
#define _POSIX_C_SOURCE 200809L
#include <poll.h>
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#include "misuse.h"

int failures;
rk_error err = RK_ERROR_INIT;
static int passes;

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

void count(void *user, rk_status s, const rk_entry *entry, const rk_receipt *receipt, const rk_error *error) {
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

/* Starts operations as fast as it can until the store refuses them. */
typedef struct { rk_bucket *bucket; rk_queue *queue; tally *tally; int accepted; rk_status refusal; } starter;

static void *start_until_refused(void *given) {
  starter *s = given;
  while ((s->refusal = rk_get_async(s->bucket, rk_str("k"), NULL, s->queue, count, s->tally, NULL)) == RK_OK) s->accepted++;
  return NULL;
}

static void what_a_store_took_on_calls_back_before_its_close_ends(void) {
  for (int round = 0; round < 20; round++) {
    rk_store *s = round % 2 ? memory() : waiting_node();
    rk_bucket *b = default_bucket(s);
    rk_queue *q = NULL;
    pthread_t threads[4];
    starter starters[4];
    tally t;
    int accepted = 0, called;
    struct timespec moment = { 0, 2000000 };
    tally_init(&t);
    GIVES(RK_OK, rk_queue_open(s, &q, &err));
    for (int i = 0; i < 4; i++) {
      starter one = { b, i < 2 ? q : NULL, &t, 0, RK_OK };
      starters[i] = one;
      HOLDS(pthread_create(&threads[i], NULL, start_until_refused, &starters[i]) == 0);
    }
    nanosleep(&moment, NULL);
    GIVES(RK_OK, rk_close(s, 50, &err));
    called = calls_of(&t);
    for (int i = 0; i < 4; i++) {
      pthread_join(threads[i], NULL);
      HOLDS(starters[i].refusal == RK_CLOSED);
      accepted += starters[i].accepted;
    }
    HOLDS(called == accepted && rk_queue_drain(q, 10) == 0 && calls_of(&t) == called);
    rk_queue_free(q);
    rk_bucket_free(b);
    rk_store_free(s);
    HOLDS(calls_of(&t) == called);
  }
}

int main(void) {
  static const struct { const char *name; void (*run)(void); } tests[] = {
    { "nulls_are_refused", nulls_are_refused },
    { "a_test_cluster_refuses_what_it_cannot_do", a_test_cluster_refuses_what_it_cannot_do },
    { "a_peer_that_dies_raises_no_signal", a_peer_that_dies_raises_no_signal },
    { "wrong_arguments_are_refused", wrong_arguments_are_refused },
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
    { "what_a_store_took_on_calls_back_before_its_close_ends", what_a_store_took_on_calls_back_before_its_close_ends },
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
