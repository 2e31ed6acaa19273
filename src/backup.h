/* backup.h: copies of a database at work (backup.c). */
#ifndef OM_BACKUP_H
#define OM_BACKUP_H

#include "check.h"

/* Puts sqlite_backup into `core`. */
void om_backup_open(lua_State *L, int core);

#endif
