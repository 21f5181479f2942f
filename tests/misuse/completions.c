/* Completions: through queues and on the library's thread, canceled and closed, once each; calls from many threads. */
#include "misuse.h"

#include <poll.h>
#include <time.h>

void completions_come_through_the_queue(void) {
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

void a_cancel_calls_back_once(void) {
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

void a_close_completes_what_is_in_flight(void) {
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

void any_thread_may_call(void) {
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

