/* Expectations: whether what a step gave is what its case expects. */
#define _POSIX_C_SOURCE 200809L
#include "world.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define NOT(...) return snprintf(why, room, __VA_ARGS__), 0

static int equal(rk_bytes a, rk_bytes b) { return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0); }

static int is(world *w, json_t *expected, rk_bytes found) {
  int good;
  rk_bytes bytes = bytes_of(w, expected, &good);
  return good && equal(bytes, found);
}

static int contains(const char *text, const char *part) {
  size_t len = strlen(part);
  for (; *text; text++) {
    size_t i = 0;
    while (i < len && tolower((unsigned char)text[i]) == tolower((unsigned char)part[i])) i++;
    if (i == len) return 1;
  }
  return len == 0;
}

static int error_meets(world *w, json_t *expected, const given *g, char *why, size_t room) {
  const char *found = rk_status_name(g->status), *name;
  json_t *code = json_object_get(expected, "code"), *part;
  size_t index;
  int any = json_is_string(code) && strcmp(json_string_value(code), found) == 0;
  json_array_foreach(code, index, part) any |= strcmp(json_string_value(part), found) == 0;
  if (!any) NOT("gave %s (%s)", found, g->error.message);
  /* A conflict is an outcome in C: it has an entry and no error. */
  if (g->status == RK_CONFLICT) return 1;
  json_object_foreach(expected, name, part) {
    if (strcmp(name, "code") == 0) continue;
    if (strcmp(name, "retryable") == 0) {
      if (json_is_true(part) != g->error.retryable) NOT("retryable is %d", g->error.retryable);
    } else if (strcmp(name, "maybe_applied") == 0) {
      if (json_is_true(part) != g->error.maybe_applied) NOT("maybe_applied is %d", g->error.maybe_applied);
    } else if (strcmp(name, "message_contains") == 0) {
      json_t *words;
      json_array_foreach(part, index, words) {
        if (!contains(g->error.message, text_of(w, words))) NOT("the message lacks %s: %s", text_of(w, words), g->error.message);
      }
    } else if (strcmp(name, "fields") == 0) {
      json_t *needed = json_object_get(part, "needed"), *received = json_object_get(part, "received");
      if (needed && json_integer_value(needed) != g->error.needed) NOT("needed is %d", g->error.needed);
      if (received && json_integer_value(received) != g->error.received) NOT("received is %d", g->error.received);
    } else NOT("unknown expectation error.%s", name);
  }
  return 1;
}

static int same_set(world *w, json_t *expected, const rk_bytes *found, size_t count) {
  char *used = keep(w, count);
  size_t index;
  json_t *one;
  if (json_array_size(expected) != count) return 0;
  json_array_foreach(expected, index, one) {
    size_t i = 0;
    while (i < count && (used[i] || !is(w, one, found[i]))) i++;
    if (i == count) return 0;
    used[i] = 1;
  }
  return 1;
}

static int siblings_meet(world *w, json_t *expected, const given *g, char *why, size_t room) {
  size_t count = rk_entry_count(g->entry);
  rk_bytes *found = keep(w, count * sizeof *found);
  for (size_t i = 0; i < count; i++) found[i] = rk_entry_value(g->entry, i);
  if (!same_set(w, expected, found, count)) NOT("there are %zu other siblings", count);
  return 1;
}

static int expires_meet(json_t *expected, const given *g, char *why, size_t room) {
  for (size_t i = 0; i < rk_entry_count(g->entry); i++) {
    int64_t at = rk_entry_expires_ms(g->entry, i);
    if (json_is_string(expected)) {
      if (at != -1) NOT("sibling %zu expires", i);
      continue;
    }
    int64_t due = (int64_t)time(NULL) * 1000 + json_integer_value(json_object_get(expected, "after_ms"));
    if (at < due - 60000 || at > due + 60000) NOT("sibling %zu expires at %lld", i, (long long)at);
  }
  return 1;
}

static int each_meets(world *w, json_t *expected, const given *g, char *why, size_t room) {
  size_t index;
  json_t *one;
  if (json_array_size(expected) != g->items_count) NOT("there are %zu results", g->items_count);
  json_array_foreach(expected, index, one) {
    const item *found = &g->items[index];
    const char *word = json_string_value(one), *code = json_string_value(json_object_get(one, "error"));
    int good;
    if (code) good = strcmp(rk_status_name(found->status), code) == 0;
    else if (word && strcmp(word, "absent") == 0) good = found->status == RK_NOT_FOUND;
    else if (word) good = strcmp(word, "stored") == 0 && found->status == RK_OK;
    else good = found->status == RK_OK && is(w, json_object_get(one, "value"), found->value);
    if (!good) NOT("result %zu is %s", index, rk_status_name(found->status));
  }
  return 1;
}

