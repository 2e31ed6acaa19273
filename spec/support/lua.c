/* lua.c: a Lua interpreter that a sanitizer can be linked into, for specs only. A sanitizer brought
 * in by LD_PRELOAD would also be in every shell that a spec starts, and they do not bear it.
 *
 *   cc -fsanitize=thread -I… spec/support/lua.c -llua5.4 -o lua; ./lua /usr/bin/busted …
 */
#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <stdio.h>

int main(int argc, char **argv) {
  lua_State *L = luaL_newstate();
  if (L == NULL || argc < 2) {
    fprintf(stderr, "usage: lua SCRIPT [ARGUMENT …]\n");
    return 1;
  }
  luaL_openlibs(L);
  lua_createtable(L, argc, 1);
  for (int i = 0; i < argc; i++) {
    lua_pushstring(L, argv[i]);
    lua_rawseti(L, -2, i - 1);
  }
  lua_setglobal(L, "arg");
  int failed = luaL_loadfile(L, argv[1]);
  for (int i = 2; failed == 0 && i < argc; i++) {
    luaL_checkstack(L, 1, NULL);
    lua_pushstring(L, argv[i]);
  }
  failed = failed != 0 ? failed : lua_pcall(L, argc - 2, 0, 0);
  if (failed != 0) {
    fprintf(stderr, "%s\n", lua_tostring(L, -1));
  }
  lua_close(L);
  return failed != 0;
}
