/* sys.c: support.sys, the few system calls that the specs need and plain Lua lacks. For specs only;
 * Linux (it reads /proc); Lua 5.4 and LuaJIT.
 *
 * The world answers nil, message, errno; a wrong argument raises. Seconds are numbers, pids are
 * above 0 so that no spec signals a whole group by a slip.
 *
 *   fork()                 -> pid, 0 in the child. stdio is flushed first; the child leaves by
 * exit_now waitpid(pid[, nohang]) -> "exited", code | "killed", signal | "running" (only with
 * nohang) kill(pid, signal)      -> true; signal a number: sys.TERM, sys.KILL … or 0 to ask
 *   ignore(signal)         -> true; from now on, for this process and those it makes
 *   getpid()               -> pid
 *   fds([pid]), threads([pid]), rss_kb([pid]) -> count, count, KiB; of this process by default
 *   limit(name, value)     -> the soft limit before; name: "fsize", "nofile", "as", "core"; value
 * may be math.huge. A write beyond fsize raises sys.XFSZ: ignore it for EFBIG sleep(seconds) ->
 * true, whatever signals come now()                  -> seconds of the monotonic clock poll(fd,
 * seconds)      -> whether fd is readable (or hung up) before the time is over exit_now(code) ->
 * never: no atexit, no __gc, no flush
 *   states(code, n)        -> true: runs the code in n Lua states at once, each on a thread of its
 * own (0: one, on this thread), and closes them; raises what one of them raised
 */
#include <dirent.h>
#include <errno.h>
#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <math.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MAX_PID     4194304 /* Linux: 2^22 */
#define MAX_SIGNAL  64
#define MAX_SECONDS 3600
#define MAX_FD      1048576 /* Linux: nr_open */
#define MAX_STATES  16

static int failed(lua_State *L) {
  int number = errno;
  lua_pushnil(L);
  lua_pushstring(L, strerror(number));
  lua_pushinteger(L, number);
  return 3;
}

/* luaL_checkinteger of LuaJIT takes 1.5 and NaN. */
static int whole(lua_State *L, int arg, int least, int most) {
  lua_Number value = luaL_checknumber(L, arg);
  if (!(value >= least && value <= most) || floor(value) != value)
    luaL_argerror(L, arg, lua_pushfstring(L, "whole number from %d to %d expected", least, most));
  return (int)value;
}

static double seconds(lua_State *L, int arg) {
  lua_Number value = luaL_checknumber(L, arg);
  luaL_argcheck(L, value >= 0 && value <= MAX_SECONDS, arg, "seconds from 0 to 3600 expected");
  return value;
}

static double clock_now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int sys_fork(lua_State *L) {
  fflush(NULL);
  pid_t pid = fork();
  if (pid < 0)
    return failed(L);
  lua_pushinteger(L, pid);
  return 1;
}

