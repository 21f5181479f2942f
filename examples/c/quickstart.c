/* One node in memory: a value, a read-modify-write, a scan.
   cc quickstart.c $(pkg-config --cflags --libs ringkeep) */
#include <ringkeep.h>
#include <stdio.h>
#include <string.h>

/* Merges concurrent visits by keeping the longest text, and adds one. */
static rk_status visit(void *user, const rk_entry *siblings, rk_bytes *value) {
  rk_bytes longest = { "", 0 };
  size_t i;
  char *text;
  (void)user;
  for (i = 0; i < rk_entry_count(siblings); i++) {
    rk_bytes one = rk_entry_value(siblings, i);
    if (one.len > longest.len) longest = one;
  }
  text = rk_alloc(longest.len + 1);
  if (text == NULL) return RK_NOMEM;
  memcpy(text, longest.data, longest.len);
  text[longest.len] = '|';
  *value = rk_buf(text, longest.len + 1);
  return RK_OK;
}

int main(void) {
  rk_error error = RK_ERROR_INIT;
  rk_store *store = NULL;
  rk_bucket *bucket = NULL;
  rk_entry *entry = NULL;
  rk_iter *scan = NULL;
  rk_bytes key;
  const rk_entry *item;
  int failed = 1;

  if (rk_open(NULL, NULL, &store, &error) != RK_OK) goto end;
  if (rk_bucket_open(store, NULL, &bucket, &error) != RK_OK) goto end;
  if (rk_put(bucket, rk_str("user:1"), rk_str("Ada"), NULL, NULL, &error) != RK_OK) goto end;
  if (rk_update(bucket, rk_str("visits"), visit, NULL, NULL, &entry, &error) != RK_OK) goto end;
  printf("visits: %.*s\n", (int)rk_entry_value(entry, 0).len, (const char *)rk_entry_value(entry, 0).data);

  if (rk_scan(bucket, NULL, NULL, &scan, &error) != RK_OK) goto end;
  while (rk_iter_next(scan, &key, &item, &error) == RK_OK) {
    rk_bytes value = rk_entry_value(item, 0);
    printf("%.*s = %.*s\n", (int)key.len, (const char *)key.data, (int)value.len, (const char *)value.data);
  }
  failed = error.code != RK_END;

end:
  if (failed) fprintf(stderr, "%s: %s\n", rk_status_name(error.code), error.message);
  rk_iter_free(scan);
  rk_entry_free(entry);
  rk_bucket_free(bucket);
  rk_store_free(store);
  return failed;
}
