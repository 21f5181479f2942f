/* What the tests of misuse share: checks, stores, and a callback that counts. */
#ifndef MISUSE_H
#define MISUSE_H
#define _POSIX_C_SOURCE 200809L
#include <pthread.h>
#include <ringkeep.h>
#include <stdio.h>
#include <string.h>

extern int failures;
extern rk_error err;

#define HOLDS(what) \
  do { if (!(what)) { printf("  %s:%d: %s (%s)\n", __FILE__, __LINE__, #what, err.message); failures++; } } while (0)
/* A misused call says so: the status, and a message. */
#define REFUSED(call) \
  do { memset(err.message, 0, sizeof err.message); HOLDS((call) == RK_INVALID_ARGUMENT); HOLDS(err.message[0] != 0); } while (0)
#define GIVES(status, call) HOLDS((call) == (status))

/* What callbacks were given. */
typedef struct { pthread_mutex_t lock; int calls, ok, canceled, closed, others; rk_bucket *again; } tally;

rk_store *memory(void);
rk_bucket *default_bucket(rk_store *store);
/* A node whose only seed is nowhere: its operations wait for a cluster until their deadline. */
rk_store *waiting_node(void);
void tally_init(tally *t);
int calls_of(tally *t);
/* The callback: counts, by status, what it was given. */
void count(void *user, rk_status s, const rk_entry *entry, const rk_receipt *receipt, const rk_error *error);
/* The merge function of updates: does what user, a text, says. */
rk_status merge_by(void *user, const rk_entry *siblings, rk_bytes *value);

void nulls_are_refused(void);
void handles_that_are_null_are_nothing(void);
void wrong_numbers_are_refused(void);
void wrong_options_are_refused(void);
void an_update_ends_as_its_function_says(void);
void every_item_has_its_own_status(void);
void a_closed_store_says_so_everywhere(void);
void a_child_of_fork_has_handles_of_its_own(void);
void stores_open_and_close_a_hundred_times(void);
void completions_come_through_the_queue(void);
void a_cancel_calls_back_once(void);
void a_close_completes_what_is_in_flight(void);
void any_thread_may_call(void);
#endif
