/* faults.c: support.faults, a machine that fails to order. For specs only: preloaded into a Lua of
 * its own (support.store's run_with_faults), and loaded there as a module, it stands between the
 * process and the C library. Counts begin anew with every fault that is ordered. Linux, glibc.
 *
 *   memory(n)              the n-th allocation of a thread that is not the main one fails, once; 0:
 * none disk(op, n, number[, times])  the n-th such call on a database's files fails with this
 * errno, and those that follow: as many in all as times says, for ever without it. op: "write" and
 * "sync": of the database and its log; "index": writing the log's index. n 0: none seen() ->
 * allocations of other threads, whether one failed, disk calls that failed
 */
#define _GNU_SOURCE
#include <errno.h>
#include <lauxlib.h>
#include <limits.h>
#include <lua.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *memory, size_t size);

#define EXPORT __attribute__((visibility("default")))

enum { WRITE, SYNC, INDEX, OPS };

static long fail_memory; /* all __atomic */
static long allocations;
static long memory_failed;
static long fail_disk[OPS];
static long disk_calls[OPS];
static long disk_times[OPS];
static int disk_errno[OPS];
static long disk_failed;

/* ---- memory ---- */

static int no_memory(void) {
  if (syscall(SYS_gettid) == getpid()) {
    return 0;
  }
  long number = __atomic_add_fetch(&allocations, 1, __ATOMIC_RELAXED);
  if (number != __atomic_load_n(&fail_memory, __ATOMIC_RELAXED)) {
    return 0;
  }
  __atomic_store_n(&memory_failed, 1, __ATOMIC_RELAXED);
  errno = ENOMEM;
  return 1;
}

EXPORT void *malloc(size_t size) {
  return no_memory() ? NULL : __libc_malloc(size);
}

EXPORT void *calloc(size_t count, size_t size) {
  return no_memory() ? NULL : __libc_calloc(count, size);
}

EXPORT void *realloc(void *memory, size_t size) {
  return no_memory() ? NULL : __libc_realloc(memory, size);
}

/* ---- the disk ---- */

static int fails(int op) {
  long first = __atomic_load_n(&fail_disk[op], __ATOMIC_RELAXED);
  if (first == 0) {
    return 0;
  }
  long number = __atomic_add_fetch(&disk_calls[op], 1, __ATOMIC_RELAXED);
  long times = __atomic_load_n(&disk_times[op], __ATOMIC_RELAXED);
  if (number < first || (times > 0 && number >= first + times)) {
    return 0;
  }
  __atomic_add_fetch(&disk_failed, 1, __ATOMIC_RELAXED);
  errno = disk_errno[op];
  return 1;
}

/* Is it a database's? -1: no; else what writing to it is called. */
static int database_of(int fd) {
  char link[40];
  char path[PATH_MAX];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, path, sizeof path - 1);
  if (length < 0) {
    return -1;
  }
  path[length] = '\0';
  if (strstr(path, ".db") == NULL) {
    return -1;
  }
  return strstr(path, "-shm") != NULL ? INDEX : WRITE;
}

static int no_write(int fd) {
  int before = errno;
  int op = database_of(fd);
  if (op >= 0 && fails(op)) {
    return 1;
  }
  errno = before;
  return 0;
}

EXPORT ssize_t write(int fd, const void *bytes, size_t count) {
  return no_write(fd) ? -1 : (ssize_t)syscall(SYS_write, fd, bytes, count);
}

EXPORT ssize_t pwrite(int fd, const void *bytes, size_t count, off_t at) {
  return no_write(fd) ? -1 : (ssize_t)syscall(SYS_pwrite64, fd, bytes, count, at);
}

EXPORT ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t at) {
  return no_write(fd) ? -1 : (ssize_t)syscall(SYS_pwrite64, fd, bytes, count, at);
}

EXPORT int fsync(int fd) {
  return database_of(fd) == WRITE && fails(SYNC) ? -1 : (int)syscall(SYS_fsync, fd);
}

EXPORT int fdatasync(int fd) {
  return database_of(fd) == WRITE && fails(SYNC) ? -1 : (int)syscall(SYS_fdatasync, fd);
}

/* ---- for Lua ---- */

static int faults_memory(lua_State *L) {
  long number = (long)luaL_checknumber(L, 1);
  __atomic_store_n(&fail_memory, 0, __ATOMIC_RELAXED);
  __atomic_store_n(&allocations, 0, __ATOMIC_RELAXED);
  __atomic_store_n(&memory_failed, 0, __ATOMIC_RELAXED);
  __atomic_store_n(&fail_memory, number, __ATOMIC_RELAXED);
  return 0;
}

static int faults_disk(lua_State *L) {
  static const char *const names[] = {"write", "sync", "index", NULL};
  int op = luaL_checkoption(L, 1, NULL, names);
  long number = (long)luaL_checknumber(L, 2);
  __atomic_store_n(&fail_disk[op], 0, __ATOMIC_RELAXED);
  __atomic_store_n(&disk_calls[op], 0, __ATOMIC_RELAXED);
  if (number > 0) {
    __atomic_store_n(&disk_failed, 0, __ATOMIC_RELAXED);
  }
  disk_errno[op] = number > 0 ? (int)luaL_checknumber(L, 3) : 0;
  __atomic_store_n(&disk_times[op], (long)luaL_optnumber(L, 4, 0), __ATOMIC_RELAXED);
  __atomic_store_n(&fail_disk[op], number, __ATOMIC_RELAXED);
  return 0;
}

static int faults_seen(lua_State *L) {
  lua_pushinteger(L, __atomic_load_n(&allocations, __ATOMIC_RELAXED));
  lua_pushboolean(L, __atomic_load_n(&memory_failed, __ATOMIC_RELAXED) != 0);
  lua_pushinteger(L, __atomic_load_n(&disk_failed, __ATOMIC_RELAXED));
  return 3;
}

static const luaL_Reg functions[] = {
    {"memory", faults_memory}, {"disk", faults_disk}, {"seen", faults_seen}, {NULL, NULL}};

EXPORT int luaopen_support_faults(lua_State *L);
int luaopen_support_faults(lua_State *L) {
  lua_newtable(L);
  for (const luaL_Reg *one = functions; one->name != NULL; one++) {
    lua_pushcfunction(L, one->func);
    lua_setfield(L, -2, one->name);
  }
  return 1;
}
