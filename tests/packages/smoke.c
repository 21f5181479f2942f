/* What a stranger tries first with the installed C library: one durable node, a value, a reopening. */
#include <ringkeep.h>
#include <stdio.h>
#include <string.h>

static int check(rk_status status, const rk_error *error, const char *what) {
  if (status == RK_OK) return 0;
  fprintf(stderr, "%s: %s: %s\n", what, rk_status_name(status), error->message);
  return 1;
}

static int visit(int first) {
  rk_error error = RK_ERROR_INIT;
  rk_store *store = NULL;
  rk_bucket *bucket = NULL;
  rk_entry *entry = NULL;
  int bad = check(rk_open("data", NULL, &store, &error), &error, "open");
  if (!bad) bad = check(rk_bucket_open(store, NULL, &bucket, &error), &error, "bucket");
  if (!bad && first) bad = check(rk_put(bucket, rk_str("user:1"), rk_str("Ada"), NULL, NULL, &error), &error, "put");
  if (!bad) bad = check(rk_get(bucket, rk_str("user:1"), NULL, &entry, &error), &error, "get");
  if (!bad) {
    rk_bytes value = rk_entry_value(entry, 0);
    bad = value.len != 3 || memcmp(value.data, "Ada", 3) != 0;
  }
  rk_entry_free(entry);
  rk_bucket_free(bucket);
  if (!bad) bad = check(rk_close(store, 5000, &error), &error, "close");
  rk_store_free(store);
  return bad;
}

int main(void) {
  return visit(1) || visit(0) || rk_api_version() != RK_API_VERSION;
}
