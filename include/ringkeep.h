/* Ringkeep: a replicated key-value store inside your process. One header, C99, safe from any thread.
   Generated from ffi/src by `make write-headers`; do not edit.
   Lifetimes: what a function gives through an out parameter is ended by the _free of its type; every _free takes NULL.
   Out parameters are NULL after a failure. Bytes read from an object are borrowed until that object is freed (from an
   iterator: until its next step). Keys, values and options passed in are copied before the call returns, async calls
   included. rk_close ends the work of a store: later calls on it, or on anything opened from it, give RK_CLOSED;
   rk_store_free ends the handle. A handle inherited through fork gives RK_FORKED. */
#ifndef RINGKEEP_H
#define RINGKEEP_H

#include <stddef.h>
#include <stdint.h>

#define RK_API_VERSION 1u

/* rk_status: above 0 outcomes, 0 done, below 0 failures; numbers never change their meaning. */
enum {
  RK_OK = 0, RK_NOT_FOUND = 1, RK_CONFLICT = 2, RK_END = 3,
  RK_TIMEOUT = -1, RK_QUORUM_UNAVAILABLE = -2, RK_INVALID_ARGUMENT = -3, RK_CLOSED = -4, RK_LOCKED = -5, RK_FORKED = -6,
  RK_OVERLOADED = -7, RK_CORRUPTION = -8, RK_IO = -9, RK_UNAUTHORIZED = -10, RK_VERSION_MISMATCH = -11, RK_CANCELED = -12,
  RK_NOMEM = -13, RK_TOO_MANY_SIBLINGS = -14, RK_STORAGE_FULL = -15, RK_NO_SUCH_BUCKET = -16, RK_CLOCK_SKEW = -17,
  RK_PARTIAL = -18, RK_INTERNAL = -99
};

/* rk_opts.consistency */
enum { RK_DEFAULT = 0, RK_ONE, RK_QUORUM, RK_ALL, RK_LOCAL_ONE, RK_LOCAL_QUORUM, RK_EACH_QUORUM };

#define RK_ERROR_INIT { sizeof(rk_error), RK_OK, 0, 0, 0, 0, "" }
#define RK_OPTS_INIT { sizeof(rk_opts), RK_DEFAULT, -1, -1, -1, -1, -1, { 0, 0 } }
#define RK_RANGE_ALL { { 0, 0 }, { 0, 0 }, { 0, 0 }, -1 }

/* A named keyspace of a store. */
typedef struct rk_bucket rk_bucket;

/* Real nodes in this process, for tests: they can be killed, restarted and cut off from each other. */
typedef struct rk_cluster rk_cluster;

/* The siblings and the context of a key. */
typedef struct rk_entry rk_entry;

/* A scan under way. */
typedef struct rk_iter rk_iter;

/* An operation under way. */
typedef struct rk_op rk_op;

/* Completions on their way to the thread that drains them. */
typedef struct rk_queue rk_queue;

/* What a write did. */
typedef struct rk_receipt rk_receipt;

/* A node or a client: the same operations. */
typedef struct rk_store rk_store;

/* An outcome or failure: above 0 outcomes, 0 done, below 0 failures. Numbers never change their meaning. */
typedef int32_t rk_status;

/* What went wrong: caller owned, fixed size, nothing to free. `err` may always be NULL. Start from RK_ERROR_INIT. */
typedef struct rk_error {
  /* sizeof(rk_error), set by the caller. */
  uint32_t size;
  /* The status that the call returned. */
  rk_status code;
  /* Replicas that had to answer; RK_TIMEOUT and RK_QUORUM_UNAVAILABLE. */
  int32_t needed;
  /* Replicas that did. */
  int32_t received;
  /* 0 only if nothing can have been stored. */
  uint8_t maybe_applied;
  /* Whether the same request may succeed later. */
  uint8_t retryable;
  /* What was found, as a sentence; always ended by a zero byte, cut at a character if need be. */
  char message[512];
} rk_error;

/* Bytes of the caller's or of an object's. NULL with a length of 0 is empty. */
typedef struct rk_bytes {
  /* The first byte. */
  const void *data;
  /* How many there are. */
  size_t len;
} rk_bytes;

