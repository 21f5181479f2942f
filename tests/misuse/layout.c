/* The header's constants and layouts, as programs that are compiled already rely on them: none may ever change. */
#include <ringkeep.h>
#include <stdio.h>
#include <string.h>

static int bad;
#define HOLDS(what) \
  do { if (!(what)) { printf("%s:%d: %s\n", __FILE__, __LINE__, #what); bad = 1; } } while (0)

int main(void) {
  rk_error error = RK_ERROR_INIT;
  rk_opts opts = RK_OPTS_INIT;
  rk_range range = RK_RANGE_ALL;
  rk_bytes text = rk_str("abc");
  HOLDS(rk_api_version() == RK_API_VERSION && RK_API_VERSION == 1u);
  HOLDS(RK_OK == 0 && RK_NOT_FOUND == 1 && RK_CONFLICT == 2 && RK_END == 3);
  HOLDS(RK_TIMEOUT == -1 && RK_QUORUM_UNAVAILABLE == -2 && RK_INVALID_ARGUMENT == -3 && RK_CLOSED == -4);
  HOLDS(RK_LOCKED == -5 && RK_FORKED == -6 && RK_OVERLOADED == -7 && RK_CORRUPTION == -8 && RK_IO == -9);
  HOLDS(RK_UNAUTHORIZED == -10 && RK_VERSION_MISMATCH == -11 && RK_CANCELED == -12 && RK_NOMEM == -13);
  HOLDS(RK_TOO_MANY_SIBLINGS == -14 && RK_STORAGE_FULL == -15 && RK_NO_SUCH_BUCKET == -16);
  HOLDS(RK_CLOCK_SKEW == -17 && RK_PARTIAL == -18 && RK_INTERNAL == -99);
  HOLDS(RK_DEFAULT == 0 && RK_ONE == 1 && RK_QUORUM == 2 && RK_ALL == 3);
  HOLDS(RK_LOCAL_ONE == 4 && RK_LOCAL_QUORUM == 5 && RK_EACH_QUORUM == 6);
  HOLDS(offsetof(rk_error, size) == 0 && offsetof(rk_error, code) == 4 && offsetof(rk_error, needed) == 8);
  HOLDS(offsetof(rk_error, received) == 12 && offsetof(rk_error, maybe_applied) == 16);
  HOLDS(offsetof(rk_error, retryable) == 17 && offsetof(rk_error, message) == 18 && sizeof(error.message) == 512);
  HOLDS(offsetof(rk_opts, size) == 0 && offsetof(rk_opts, consistency) == 4 && offsetof(rk_opts, r) == 8);
  HOLDS(offsetof(rk_opts, w) == 12 && offsetof(rk_opts, sloppy) == 16 && offsetof(rk_opts, timeout_ms) == 24);
  HOLDS(offsetof(rk_opts, ttl_ms) == 32 && offsetof(rk_opts, context) == 40);
  HOLDS(sizeof(rk_bytes) == 2 * sizeof(void *) && offsetof(rk_range, limit) == 3 * sizeof(rk_bytes));
  HOLDS(error.size == sizeof error && error.code == RK_OK && error.message[0] == 0);
  HOLDS(opts.size == sizeof opts && opts.r == -1 && opts.w == -1 && opts.sloppy == -1);
  HOLDS(opts.timeout_ms == -1 && opts.ttl_ms == -1 && opts.context.data == NULL && range.limit == -1);
  HOLDS(text.len == 3 && memcmp(text.data, "abc", 3) == 0);
  HOLDS(strcmp(rk_status_name(RK_TIMEOUT), "TIMEOUT") == 0 && strcmp(rk_status_name(12345), "UNKNOWN") == 0);
  return bad;
}
