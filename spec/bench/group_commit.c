/* group_commit.c: the yardstick of sql_bench.lua: what SQLite itself does, without Lua, threads or
 * savepoints. One connection, WAL, synchronous=FULL, `rows` rows a commit, the same table, row and
 * log length as in the bench.
 *
 *   group_commit FILE ROWS_PER_COMMIT ROWS   prints rows per second
 */
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define BODY_BYTES 300 /* about a stored confirmation */

static double now(void) {
  struct timespec at;
  clock_gettime(CLOCK_MONOTONIC, &at);
  return (double)at.tv_sec + (double)at.tv_nsec / 1e9;
}

static void check(sqlite3 *db, int code) {
  if (code != SQLITE_OK && code != SQLITE_DONE) {
    fprintf(stderr, "group_commit: %s\n", sqlite3_errmsg(db));
    exit(1);
  }
}

static void run(sqlite3 *db, sqlite3_stmt *statement) {
  check(db, sqlite3_step(statement));
  check(db, sqlite3_reset(statement));
}

static sqlite3_stmt *prepare(sqlite3 *db, const char *text) {
  sqlite3_stmt *statement = NULL;
  check(db, sqlite3_prepare_v2(db, text, -1, &statement, NULL));
  return statement;
}

int main(int argc, char **argv) {
  sqlite3 *db = NULL;
  char id[32];
  char body[BODY_BYTES];
  if (argc != 4) {
    fprintf(stderr, "usage: group_commit FILE ROWS_PER_COMMIT ROWS\n");
    return 1;
  }
  int per_commit = (int)strtol(argv[2], NULL, 10);
  int rows = (int)strtol(argv[3], NULL, 10);
  memset(body, 'b', sizeof body);
  check(db, sqlite3_open(argv[1], &db));
  check(db, sqlite3_exec(db,
                         "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"
                         "PRAGMA wal_autocheckpoint=4096; PRAGMA cache_size=-16384;"
                         "CREATE TABLE t(id TEXT PRIMARY KEY, body TEXT, due_at BIGINT)",
                         NULL, NULL, NULL));
  sqlite3_stmt *begin = prepare(db, "BEGIN IMMEDIATE");
  sqlite3_stmt *commit = prepare(db, "COMMIT");
  sqlite3_stmt *insert = prepare(db, "INSERT INTO t(id, body, due_at) VALUES($1, $2, $3)");
  double start = now();
  for (int row = 0; row < rows;) {
    run(db, begin);
    for (int i = 0; i < per_commit && row < rows; i++, row++) {
      int length = snprintf(id, sizeof id, "payment-%010d", row);
      check(db, sqlite3_bind_text(insert, 1, id, length, SQLITE_STATIC));
      check(db, sqlite3_bind_text(insert, 2, body, BODY_BYTES, SQLITE_STATIC));
      check(db, sqlite3_bind_int64(insert, 3, 1700000000000 + row));
      run(db, insert);
    }
    run(db, commit);
  }
  printf("%.0f\n", rows / (now() - start));
  sqlite3_finalize(begin);
  sqlite3_finalize(commit);
  sqlite3_finalize(insert);
  sqlite3_close(db);
  return 0;
}
