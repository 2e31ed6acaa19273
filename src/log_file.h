/* log_file.h: the file that a log is written to (log_file.c). */
#ifndef OM_LOG_FILE_H
#define OM_LOG_FILE_H

#include "check.h"

/* Puts log_file and log_open into `core`. The state is on top of the stack, and stays there. */
void om_log_file_open(lua_State *L, int core);

#endif
