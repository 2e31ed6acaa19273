--- The journal of the fake 1MSG: what a provider would have acted on. One JSON line for every request whose body
-- arrived whole, written with one write(2) to a file opened with O_APPEND, before any answer is made: lines never
-- interleave, and what was answered is in the file, also after kill -9. nginx only (LuaJIT's ffi).

local ffi = require "ffi"

ffi.cdef [[
int open(const char *path, int flags, int mode);
long write(int fd, const void *data, size_t length);
int ftruncate(int fd, long length);
char *strerror(int number);
]]

local O_WRONLY_CREAT_APPEND_CLOEXEC = 0x1 + 0x40 + 0x400 + 0x80000  -- Linux

--- So many phones are counted in memory; a journal with more has to be read as a file.
local MAX_PHONES = 500000

local M = {}
local fd, path, counts, phones

local function forget()
  counts, phones = {}, 0
end
forget()

--- Open the file; once in a worker.
function M.open(file)
  path = file
  fd = ffi.C.open(file, O_WRONLY_CREAT_APPEND_CLOEXEC, tonumber("600", 8))
  if fd < 0 then error("cannot open " .. file .. ": " .. ffi.string(ffi.C.strerror(ffi.errno()))) end
end

--- Write one line.
-- @tparam string line JSON without a newline
function M.write(line)
  line = line .. "\n"
  local written = tonumber(ffi.C.write(fd, line, #line))
  if written ~= #line then
    error("journal: wrote " .. written .. " of " .. #line .. " bytes: " .. ffi.string(ffi.C.strerror(ffi.errno())))
  end
end

--- Count a whole request for a phone.
-- @tparam string phone
-- @treturn number how many there have been, this one included
function M.count(phone)
  local n = counts[phone]
  if not n then
    n, phones = 0, phones + 1
    if phones > MAX_PHONES then
      counts, phones = { overflown = true }, 1
    end
  end
  counts[phone] = n + 1
  return n + 1
end

--- How many whole sendTemplate requests for this phone arrived.
-- @tparam string phone digits
-- @treturn ?number nil when there were too many phones to count in memory
function M.counted(phone)
  if counts.overflown then return nil end
  return counts[phone] or 0
end

--- The whole journal, or the lines that hold a string.
-- @tparam ?string part plain text
-- @treturn string
function M.read(part)
  local lines = {}
  for line in io.lines(path) do
    if not part or line:find(part, 1, true) then lines[#lines + 1] = line .. "\n" end
  end
  return table.concat(lines)
end

--- Forget counts and lines.
function M.reset()
  forget()
  if fd then ffi.C.ftruncate(fd, 0) end
end

return M
