/* Runs the behaviour suite through the C API: runner FILE.json... ; CASE=name runs one case alone.
   Closes on "N passed, N failed, N skipped". */
#define _POSIX_C_SOURCE 200809L
#include "world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int passed, failed, skipped;

static void run_case(const char *file, json_t *one) {
  static const char *const known[] = { "name", "setup", "steps", "skip" };
  const char *name = json_string_value(json_object_get(one, "name")), *only = getenv("CASE"), *field;
  size_t index;
  json_t *step, *value;
  world w;
  if (only != NULL && strcmp(only, name) != 0) return;
  if (json_object_get(json_object_get(one, "skip"), "c")) {
    skipped++;
    return;
  }
  world_begin(&w);
  json_object_foreach(one, field, value) {
    size_t i = 0;
    while (i < 4 && strcmp(known[i], field) != 0) i++;
    if (i == 4) fail(&w, "unknown field %s", field);
  }
  size_t at = 0;
  int good = w.fault[0] == 0 && setup(&w, json_object_get(one, "setup"));
  json_array_foreach(json_object_get(one, "steps"), index, step) {
    if (!good) break;
    at = index + 1;
    good = run_step(&w, step);
  }
  if (good) passed++;
  else {
    failed++;
    printf("FAILED %s %s step %zu: %s\n", file, name, at, w.fault);
  }
  fflush(stdout);
  world_end(&w);
}

int main(int count, char **files) {
  for (int i = 1; i < count; i++) {
    json_error_t fault;
    json_t *file = json_load_file(files[i], JSON_ALLOW_NUL, &fault), *one;
    size_t index;
    if (file == NULL) {
      printf("FAILED %s:%d: %s\n", files[i], fault.line, fault.text);
      failed++;
      continue;
    }
    json_array_foreach(json_object_get(file, "cases"), index, one) run_case(files[i], one);
    json_decref(file);
  }
  printf("%d passed, %d failed, %d skipped\n", passed, failed, skipped);
  return failed != 0;
}