/* Options of a call; NULL: none. Start from RK_OPTS_INIT; -1 means not given. What a call has no use for it ignores. */
typedef struct rk_opts {
  /* sizeof(rk_opts), set by the caller. */
  uint32_t size;
  /* A named level; not together with r or w. */
  int32_t consistency;
  /* Owners that must answer a read. */
  int32_t r;
  /* Owners that must have stored a write. */
  int32_t w;
  /* Whether fallbacks count for owners that are away: 0 or 1; not together with the level all. */
  int32_t sloppy;
  /* How long the call may take. */
  int64_t timeout_ms;
  /* How long the value lives; 0: for ever. */
  int64_t ttl_ms;
  /* What the writer has seen. */
  rk_bytes context;
} rk_opts;

/* Sees the siblings and gives one value through *value, allocated with rk_alloc, which the library frees. RK_OK goes on,
   RK_NOT_FOUND deletes, anything else ends the update with that status. */
typedef rk_status (*rk_merge)(void *user, const rk_entry *siblings, rk_bytes *value);

/* Which keys a scan or count visits, in byte order. Empty bytes set no bound. */
typedef struct rk_range {
  /* Only keys that begin so. */
  rk_bytes prefix;
  /* Only keys at or after this one. */
  rk_bytes start;
  /* Only keys before this one. */
  rk_bytes end;
  /* At most so many; -1: no limit. */
  int64_t limit;
} rk_range;

/* Runs exactly once, cancel included: on the thread that drains the queue, or, with queue NULL, on a thread of the library,
   one after the other. entry or receipt is NULL unless the operation gives one, err unless it failed; all are borrowed.
   Callbacks may call anything but rk_close and rk_store_free of their own store. */
typedef void (*rk_done)(void *user,
                        rk_status s,
                        const rk_entry *entry,
                        const rk_receipt *receipt,
                        const rk_error *err);

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/* The RK_API_VERSION of the library that is loaded. */
uint32_t rk_api_version(void);

/* The name of a status, without RK_: "TIMEOUT". The same codes as in other languages; never NULL. */
const char *rk_status_name(rk_status s);

/* Opens a node. path NULL: in memory. options: percent-encoded key=value pairs joined by '&', the names of the settings
   file: "create=1&listen=127.0.0.1:7400", "listen=...&seeds=a:7400,b:7400&location=aws/eu-1/a", or NULL. */
rk_status rk_open(const char *path, const char *options, rk_store **out, rk_error *err);

/* Connects a client: "ringkeep://a:7400,b:7400?consistency=local_quorum&timeout=2s". NULL: a node on this machine. */
rk_status rk_connect(const char *uri, rk_store **out, rk_error *err);

/* Returns once operations can be served: until it belongs to a cluster, a node that joins makes them wait.
   timeout_ms -1: the setting's default. */
rk_status rk_ready(rk_store *s, int64_t timeout_ms, rk_error *err);

/* Ends the work of a store: lets operations under way end within the time limit (-1: the setting's default), completes
   the rest, and runs on this thread the callbacks that wait in its queues. Idempotent; no callback runs after it returns. */
rk_status rk_close(rk_store *s,
                   int64_t timeout_ms,
                   rk_error *err);

/* Ends a store's handle; closes it first if need be, unless it is a test cluster's node. */
void rk_store_free(rk_store *s);

/* A node's stable id, borrowed until the store is freed; NULL for a client. */
const char *rk_node_id(const rk_store *s);

/* Where a node is reached, "host:port", borrowed until the store is freed; NULL for a client and without a port. */
const char *rk_address(const rk_store *s);

/* Opens a bucket; NULL: the default bucket. That it exists is judged by each operation. */
rk_status rk_bucket_open(rk_store *s, const char *name, rk_bucket **out, rk_error *err);

/* Ends a bucket's handle. */
void rk_bucket_free(rk_bucket *b);

/* The value that the bucket's resolver picks. RK_NOT_FOUND: *out stays NULL. RK_CONFLICT: *out has every sibling. */
rk_status rk_get(rk_bucket *b,
                 rk_bytes key,
                 const rk_opts *o,
                 rk_entry **out,
                 rk_error *err);

/* Every live sibling, and the context. RK_OK also for an absent key, whose entry has no sibling. */
rk_status rk_read(rk_bucket *b,
                  rk_bytes key,
                  const rk_opts *o,
                  rk_entry **out,
                  rk_error *err);

/* Stores a value. out may be NULL. */
rk_status rk_put(rk_bucket *b,
                 rk_bytes key,
                 rk_bytes value,
                 const rk_opts *o,
                 rk_receipt **out,
                 rk_error *err);

