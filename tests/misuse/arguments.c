/* Arguments that no function takes: NULLs, wrong sizes and numbers, functions that merge wrongly. Each is refused with a
   message, and nothing crashes. */
#include "misuse.h"

void nulls_are_refused(void) {
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
  rk_cluster_free(NULL);
  rk_free(NULL);
  void *none = rk_alloc(0);
  HOLDS(none != NULL);
  rk_free(none);
}

void a_test_cluster_refuses_what_it_cannot_do(void) {
  rk_cluster *c = (rk_cluster *)1;
  rk_store *node = (rk_store *)1, *client = NULL;
  rk_bucket *b = NULL;
  rk_entry *e = NULL;
  size_t nodes[2] = { 0, 0 }, ones[2] = { 1, 1 }, vast[2] = { SIZE_MAX, 2 };
  REFUSED(rk_cluster_start(0, 3, NULL, &c, &err));
  HOLDS(c == NULL);
  REFUSED(rk_cluster_start(33, 3, NULL, &c, &err));
  REFUSED(rk_cluster_start(1, 0, NULL, &c, &err));
  REFUSED(rk_cluster_start(1, 1, NULL, NULL, &err));
  REFUSED(rk_cluster_node(NULL, 0, &node, &err));
  HOLDS(node == NULL);
  REFUSED(rk_cluster_client(NULL, &client, &err));
  REFUSED(rk_cluster_kill(NULL, 0, &err));
  REFUSED(rk_cluster_restart(NULL, 0, &err));
  REFUSED(rk_cluster_partition(NULL, nodes, ones, 1, &err));
  REFUSED(rk_cluster_heal(NULL, &err));
  REFUSED(rk_cluster_settle(NULL, 10, &err));
  GIVES(RK_OK, rk_cluster_start(1, 1, NULL, &c, &err));
  REFUSED(rk_cluster_node(c, 1, &node, &err));
  REFUSED(rk_cluster_node(c, 0, NULL, &err));
  REFUSED(rk_cluster_client(c, NULL, &err));
  REFUSED(rk_cluster_kill(c, SIZE_MAX, &err));
  REFUSED(rk_cluster_restart(c, 1, &err));
  REFUSED(rk_cluster_partition(c, nodes, ones, 2, &err));
  REFUSED(rk_cluster_partition(c, NULL, ones, 1, &err));
  REFUSED(rk_cluster_partition(c, nodes, NULL, 1, &err));
  REFUSED(rk_cluster_partition(c, nodes, vast, 2, &err));
  REFUSED(rk_cluster_partition(c, nodes, vast, 1, &err));
  REFUSED(rk_cluster_partition(c, nodes, ones, SIZE_MAX, &err));
  REFUSED(rk_cluster_settle(c, -1, &err));
  GIVES(RK_OK, rk_cluster_partition(c, NULL, NULL, 0, &err));
  GIVES(RK_OK, rk_cluster_heal(c, &err));
  /* The end of a node's handle leaves the node running. */
  GIVES(RK_OK, rk_cluster_node(c, 0, &node, &err));
  rk_store_free(node);
  GIVES(RK_OK, rk_cluster_client(c, &client, &err));
  GIVES(RK_OK, rk_bucket_open(client, NULL, &b, &err));
  GIVES(RK_OK, rk_put(b, rk_str("k"), rk_str("v"), NULL, NULL, &err));
  GIVES(RK_OK, rk_admin(client, "explain", "{\"key\": \"k\"}", &e, &err));
  HOLDS(rk_entry_value(e, 0).len > 0);
  rk_entry_free(e);
  GIVES(RK_OK, rk_cluster_node(c, 0, &node, &err));
  GIVES(RK_OK, rk_cluster_kill(c, 0, &err));
  GIVES(RK_CLOSED, rk_admin(node, "status", NULL, &e, &err));
  rk_store_free(node);
  GIVES(RK_OK, rk_cluster_restart(c, 0, &err));
  GIVES(RK_OK, rk_cluster_settle(c, 10000, &err));
  rk_bucket_free(b);
  rk_store_free(client);
  rk_cluster_free(c);
}

