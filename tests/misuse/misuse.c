/* Misuse of every exported function, and what handles promise inside a process: NULLs, wrong sizes and numbers, closed
   and inherited handles, cancels, closes with operations in flight. Nothing here may crash, hang, or call back twice. */
#include "misuse.h"

#include <unistd.h>

int failures;
rk_error err = RK_ERROR_INIT;

rk_store *memory(void) {
  rk_store *store = NULL;
  GIVES(RK_OK, rk_open(NULL, NULL, &store, &err));
  return store;
}

rk_bucket *default_bucket(rk_store *store) {
  rk_bucket *bucket = NULL;
  GIVES(RK_OK, rk_bucket_open(store, NULL, &bucket, &err));
  return bucket;
}

rk_store *waiting_node(void) {
  rk_store *store = NULL;
  GIVES(RK_OK, rk_open(NULL, "listen=127.0.0.1:0&seeds=127.0.0.1:1", &store, &err));
  return store;
}

void tally_init(tally *t) { memset(t, 0, sizeof *t); pthread_mutex_init(&t->lock, NULL); }
int calls_of(tally *t) {
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

rk_status merge_by(void *user, const rk_entry *siblings, rk_bytes *value) {
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

int main(void) {
  static const struct { const char *name; void (*run)(void); } tests[] = {
    { "nulls_are_refused", nulls_are_refused },
    { "handles_that_are_null_are_nothing", handles_that_are_null_are_nothing },
    { "wrong_numbers_are_refused", wrong_numbers_are_refused },
    { "wrong_options_are_refused", wrong_options_are_refused },
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
  int failed = 0, passed = 0;
  alarm(120);
  for (size_t i = 0; i < sizeof tests / sizeof tests[0]; i++) {
    failures = 0;
    tests[i].run();
    if (failures) { printf("FAILED %s\n", tests[i].name); failed++; } else passed++;
    fflush(stdout);
  }
  printf("%d passed, %d failed\n", passed, failed);
  return failed != 0;
}