/* Deletes a key; without a context it covers what its coordinator has stored. out may be NULL. */
rk_status rk_delete(rk_bucket *b,
                    rk_bytes key,
                    const rk_opts *o,
                    rk_receipt **out,
                    rk_error *err);

/* Reads every live sibling, lets fn make one value of them, and stores it with their context. *out is the value that was
   stored, with the new context; without a sibling after a delete. out may be NULL. */
rk_status rk_update(rk_bucket *b,
                    rk_bytes key,
                    rk_merge fn,
                    void *user,
                    const rk_opts *o,
                    rk_entry **out,
                    rk_error *err);

/* Reads n keys. out and each have room for n: RK_OK, RK_NOT_FOUND, RK_CONFLICT or a failure per key, with an entry as
   from rk_get. RK_PARTIAL when some failed. each may be NULL. n: up to 2^24. */
rk_status rk_get_many(rk_bucket *b,
                      const rk_bytes *keys,
                      size_t n,
                      const rk_opts *o,
                      rk_entry **out,
                      rk_status *each,
                      rk_error *err);

/* Stores n values. each has room for n: RK_OK or a failure per key. RK_PARTIAL when some failed. each may be NULL.
   n: up to 2^24. */
rk_status rk_put_many(rk_bucket *b,
                      const rk_bytes *keys,
                      const rk_bytes *values,
                      size_t n,
                      const rk_opts *o,
                      rk_status *each,
                      rk_error *err);

/* Counts the keys that a get would show. range NULL: all. */
rk_status rk_count(rk_bucket *b,
                   const rk_range *range,
                   const rk_opts *o,
                   uint64_t *out,
                   rk_error *err);

/* Starts a scan: key-ordered, streamed, not a snapshot. range NULL: all. */
rk_status rk_scan(rk_bucket *b,
                  const rk_range *range,
                  const rk_opts *o,
                  rk_iter **out,
                  rk_error *err);

/* The next key with the value that the resolver picks; RK_CONFLICT: with every sibling, and the scan goes on. RK_END after
   the last. key and e are borrowed until the next step and may be NULL. One thread at a time. */
rk_status rk_iter_next(rk_iter *it,
                       rk_bytes *key,
                       const rk_entry **e,
                       rk_error *err);

/* Ends a scan. */
void rk_iter_free(rk_iter *it);

/* How many siblings are live: 0 absent, 1 a value, more: a conflict. */
size_t rk_entry_count(const rk_entry *e);

/* The value of a sibling, oldest first; empty with NULL when there is no such sibling. */
rk_bytes rk_entry_value(const rk_entry *e, size_t i);

/* When a sibling stops being shown, in Unix time; -1: never, or there is no such sibling. */
int64_t rk_entry_expires_ms(const rk_entry *e, size_t i);

/* The context that covers every sibling: opaque bytes to put with. */
rk_bytes rk_entry_context(const rk_entry *e);

/* Ends an entry. */
void rk_entry_free(rk_entry *e);

/* The context that covers the write and what it superseded. */
rk_bytes rk_receipt_context(const rk_receipt *r);

/* Owners that had stored the write when the call returned. */
int32_t rk_receipt_owners(const rk_receipt *r);

/* Fallbacks that had stored the write in a marked copy. */
int32_t rk_receipt_fallbacks(const rk_receipt *r);

/* Ends a receipt. */
void rk_receipt_free(rk_receipt *r);

/* Memory for a value that a merge function gives. Never NULL for lack of length, NULL when there is none left. */
void *rk_alloc(size_t len);

/* Gives memory of rk_alloc back. */
void rk_free(void *p);

/* Opens a queue for the operations of this store. */
rk_status rk_queue_open(rk_store *s, rk_queue **out, rk_error *err);

/* The file descriptor to poll: readable while completions wait. Do not read from it. -1: no queue. */
int rk_queue_fd(const rk_queue *q);

/* Runs at most max callbacks on this thread and returns how many it ran. Never waits. */
size_t rk_queue_drain(rk_queue *q, size_t max);

/* Ends a queue: cancels what is under way towards it and runs its last callbacks on this thread. */
void rk_queue_free(rk_queue *q);

/* rk_get without waiting. A status other than RK_OK: nothing was started, and the callback will not run. What is wrong
   with the key or the options the callback says. op may be NULL. */
