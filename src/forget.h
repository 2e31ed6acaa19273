/* forget.h: files, for who wants to forget (forget.c). */
#ifndef OM_FORGET_H
#define OM_FORGET_H

#include "check.h"

/* Puts private_file and sqlite_empty_log into `core`. */
void om_forget_open(lua_State *L, int core);

#endif