static void heard(void *user, rk_status s, const rk_entry *entry, const rk_receipt *receipt, const rk_error *error) {
  (void)user;
  (void)s;
  (void)entry;
  (void)receipt;
  (void)error;
}

/* The program has said nothing of SIGPIPE, so that it would end it. */
void a_peer_that_dies_raises_no_signal(void) {
  rk_cluster *c = NULL;
  rk_store *node = NULL;
  rk_bucket *b = NULL;
  rk_opts one = RK_OPTS_INIT;
  one.w = 1;
  GIVES(RK_OK, rk_cluster_start(2, 2, NULL, &c, &err));
  GIVES(RK_OK, rk_cluster_node(c, 0, &node, &err));
  GIVES(RK_OK, rk_bucket_open(node, NULL, &b, &err));
  for (int round = 0; round < 10; round++) {
    rk_op *ops[64];
    for (size_t i = 0; i < 64; i++) rk_put_async(b, rk_str("k"), rk_str("v"), &one, NULL, heard, NULL, &ops[i]);
    GIVES(RK_OK, rk_cluster_kill(c, 1, &err));
    for (size_t i = 0; i < 64; i++) rk_op_free(ops[i]);
    GIVES(RK_OK, rk_put(b, rk_str("k"), rk_str("v"), &one, NULL, &err));
    GIVES(RK_OK, rk_cluster_restart(c, 1, &err));
  }
  rk_bucket_free(b);
  rk_store_free(node);
  rk_cluster_free(c);
}

void wrong_arguments_are_refused(void) {
  rk_store *s = memory();
  rk_bucket *b = default_bucket(s);
  rk_entry *e = NULL, *entries[3];
  rk_iter *it = NULL;
  rk_bytes key = rk_str("k"), hollow = rk_buf(NULL, 5), vast = rk_buf("x", SIZE_MAX);
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
  REFUSED(rk_admin(s, "explain", NULL, &e, &err));
  REFUSED(rk_admin(s, "explain", "{\"key\": \"k\", \"key_hex\": \"00\"}", &e, &err));
  REFUSED(rk_admin(s, "explain", "{\"key_hex\": \"0\"}", &e, &err));
  REFUSED(rk_admin(s, "explain", "{\"key_hex\": \"zz\"}", &e, &err));
  REFUSED(rk_admin(s, "explain", "{\"key\": \"\"}", &e, &err));
  REFUSED(rk_admin(s, "events", "{\"after\": -1}", &e, &err));
  REFUSED(rk_admin(s, "events", "{\"max\": 0}", &e, &err));
  REFUSED(rk_admin(s, "events", "{\"timeout_ms\": 1e9}", &e, &err));
  REFUSED(rk_admin(s, "events", "{\"dance\": 1}", &e, &err));
  REFUSED(rk_admin(s, "leave", NULL, &e, &err));
  HOLDS(strstr(err.message, "not in this version") != NULL);
  REFUSED(rk_bucket_open(s, "", (rk_bucket **)&it, &err));
  REFUSED(rk_ready(s, -2, &err));
  REFUSED(rk_ready(s, 0, &err));
  REFUSED(rk_close(s, -7, &err));
  rk_bucket_free(b);
  rk_store_free(s);
}

void wrong_numbers_are_refused(void) {
  rk_store *s = memory();
  rk_bucket *b = default_bucket(s);
  rk_entry *e = NULL;
  rk_iter *it = NULL;
  uint64_t number;
  rk_bytes key = rk_str("k");
  rk_range range = RK_RANGE_ALL;
  rk_error small = RK_ERROR_INIT;
  range.limit = -2;
  REFUSED(rk_scan(b, &range, NULL, &it, &err));
  range.limit = -1;
  range.prefix = rk_buf(NULL, 5);
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

void an_update_ends_as_its_function_says(void) {
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

void every_item_has_its_own_status(void) {
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