static int sys_waitpid(lua_State *L) {
  int pid = whole(L, 1, 1, MAX_PID), status;
  int options = lua_toboolean(L, 2) ? WNOHANG : 0;
  pid_t got;
  do
    got = waitpid(pid, &status, options);
  while (got < 0 && errno == EINTR);
  if (got < 0)
    return failed(L);
  if (got == 0) {
    lua_pushliteral(L, "running");
    return 1;
  }
  lua_pushstring(L, WIFEXITED(status) ? "exited" : "killed");
  lua_pushinteger(L, WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
  return 2;
}

static int sys_kill(lua_State *L) {
  int pid = whole(L, 1, 1, MAX_PID), number = whole(L, 2, 0, MAX_SIGNAL);
  if (kill(pid, number) != 0)
    return failed(L);
  lua_pushboolean(L, true);
  return 1;
}

static int sys_ignore(lua_State *L) {
  struct sigaction action = {.sa_handler = SIG_IGN};
  if (sigaction(whole(L, 1, 1, MAX_SIGNAL), &action, NULL) != 0)
    return failed(L);
  lua_pushboolean(L, true);
  return 1;
}

static int sys_getpid(lua_State *L) {
  lua_pushinteger(L, getpid());
  return 1;
}

/* "/proc/PID/name" of the process at argument 1, by default this one. */
static const char *proc_path(lua_State *L, const char *name) {
  int pid = lua_isnoneornil(L, 1) ? (int)getpid() : whole(L, 1, 1, MAX_PID);
  return lua_pushfstring(L, "/proc/%d/%s", pid, name);
}

/* The entries of a directory, less `less` of them. */
static int count_entries(lua_State *L, const char *path, int less) {
  DIR *dir = opendir(path);
  if (!dir)
    return failed(L);
  int count = 0;
  for (const struct dirent *entry = readdir(dir); entry; entry = readdir(dir))
    count += entry->d_name[0] != '.';
  closedir(dir);
  lua_pushinteger(L, count - less);
  return 1;
}

static int sys_fds(lua_State *L) {
  bool self = lua_isnoneornil(L, 1) || whole(L, 1, 1, MAX_PID) == (int)getpid();
  return count_entries(L, proc_path(L, "fd"), self); /* the one that counts is not counted */
}

/* Is a thread, of a directory /proc/PID/task, on its way out? One that was joined may still stand
 * there for a moment. */
static bool exiting(const char *task, const char *thread) {
  static const unsigned long PF_EXITING = 4; /* include/linux/sched.h */
  char path[512], line[1024];
  snprintf(path, sizeof path, "%s/%.32s/stat", task, thread);
  FILE *file = fopen(path, "r");
  if (!file)
    return true;
  size_t length = fread(line, 1, sizeof line - 1, file);
  fclose(file);
  line[length] = 0;
  const char *rest = strrchr(line, ')'); /* its name may hold anything */
  unsigned long flags = 0;
  if (!rest || sscanf(rest, ") %*c %*d %*d %*d %*d %*d %lu", &flags) != 1)
    return true;
  return (flags & PF_EXITING) != 0;
}

static int sys_threads(lua_State *L) {
  const char *path = proc_path(L, "task");
  DIR *dir = opendir(path);
  if (!dir)
    return failed(L);
  int count = 0;
  for (const struct dirent *entry = readdir(dir); entry; entry = readdir(dir))
    count += entry->d_name[0] != '.' && !exiting(path, entry->d_name);
  closedir(dir);
  lua_pushinteger(L, count);
  return 1;
}

static int sys_rss_kb(lua_State *L) {
  FILE *file = fopen(proc_path(L, "statm"), "r");
  long pages;
  if (!file)
    return failed(L);
  int fields = fscanf(file, "%*s %ld", &pages);
  fclose(file);
  if (fields != 1) {
    errno = EIO;
    return failed(L);
  }
  lua_pushinteger(L, (lua_Integer)pages * (sysconf(_SC_PAGESIZE) / 1024));
  return 1;
}

static int sys_limit(lua_State *L) {
  static const char *const names[] = {"fsize", "nofile", "as", "core", NULL};
  static const int resources[] = {RLIMIT_FSIZE, RLIMIT_NOFILE, RLIMIT_AS, RLIMIT_CORE};
  int resource = resources[luaL_checkoption(L, 1, NULL, names)];
  lua_Number value = luaL_checknumber(L, 2);
  luaL_argcheck(L, value >= 0 && (isinf(value) || value <= 9e15), 2, "a limit expected");
  struct rlimit limit;
  if (getrlimit(resource, &limit) != 0)
    return failed(L);
  rlim_t before = limit.rlim_cur;
  limit.rlim_cur = isinf(value) ? RLIM_INFINITY : (rlim_t)value;
  if (setrlimit(resource, &limit) != 0)
    return failed(L);
  lua_pushnumber(L, before == RLIM_INFINITY ? HUGE_VAL : (lua_Number)before);
  return 1;
}

static int sys_sleep(lua_State *L) {
  double time = seconds(L, 1);
  struct timespec left = {.tv_sec = (time_t)time};
  left.tv_nsec = (long)((time - (double)left.tv_sec) * 1e9);
  int interrupted;
  do
    interrupted = nanosleep(&left, &left) != 0 && errno == EINTR;
  while (interrupted);
  lua_pushboolean(L, true);
  return 1;
}

static int sys_now(lua_State *L) {
  lua_pushnumber(L, clock_now());
  return 1;
}

static int sys_poll(lua_State *L) {
  struct pollfd wait = {.fd = whole(L, 1, 0, MAX_FD), .events = POLLIN};
  double until = clock_now() + seconds(L, 2);
  int ready;
  do {
    double left = until - clock_now();
    ready = poll(&wait, 1, left > 0 ? (int)ceil(left * 1000) : 0);
  } while (ready < 0 && errno == EINTR);
  if (ready > 0 && wait.revents & POLLNVAL) {
    errno = EBADF;
    ready = -1;
  }
  if (ready < 0)
    return failed(L);
  lua_pushboolean(L, ready > 0);
  return 1;
}

static int sys_pipe(lua_State *L) {
  int ends[2];
  if (pipe(ends) != 0)
    return failed(L);
  lua_pushinteger(L, ends[0]);
  lua_pushinteger(L, ends[1]);
  return 2;
}

static int sys_read(lua_State *L) {
  char bytes[4096];
  int fd = whole(L, 1, 0, MAX_FD);
  ssize_t got;
  do
    got = read(fd, bytes, sizeof bytes);
  while (got < 0 && errno == EINTR);
  if (got < 0)
    return failed(L);
  lua_pushlstring(L, bytes, (size_t)got);
  return 1;
}

static int sys_write(lua_State *L) {
  size_t len;
  int fd = whole(L, 1, 0, MAX_FD);
  const char *text = luaL_checklstring(L, 2, &len);
  ssize_t put;
  do
    put = write(fd, text, len);
  while (put < 0 && errno == EINTR);
  if (put < 0)
    return failed(L);
  lua_pushinteger(L, (lua_Integer)put);
  return 1;
}

static int sys_close(lua_State *L) {
  if (close(whole(L, 1, 0, MAX_FD)) != 0)
    return failed(L);
  lua_pushboolean(L, true);
  return 1;
}

static int sys_exit_now(lua_State *L) {
  _exit(whole(L, 1, 0, 255));
}

/* One Lua state on one thread. */
struct state {
  pthread_t thread;
  const char *code;
  char problem[256]; /* "": none */
};

static void *run_state(void *user) {
  struct state *state = user;
  lua_State *own = luaL_newstate();
  luaL_openlibs(own);
  if (luaL_loadstring(own, state->code) != 0 || lua_pcall(own, 0, 0, 0) != 0)
    snprintf(state->problem, sizeof state->problem, "%s", lua_tostring(own, -1));
  lua_close(own);
  return NULL;
}

static int sys_states(lua_State *L) {
  struct state states[MAX_STATES];
  int count = whole(L, 2, 0, MAX_STATES);
  int most = count > 0 ? count : 1;
  const char *problem = "";
  memset(states, 0, sizeof states);
  states[0].code = luaL_checkstring(L, 1);
  for (int i = 0; i < most; i++) {
    states[i].code = states[0].code;
    if (count == 0)
      run_state(&states[i]);
    else if (pthread_create(&states[i].thread, NULL, run_state, &states[i]) != 0)
      return luaL_error(L, "no thread");
  }
  for (int i = 0; i < most; i++) {
    if (count > 0)
      pthread_join(states[i].thread, NULL);
    if (states[i].problem[0] != '\0')
      problem = states[i].problem;
  }
  if (problem[0] != '\0')
    return luaL_error(L, "%s", problem);
  lua_pushboolean(L, true);
  return 1;
}

static const luaL_Reg functions[] = {
    {"fork", sys_fork},
    {"waitpid", sys_waitpid},
    {"kill", sys_kill},
    {"ignore", sys_ignore},
    {"getpid", sys_getpid},
    {"fds", sys_fds},
    {"threads", sys_threads},
    {"rss_kb", sys_rss_kb},
    {"limit", sys_limit},
    {"sleep", sys_sleep},
    {"now", sys_now},
    {"poll", sys_poll},
    {"pipe", sys_pipe},
    {"read", sys_read},
    {"write", sys_write},
    {"close", sys_close},
    {"exit_now", sys_exit_now},
    {"states", sys_states},
    {NULL, NULL},
};

static const struct {
  const char *name;
  int number;
} signals[] = {{"HUP", SIGHUP},   {"INT", SIGINT},   {"QUIT", SIGQUIT}, {"ABRT", SIGABRT},
               {"KILL", SIGKILL}, {"SEGV", SIGSEGV}, {"PIPE", SIGPIPE}, {"TERM", SIGTERM},
               {"CHLD", SIGCHLD}, {"CONT", SIGCONT}, {"STOP", SIGSTOP}, {"USR1", SIGUSR1},
               {"USR2", SIGUSR2}, {"XFSZ", SIGXFSZ}, {"WINCH", 28}};

__attribute__((visibility("default"))) int luaopen_support_sys(lua_State *L);

int luaopen_support_sys(lua_State *L) {
  luaL_newlib(L, functions);
  for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) {
    lua_pushinteger(L, signals[i].number);
    lua_setfield(L, -2, signals[i].name);
  }
  return 1;
}
