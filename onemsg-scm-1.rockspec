rockspec_format = "3.0"
package = "onemsg"
version = "scm-1"
source = { url = "git+file://." }
description = {
  summary = "Confirms by WhatsApp, through the 1MSG API, that what a person just did worked",
  detailed = [[
    A C module that sends WhatsApp template messages and follows their delivery, and a Lua layer in
    which a script decides which events are confirmed, to whom, in which words. Nothing lost,
    nothing sent twice, and inside OpenResty the worker never waits.]],
  license = "MIT",
  labels = { "whatsapp", "messaging", "openresty", "http" },
}
supported_platforms = { "linux" }
dependencies = { "lua >= 5.1, < 5.5", "lua-cjson >= 2.1" }
build = {
  type = "make",
  build_target = "rock-build",
  install_target = "rock-install",
  variables = {
    CFLAGS = "$(CFLAGS)",
    LUA_INCDIR = "$(LUA_INCDIR)",
    INST_LIBDIR = "$(LIBDIR)",
    INST_LUADIR = "$(LUADIR)",
    INST_BINDIR = "$(BINDIR)",
  },
}
