/* ready.c: see ready.h. Making a table may run Lua, which may come here again: that is done first,
 * and what the state says is read afterwards. */
#include "ready.h"

/* So many are held for a dispatch that does not come: as many as can be under way. */
#define HELD_MAX    65536
#define READY_FIRST 256

/* Pushes an empty table with values held weakly. */
static void push_weak(lua_State *L) {
  lua_newtable(L);
  lua_createtable(L, 0, 1);
  lua_pushliteral(L, "v");
  lua_setfield(L, -2, "__mode");
  lua_setmetatable(L, -2);
}

void om_ready_init(lua_State *L, struct om_state *state) {
  push_weak(L);
  state->ready = luaL_ref(L, LUA_REGISTRYINDEX);
  lua_newtable(L);
  state->ready_held = luaL_ref(L, LUA_REGISTRYINDEX);
  state->ready_size = READY_FIRST;
}

/* The two tables on top of the stack become `ready` and `ready_held`. Pops them. */
static void set_ready(lua_State *L, struct om_state *state, int count) {
  lua_rawseti(L, LUA_REGISTRYINDEX, state->ready_held);
  lua_rawseti(L, LUA_REGISTRYINDEX, state->ready);
  state->ready_count = count;
  state->ready_size = count * 2 > READY_FIRST ? count * 2 : READY_FIRST;
}

void om_ready_pack(lua_State *L, struct om_state *state) {
  int top = lua_gettop(L);
  int count = 0;
  if (state->ready_count < state->ready_size) {
    return;
  }
  luaL_checkstack(L, 10, NULL);
  push_weak(L);
  lua_newtable(L); /* from here on no Lua runs */
  lua_rawgeti(L, LUA_REGISTRYINDEX, state->ready);
  lua_rawgeti(L, LUA_REGISTRYINDEX, state->ready_held);
  for (int i = 1; i <= state->ready_count; i++) {
    lua_rawgeti(L, top + 3, i);
    int *place_of = (int *)lua_touserdata(L, -1);
    if (place_of != NULL) {
      *place_of = ++count;
      lua_rawseti(L, top + 1, count);
      lua_rawgeti(L, top + 4, i);
      lua_rawseti(L, top + 2, count);
    } else {
      lua_pop(L, 1);
    }
  }
  lua_settop(L, top + 2);
  set_ready(L, state, count);
}

void om_ready_put(lua_State *L, struct om_state *state, int index) {
  int *place_of = (int *)lua_touserdata(L, index);
  int place = state->ready_count + 1;
  lua_rawgeti(L, LUA_REGISTRYINDEX, state->ready);
  lua_pushvalue(L, index);
  lua_rawseti(L, -2, place);
  lua_rawgeti(L, LUA_REGISTRYINDEX, state->ready_held);
  lua_pushvalue(L, index);
  lua_rawseti(L, -2, place);
  if (place > HELD_MAX) {
    lua_pushnil(L);
    lua_rawseti(L, -2, place - HELD_MAX);
    state->ready_gaps = true;
  }
  lua_pop(L, 2);
  state->ready_count = place;
  *place_of = place;
}

void om_ready_let_go(lua_State *L, struct om_state *state, int index) {
  int *place_of = (int *)lua_touserdata(L, index);
  if (*place_of == 0) {
    return;
  }
  lua_rawgeti(L, LUA_REGISTRYINDEX, state->ready_held);
  lua_rawgeti(L, -1, *place_of);
  if (lua_touserdata(L, -1) == place_of) {
    lua_pushnil(L);
    lua_rawseti(L, -3, *place_of);
    state->ready_gaps = true;
  }
  lua_pop(L, 2);
  *place_of = 0;
}

/* Replaces the empty table on top of the stack by the list of all that is ready. */
static void list_ready(lua_State *L, const struct om_state *state) {
  int count = 0;
  if (!state->ready_gaps) {
    lua_pop(L, 1);
    lua_rawgeti(L, LUA_REGISTRYINDEX, state->ready_held);
    return;
  }
  lua_rawgeti(L, LUA_REGISTRYINDEX, state->ready);
  for (int i = 1; i <= state->ready_count; i++) {
    lua_rawgeti(L, -1, i);
    if (lua_isnil(L, -1)) {
      lua_pop(L, 1);
    } else {
      lua_rawseti(L, -3, ++count);
    }
  }
  lua_pop(L, 1);
}

void om_ready_take(lua_State *L, struct om_state *state) {
  luaL_checkstack(L, 10, NULL);
  if (state->ready_count == 0) {
    lua_newtable(L); /* the caller may keep what it gets */
    return;
  }
  push_weak(L);
  lua_newtable(L);
  lua_newtable(L); /* from here on no Lua runs */
  list_ready(L, state);
  lua_insert(L, -3);
  set_ready(L, state, 0);
  state->ready_gaps = false;
}