static int items_meet(world *w, json_t *expected, const given *g, char *why, size_t room) {
  size_t index;
  json_t *one;
  if (json_array_size(expected) != g->items_count) NOT("there are %zu items", g->items_count);
  json_array_foreach(expected, index, one) {
    const item *found = &g->items[index];
    json_t *value = json_array_get(one, 1);
    const char *code = json_string_value(json_object_get(value, "error"));
    int good = is(w, json_array_get(one, 0), found->key);
    if (code) good = good && strcmp(rk_status_name(found->status), code) == 0;
    else good = good && found->status == RK_OK && is(w, value, found->value);
    if (!good) NOT("item %zu is another", index);
  }
  return 1;
}

static int names_meet(world *w, json_t *expected, const given *g, char *why, size_t room) {
  size_t count = json_array_size(g->answer), index;
  rk_bytes *found = keep(w, count * sizeof *found);
  json_t *one;
  json_array_foreach(g->answer, index, one) {
    const char *name = json_string_value(json_object_get(one, "name"));
    found[index] = rk_buf(name, strlen(name));
  }
  if (!same_set(w, expected, found, count)) NOT("there are %zu other buckets", count);
  return 1;
}

/* Whether each text is in one of those that the field of this name has among the parts. */
static int texts_meet(json_t *expected, json_t *parts, const char *name) {
  size_t index, at;
  json_t *wanted, *part;
  json_array_foreach(expected, index, wanted) {
    int found = 0;
    json_array_foreach(parts, at, part) {
      const char *text = json_string_value(json_object_get(part, name));
      found |= text != NULL && contains(text, json_string_value(wanted));
    }
    if (!found) return 0;
  }
  return 1;
}

/* How many replicas are what a case asks for. */
static json_int_t counted(json_t *replicas, const char *what) {
  size_t index;
  json_t *replica;
  json_int_t count = 0;
  json_array_foreach(replicas, index, replica) {
    const char *role = json_string_value(json_object_get(replica, "role"));
    if (strcmp(what, "reachable") == 0) count += json_is_true(json_object_get(replica, "reachable"));
    else if (strcmp(what, "counting") == 0) count += json_is_true(json_object_get(replica, "counts"));
    else if (strcmp(what, "holding") == 0) count += json_is_object(json_object_get(replica, "record"));
    else count += role != NULL && strcmp(role, what) == 0;
  }
  return count;
}

static int held_meets(json_t *expected, json_t *replicas, char *why, size_t room) {
  size_t index;
  json_t *replica, *hash = NULL, *wanted;
  json_array_foreach(replicas, index, replica) {
    json_t *record = json_object_get(replica, "record");
    const char *name;
    if (!json_is_object(record)) continue;
    json_object_foreach(expected, name, wanted) {
      if (!json_equal(wanted, json_object_get(record, name))) NOT("replica %zu holds other %s", index, name);
    }
    if (hash != NULL && !json_equal(hash, json_object_get(record, "hash"))) NOT("the replicas differ");
    hash = json_object_get(record, "hash");
  }
  return 1;
}

/* What explain and events give. */
static int inquiry_meets(const char *name, json_t *expected, const given *g, char *why, size_t room) {
  json_t *replicas = json_object_get(g->answer, "replicas"), *reads = json_object_get(g->answer, "reads"), *wanted;
  size_t index;
  const char *what;
  if (strcmp(name, "partition") == 0) {
    json_t *partition = json_object_get(g->answer, "partition");
    if (!json_equal(partition, expected)) NOT("the partition is %lld", (long long)json_integer_value(partition));
  } else if (strcmp(name, "reads") == 0) {
    if (json_array_size(reads) != json_array_size(expected)) NOT("there are %zu reads", json_array_size(reads));
    json_array_foreach(expected, index, wanted) {
      json_t *answer = json_object_get(json_array_get(reads, index), "answer");
      if (!json_equal(answer, wanted)) NOT("read %zu answers %s", index + 1, json_string_value(answer));
    }
  } else if (strcmp(name, "replicas") == 0) {
    json_object_foreach(expected, what, wanted) {
      json_int_t count = counted(replicas, what);
      if (count != json_integer_value(wanted)) NOT("%lld replicas are %s", (long long)count, what);
    }
  } else if (strcmp(name, "held") == 0) return held_meets(expected, replicas, why, room);
  else if (strcmp(name, "reason_contains") == 0) {
    if (!texts_meet(expected, reads, "reason")) NOT("no reason says so");
  } else if (strcmp(name, "detail_contains") == 0) {
    const char *detail = json_string_value(json_object_get(g->answer, "detail"));
    json_array_foreach(expected, index, wanted) {
      if (detail == NULL || !contains(detail, json_string_value(wanted))) NOT("the detail is %s", detail ? detail : "missing");
    }
  } else NOT("unknown expectation %s", name);
  return 1;
}

