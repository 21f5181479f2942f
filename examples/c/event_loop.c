/* Asynchronous puts and gets from one thread that polls: how a program with an event loop of its own uses a store.
   cc event_loop.c $(pkg-config --cflags --libs ringkeep) */
#define _POSIX_C_SOURCE 200809L
#include <poll.h>
#include <ringkeep.h>
#include <stdio.h>

#define KEYS 100

typedef struct { int stored, read, failed; } progress;

/* Runs on the thread that drains the queue, so it needs no lock. */
static void done(void *user, rk_status s, const rk_entry *entry, const rk_receipt *receipt, const rk_error *error) {
  progress *p = user;
  if (s < 0) {
    p->failed++;
    fprintf(stderr, "%s: %s\n", rk_status_name(s), error->message);
  } else if (receipt != NULL) p->stored++;
  else if (entry != NULL) p->read++;
}

static int drain_until(rk_queue *queue, const int *count, int wanted, const progress *p) {
  struct pollfd wait = { 0, POLLIN, 0 };
  wait.fd = rk_queue_fd(queue);
  while (*count + p->failed < wanted) {
    if (poll(&wait, 1, 5000) != 1) return 0;
    rk_queue_drain(queue, 64);
  }
  return p->failed == 0;
}

int main(void) {
  rk_error error = RK_ERROR_INIT;
  rk_store *store = NULL;
  rk_bucket *bucket = NULL;
  rk_queue *queue = NULL;
  progress p = { 0, 0, 0 };
  int i, good;

  good = rk_open(NULL, NULL, &store, &error) == RK_OK && rk_bucket_open(store, NULL, &bucket, &error) == RK_OK &&
         rk_queue_open(store, &queue, &error) == RK_OK;
  for (i = 0; good && i < KEYS; i++) {
    good = rk_put_async(bucket, rk_buf(&i, sizeof i), rk_str("v"), NULL, queue, done, &p, NULL) == RK_OK;
  }
  good = good && drain_until(queue, &p.stored, KEYS, &p);
  for (i = 0; good && i < KEYS; i++) {
    good = rk_get_async(bucket, rk_buf(&i, sizeof i), NULL, queue, done, &p, NULL) == RK_OK;
  }
  good = good && drain_until(queue, &p.read, KEYS, &p);
  printf("%d stored, %d read, %d failed\n", p.stored, p.read, p.failed);
  if (!good) fprintf(stderr, "%s\n", error.message);
  rk_queue_free(queue);
  rk_bucket_free(bucket);
  rk_store_free(store);
  return good ? 0 : 1;
}
