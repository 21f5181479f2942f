/* What one case of the behaviour suite has: its directory, stores, variables and saved contexts; and what a step gave.
   The step language is specified in tests/behaviour/README.md. */
#ifndef WORLD_H
#define WORLD_H
#include <jansson.h>
#include <ringkeep.h>
#include <stddef.h>

#define STORES_MAX 16
#define SAVED_MAX 32
#define TEXT_MAX 4096

typedef struct { char name[64]; rk_store *store; } named_store;
typedef struct { char name[64]; rk_bytes bytes; } saved_context;

typedef struct {
  char dir[TEXT_MAX];
  named_store stores[STORES_MAX];
  saved_context contexts[SAVED_MAX];
  rk_cluster *cluster;
  size_t nodes; /* of the cluster */
  json_t *streams; /* by name: the store, and where its reader is */
  json_t *variables;
  void **kept; /* freed with the case */
  size_t kept_count, kept_room;
  char fault[TEXT_MAX]; /* why the case failed; empty while it has not */
} world;

/* One result of get_many or put_many, or one item of a scan. */
typedef struct { rk_status status; rk_bytes key, value; } item;

typedef struct {
  rk_status status;
  rk_error error;
  rk_entry *entry;
  rk_receipt *receipt;
  int has_value; /* value or absent is meaningful */
  int absent;
  rk_bytes value;
  uint64_t count;
  item *items;
  size_t items_count;
  json_t *answer;
} given;

/* Fails the case with a text; always gives 0, so that it can end a function. */
int fail(world *w, const char *format, ...);

void world_begin(world *w);
void world_end(world *w);
/* Memory that lives as long as the case. */
void *keep(world *w, size_t len);
rk_bytes copy(world *w, rk_bytes bytes);
/* BYTES of the step language; 0 in *good when it is none. */
rk_bytes bytes_of(world *w, json_t *json, int *good);
/* A text with its ${variables} replaced. */
const char *text_of(world *w, json_t *json);
named_store *store_named(world *w, const char *name, int create);
saved_context *context_named(world *w, const char *name, int create);
/* Names the nodes of the test cluster as they are now. */
int take_nodes(world *w);
/* Settings as the option string of rk_open. */
const char *pairs_of(world *w, json_t *settings);
int setup(world *w, json_t *setup);

/* Runs a step; 0 when the case has failed. */
int run_step(world *w, json_t *step);
/* Does what a step says. */
int perform(world *w, json_t *step, given *g);
void given_end(given *g);
/* Whether what a step gave meets its expectation; why not in why. */
int meets(world *w, json_t *step, const given *g, char *why, size_t room);
#endif
