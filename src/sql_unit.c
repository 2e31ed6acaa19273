/* sql_unit.c: a unit and its memory, and what can be said about a statement's text without a
 * database (see sql.h). No thread, no lock: whoever has the unit has it alone. */
#include "sql.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define CHUNK_BYTES     1024        /* most units fit into one */
#define CHUNK_MAX_BYTES (64 * 1024) /* answers grow by this */
#define ALIGNMENT       8           /* no type in here needs more */

struct om_sql_chunk {
  struct om_sql_chunk *older;
  size_t size;
  size_t used;
  char data[];
};

static void free_chunks(struct om_sql_chunk *from, const struct om_sql_chunk *to) {
  while (from != to) {
    struct om_sql_chunk *older = from->older;
    free(from);
    from = older;
  }
}

static void destroy(struct om_job *job) {
  struct om_sql_unit *unit = (struct om_sql_unit *)job;
  free_chunks(unit->arena, NULL);
  free(unit);
}

static const struct om_job_type unit_type = {"unit", destroy};

struct om_sql_unit *om_sql_unit_new(struct om_sql_store *store, struct om_port *port) {
  struct om_sql_unit *unit = calloc(1, sizeof *unit);
  if (unit != NULL) {
    om_job_init(&unit->job, &unit_type, port);
    unit->store = store;
  }
  return unit;
}

void *om_sql_alloc(struct om_sql_unit *unit, size_t size) {
  struct om_sql_chunk *chunk = unit->arena;
  size = (size + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);
  if (chunk == NULL || chunk->size - chunk->used < size) {
    size_t room = chunk == NULL ? CHUNK_BYTES : chunk->size * 2;
    room = room > CHUNK_MAX_BYTES ? CHUNK_MAX_BYTES : room;
    room = room < size ? size : room;
    chunk = malloc(sizeof *chunk + room);
    if (chunk == NULL) {
      return NULL;
    }
    chunk->older = unit->arena;
    chunk->size = room;
    chunk->used = 0;
    unit->arena = chunk;
  }
  void *memory = chunk->data + chunk->used;
  chunk->used += size;
  return memory;
}

void om_sql_unit_keep(struct om_sql_unit *unit) {
  unit->kept = unit->arena;
  unit->kept_used = unit->arena->used;
}

void om_sql_unit_rewind(struct om_sql_unit *unit) {
  free_chunks(unit->arena, unit->kept);
  unit->arena = unit->kept;
  unit->arena->used = unit->kept_used;
  unit->answer_bytes = 0;
  unit->answer_rows = 0;
  unit->failed = 0;
  unit->error.fault = OM_SQL_FINE;
  for (int i = 0; i < unit->statement_count; i++) {
    struct om_sql_statement *statement = &unit->statements[i];
    statement->column_count = 0;
    statement->columns = NULL;
    statement->rows = NULL;
    statement->tail = NULL;
    statement->row_count = 0;
    statement->changes = 0;
  }
}

bool om_sql_fail(struct om_sql_error *error, enum om_sql_fault fault, int code, const char *format,
                 ...) {
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(error->text, sizeof error->text, format, arguments);
  va_end(arguments);
  error->fault = fault;
  error->code = code;
  return false;
}

/* ---- texts ---- */

/* Behind a comment or a quoted piece that begins at text, or text itself. What does not end ends
 * with the text: the database will say so. */
static const char *skip_piece(const char *text) {
  const char *end = text;
  if (text[0] == '-' && text[1] == '-') {
    end = strchr(text, '\n');
  } else if (text[0] == '/' && text[1] == '*') {
    end = strstr(text + 2, "*/");
    end = end != NULL ? end + 2 : NULL;
  } else if (text[0] == '\'' || text[0] == '"') {
    end = strchr(text + 1, text[0]); /* a doubled quote is two pieces */
    end = end != NULL ? end + 1 : NULL;
  }
  return end != NULL ? end : text + strlen(text);
}

bool om_sql_is_word(const char *text, const char *word) {
  size_t length = strlen(word);
  return strncasecmp(text, word, length) == 0 &&
         strspn(text + length, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") ==
             0;
}

const char *om_sql_first_word(const char *text) {
  for (;;) {
    text += strspn(text, " \t\r\n\f(");
    const char *behind = skip_piece(text);
    if (behind == text || *text == '\'' || *text == '"') {
      return text;
    }
    text = behind;
  }
}

bool om_sql_only_reads(const char *text) {
  text = om_sql_first_word(text);
  return om_sql_is_word(text, "SELECT") || om_sql_is_word(text, "VALUES");
}

uint64_t om_sql_hash(const char *text, size_t length) {
  uint64_t hash = 14695981039346656037u;
  for (size_t i = 0; i < length; i++) {
    hash = (hash ^ (unsigned char)text[i]) * 1099511628211u;
  }
  return hash;
}

int om_sql_placeholders(const char *text) {
  int highest = 0;
  for (text += strcspn(text, "$'\"-/"); *text != '\0'; text += strcspn(text, "$'\"-/")) {
    const char *behind = skip_piece(text);
    if (*text == '$') {
      int number = 0;
      for (behind = text + 1; *behind >= '0' && *behind <= '9' && number <= OM_SQL_MAX_VALUES;
           behind++) {
        number = number * 10 + (*behind - '0');
      }
      highest = number > highest ? number : highest;
    }
    text = behind > text ? behind : text + 1;
  }
  return highest;
}