rk_status rk_get_async(rk_bucket *b,
                       rk_bytes key,
                       const rk_opts *o,
                       rk_queue *q,
                       rk_done cb,
                       void *user,
                       rk_op **op);

/* rk_read without waiting. */
rk_status rk_read_async(rk_bucket *b,
                        rk_bytes key,
                        const rk_opts *o,
                        rk_queue *q,
                        rk_done cb,
                        void *user,
                        rk_op **op);

/* rk_put without waiting. */
rk_status rk_put_async(rk_bucket *b,
                       rk_bytes key,
                       rk_bytes value,
                       const rk_opts *o,
                       rk_queue *q,
                       rk_done cb,
                       void *user,
                       rk_op **op);

/* rk_delete without waiting. */
rk_status rk_delete_async(rk_bucket *b,
                          rk_bytes key,
                          const rk_opts *o,
                          rk_queue *q,
                          rk_done cb,
                          void *user,
                          rk_op **op);

/* Asks an operation to end. The callback still runs, with RK_CANCELED or the result. */
void rk_op_cancel(rk_op *op);

/* Ends an operation's handle; the operation goes on. */
void rk_op_free(rk_op *op);

/* Runs a command: status, ring, buckets, create_bucket, explain, events, metrics; alter_bucket, drop_bucket, leave, remove,
   repair and backup are not in this version. json: the arguments, or NULL. The answer is an entry with one value, JSON
   too. out may be NULL.
   explain takes {"bucket": "carts", "key": "text"} or "key_hex": "00ff", and gives partition, replicas (id, number, role,
   state, reachable, error, counts, recovering, record, hints_owed) and reads: what r = 1, 2, ... would answer now.
   events takes {"after": n, "max": m, "timeout_ms": t} and waits for the events after that number, at most 10 s; without
   after it gives the last number. The answer {"events", "last", "missed", "source", "time_ms"} says where to go on: pass
   last as after, source as source and time_ms as since_ms, so that a client that goes on at another member is told. */
rk_status rk_admin(rk_store *s,
                   const char *command,
                   const char *json,
                   rk_entry **out,
                   rk_error *err);

/* Starts size nodes (1 to 32) whose default bucket has n replicas, under the directory path; NULL: each node's disk is in
   memory and forgets what a crash would lose. Returns once every node serves and knows the others. */
rk_status rk_cluster_start(size_t size,
                           uint32_t n,
                           const char *path,
                           rk_cluster **out,
                           rk_error *err);

/* The node in a place, from 0. Freeing the handle leaves the node running; after a restart the place has another node. */
rk_status rk_cluster_node(rk_cluster *c, size_t i, rk_store **out, rk_error *err);

/* Connects a client of all nodes. It reaches every node, however the network between them is cut. */
rk_status rk_cluster_client(rk_cluster *c, rk_store **out, rk_error *err);

/* Ends a node as kill -9 would: nothing is flushed. Killing a dead node does nothing. */
rk_status rk_cluster_kill(rk_cluster *c, size_t i, rk_error *err);

/* Brings the same member back, with what its disk still has; rk_cluster_node then gives it. */
rk_status rk_cluster_restart(rk_cluster *c, size_t i, rk_error *err);

/* Cuts the network between groups of nodes until rk_cluster_heal; a later partition replaces it. nodes holds the nodes of
   all groups, one group behind the other, and sizes how many each group has. Nodes that no group names form one more. */
rk_status rk_cluster_partition(rk_cluster *c,
                               const size_t *nodes,
                               const size_t *sizes,
                               size_t groups,
                               rk_error *err);

/* Mends the network. What the nodes missed of each other they make up for in the background: see rk_cluster_settle. */
rk_status rk_cluster_heal(rk_cluster *c, rk_error *err);

/* Returns once every owner holds the same, and RK_TIMEOUT otherwise. */
rk_status rk_cluster_settle(rk_cluster *c, int64_t timeout_ms, rk_error *err);

/* Closes every node and ends the cluster. */
void rk_cluster_free(rk_cluster *c);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

/* Bytes from memory, and from a string literal without its zero byte. */
static inline rk_bytes rk_buf(const void *p, size_t n) { rk_bytes b; b.data = p; b.len = n; return b; }
#define rk_str(lit) rk_buf((lit), sizeof(lit) - 1)

#endif
