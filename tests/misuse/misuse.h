/* What the files of the misuse test share: checks that count, and stores to check on. */
#ifndef RINGKEEP_MISUSE_H
#define RINGKEEP_MISUSE_H
#include <ringkeep.h>
#include <stdio.h>
#include <string.h>

extern int failures;
extern rk_error err;
static const rk_bytes NONE = { NULL, 0 };

#define HOLDS(what) \
  do { if (!(what)) { printf("  %s:%d: %s (%s)\n", __FILE__, __LINE__, #what, err.message); failures++; } } while (0)
/* A misused call says so: the status, and a message. */
#define REFUSED(call) \
  do { memset(err.message, 0, sizeof err.message); HOLDS((call) == RK_INVALID_ARGUMENT); HOLDS(err.message[0] != 0); } while (0)
#define GIVES(status, call) HOLDS((call) == (status))

static inline rk_store *memory(void) {
  rk_store *store = NULL;
  GIVES(RK_OK, rk_open(NULL, NULL, &store, &err));
  return store;
}

static inline rk_bucket *default_bucket(rk_store *store) {
  rk_bucket *bucket = NULL;
  GIVES(RK_OK, rk_bucket_open(store, NULL, &bucket, &err));
  return bucket;
}

/* A callback that counts into the tally that it is given, and a merge that does what its text says. */
void count(void *user, rk_status s, const rk_entry *entry, const rk_receipt *receipt, const rk_error *error);
rk_status merge_by(void *user, const rk_entry *siblings, rk_bytes *value);

void nulls_are_refused(void);
void a_test_cluster_refuses_what_it_cannot_do(void);
void a_peer_that_dies_raises_no_signal(void);
void wrong_arguments_are_refused(void);
void wrong_numbers_are_refused(void);
void an_update_ends_as_its_function_says(void);
void every_item_has_its_own_status(void);
#endif
