/* compat.h: one face for Lua 5.4 and LuaJIT (the 5.1 API). Binding files only. */
#ifndef OM_COMPAT_H
#define OM_COMPAT_H

#include <lauxlib.h>
#include <lua.h>

#if LUA_VERSION_NUM < 502
#include <stddef.h>

#define lua_rawlen(L, i)              lua_objlen((L), (i))
#define lua_getuservalue(L, i)        lua_getfenv((L), (i))
#define lua_setuservalue(L, i)        ((void)lua_setfenv((L), (i)))
#define lua_newuserdatauv(L, size, n) ((void)(n), lua_newuserdata((L), (size)))
#define lua_absindex(L, i)            ((i) > 0 || (i) <= LUA_REGISTRYINDEX ? (i) : lua_gettop(L) + (i) + 1)

#ifndef LUA_LJDIR
/* Built with the headers of PUC Lua 5.1, which has no such function; LuaJIT, which may load the
 * module all the same, has one. */
extern int lua_isyieldable(lua_State *L) __attribute__((weak));
#define lua_isyieldable(L) (lua_isyieldable != NULL && lua_isyieldable(L))
#endif

static inline void om_setfuncs(lua_State *L, const luaL_Reg *functions, int upvalues) {
  for (; functions->name != NULL; functions++) {
    for (int i = 0; i < upvalues; i++) {
      lua_pushvalue(L, -upvalues);
    }
    lua_pushcclosure(L, functions->func, upvalues);
    lua_setfield(L, -(upvalues + 2), functions->name);
  }
  lua_pop(L, upvalues);
}
#else
#define om_setfuncs luaL_setfuncs
#endif

#if LUA_VERSION_NUM < 503
#define om_is_integer(L, i) ((void)(L), (void)(i), 0)

static inline void lua_rawgetp(lua_State *L, int table, const void *key) {
  union {
    const void *in;
    void *out;
  } cast = {.in = key};
  table = lua_absindex(L, table);
  lua_pushlightuserdata(L, cast.out);
  lua_rawget(L, table);
}

static inline void lua_rawsetp(lua_State *L, int table, const void *key) {
  union {
    const void *in;
    void *out;
  } cast = {.in = key};
  table = lua_absindex(L, table);
  lua_pushlightuserdata(L, cast.out);
  lua_insert(L, -2);
  lua_rawset(L, table);
}
#else
#define om_is_integer lua_isinteger
#endif

#endif
