/* Lives: closed stores, children of fork, many stores one after the other. */
#include "misuse.h"

#include <sys/wait.h>
#include <unistd.h>

void a_closed_store_says_so_everywhere(void) {
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

void a_child_of_fork_has_handles_of_its_own(void) {
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

void stores_open_and_close_a_hundred_times(void) {
  for (int i = 0; i < 100; i++) {
    rk_store *s = memory();
    rk_bucket *b = default_bucket(s);
    GIVES(RK_OK, rk_put(b, rk_str("k"), rk_str("v"), NULL, NULL, &err));
    if (i % 2) GIVES(RK_OK, rk_close(s, -1, &err));
    rk_store_free(s);
    rk_bucket_free(b);
  }
}

