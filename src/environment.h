/* environment.h: the variables that are settings. Pure: no Lua.
 *
 * nginx takes its workers' environment away, and with lua_code_cache off it is they who read the
 * settings: a process that was forked after this library was loaded finds what it has lost in what
 * there was then.
 */
#ifndef OM_ENVIRONMENT_H
#define OM_ENVIRONMENT_H

/* The value of a variable, or NULL. It is there until the variable is set anew. */
const char *om_environment(const char *name);

#endif
