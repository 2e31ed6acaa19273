/* settings_file.h: the settings that a machine keeps in a file (settings_file.c). */
#ifndef OM_SETTINGS_FILE_H
#define OM_SETTINGS_FILE_H

#include "check.h"

/* Puts settings_file and setenv into `core`. */
void om_settings_file_open(lua_State *L, int core);

#endif
