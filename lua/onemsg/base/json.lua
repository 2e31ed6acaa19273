--- onemsg.base.json: the lua-cjson that writes what this library keeps or answers, with `encode` and `decode` as there.
-- An instance of its own: nobody else's settings reach it. Without the kept buffer, into which lua-cjson would let an
-- `encode` in a finalizer or a metamethod write over a text that is just being finished.
local M = require "cjson".new()
M.encode_keep_buffer(false)
return M