static int field_meets(world *w, const char *name, json_t *expected, const given *g, char *why, size_t room) {
  json_int_t number = json_integer_value(expected);
  if (strcmp(name, "value") == 0) {
    if (!g->has_value || g->absent) NOT("there is no value");
    if (!is(w, expected, g->value)) NOT("the value is %.*s", (int)(g->value.len > 60 ? 60 : g->value.len), (const char *)g->value.data);
  } else if (strcmp(name, "absent") == 0) {
    if (!g->has_value || !g->absent) NOT("there is a value");
  } else if (strcmp(name, "siblings") == 0) return siblings_meet(w, expected, g, why, room);
  else if (strcmp(name, "conflicted") == 0) {
    if ((rk_entry_count(g->entry) > 1) != json_is_true(expected)) NOT("%zu siblings", rk_entry_count(g->entry));
  } else if (strcmp(name, "expires") == 0) return expires_meet(expected, g, why, room);
  else if (strcmp(name, "owners") == 0) {
    if (rk_receipt_owners(g->receipt) != number) NOT("owners is %d", rk_receipt_owners(g->receipt));
  } else if (strcmp(name, "owners_min") == 0) {
    if (rk_receipt_owners(g->receipt) < number) NOT("owners is %d", rk_receipt_owners(g->receipt));
  } else if (strcmp(name, "fallbacks") == 0) {
    if (rk_receipt_fallbacks(g->receipt) != number) NOT("fallbacks is %d", rk_receipt_fallbacks(g->receipt));
  } else if (strcmp(name, "each") == 0) return each_meets(w, expected, g, why, room);
  else if (strcmp(name, "items") == 0) return items_meet(w, expected, g, why, room);
  else if (strcmp(name, "items_count") == 0) {
    if ((json_int_t)g->items_count != number) NOT("there are %zu items", g->items_count);
  } else if (strcmp(name, "first") == 0) {
    if (g->items_count == 0 || !is(w, expected, g->items[0].key)) NOT("the first key is another");
  } else if (strcmp(name, "last") == 0) {
    if (g->items_count == 0 || !is(w, expected, g->items[g->items_count - 1].key)) NOT("the last key is another");
  } else if (strcmp(name, "count") == 0) {
    if ((json_int_t)g->count != number) NOT("the count is %llu", (unsigned long long)g->count);
  } else if (strcmp(name, "names") == 0) return names_meet(w, expected, g, why, room);
  else if (strcmp(name, "health") == 0) {
    const char *health = json_string_value(json_object_get(g->answer, "health"));
    if (health == NULL || strcmp(health, json_string_value(expected)) != 0) NOT("health is %s", health ? health : "unknown");
  } else if (strcmp(name, "members") == 0) {
    size_t members = json_array_size(json_object_get(g->answer, "members"));
    if ((json_int_t)members != number) NOT("there are %zu members", members);
  } else if (strcmp(name, "available") == 0) {
    if (json_is_true(json_object_get(g->answer, "available")) != json_is_true(expected)) NOT("available is another");
  } else return inquiry_meets(name, expected, g, why, room);
  return 1;
}

int meets(world *w, json_t *step, const given *g, char *why, size_t room) {
  json_t *expect = json_object_get(step, "expect"), *expected;
  const char *name;
  if (json_object_get(expect, "error")) return error_meets(w, json_object_get(expect, "error"), g, why, room);
  if (json_object_get(expect, "aborted")) {
    if (g->status != RK_CANCELED) NOT("gave %s, not what the merge function gave", rk_status_name(g->status));
    return 1;
  }
  /* The failures of single items are these items' own. */
  int items_own = g->status == RK_PARTIAL && json_object_get(expect, "each") != NULL;
  if ((g->status < 0 && !items_own) || g->status == RK_CONFLICT) {
    NOT("failed with %s: %s", rk_status_name(g->status), g->error.message);
  }
  json_object_foreach(expect, name, expected) {
    if (!field_meets(w, name, expected, g, why, room)) return 0;
  }
  return 1;
}
