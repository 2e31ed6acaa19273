--- onemsg fake: a stand-in 1MSG on loopback, to try things out.
local calls = require "onemsg.cli.call"
local phones = require "onemsg.base.phone"

local function default_dir() return os.getenv "FAKE_DIR" or "/tmp/onemsg-fake" end

local DIR = { "dir", "DIR", "where its files are; else FAKE_DIR, else /tmp/onemsg-fake" }
local START = {
  DIR,
  { "http", "PORT", "port for plain HTTP; chosen when absent", number = 1 },
  { "https", "PORT", "for HTTPS", number = 1 },
  { "h2", "PORT", "for HTTPS with HTTP/2", number = 1 },
  { "latency", "MS", "milliseconds before every answer", number = 0 },
  { "set", "NAME=VALUE", "further settings, such as pace_ms=1000", list = true },
}

local M = {
  summary = "A stand-in 1MSG on loopback: in the foreground until Ctrl-C, or start and stop",
  options = START,
  examples = { "onemsg fake", "onemsg fake start && . /tmp/onemsg-fake/fake.env" }, alone = true,
  verb_names = { "start", "stop", "template", "table" }, verbs = {},
}

local function escaped(text)
  return (text:gsub("[^%w_.~-]", function(c) return ("%%%02X"):format(c:byte()) end))
end

local function start(call, owner)
  local server = require "onemsg.fake.server"
  local options = { dir = call.options.dir or default_dir(), owner = owner, set = {} }
  for _, name in ipairs { "http", "https", "h2", "latency" } do options[name] = call.options[name] end
  for _, text in ipairs(call.options.set or {}) do
    local name, value = text:match "^([%w_]+)=(.*)$"
    if not name then return nil, "invalid: --set takes name=value, not " .. text end
    options.set[name] = value
  end
  local env, why = server.start(options)
  if not env then return nil, "config: the fake can't start: " .. why end
  call.out:object(env)
  call.out:line("1MSG's stand-in answers at %s. To point onemsg at it:", env.ONE_MSG_BASE_URL)
  call.out:line("  . %s/fake.env", env.FAKE_DIR)
  return env
end

M.verbs.start = {
  summary = "Start it and return",
  options = START,
  examples = { "onemsg fake start --latency 20" }, alone = true,
  run = function(call)
    local env, err = start(call)
    if not env then return call:fail(err) end
    return true
  end,
}

M.verbs.stop = {
  summary = "Stop it",
  options = { DIR },
  examples = { "onemsg fake stop" }, alone = true,
  run = function(call)
    local dir = call.options.dir or default_dir()
    require "onemsg.fake.server".stop { dir = dir }
    call.out:object { stopped = dir }
    call.out:line("stopped")
    return true
  end,
}

M.verbs.template = {
  summary = "Have WhatsApp say something else of a template while the stand-in runs",
  arguments = { { "NAME", "the template" } },
  options = {
    DIR,
    { "language", "CODE", "only in this language" },
    { "category", "WORD", "UTILITY, MARKETING or AUTHENTICATION" },
    { "status", "WORD", "APPROVED, PAUSED, DISABLED, REJECTED, PENDING, DELETED …" },
    { "quality", "WORD", "GREEN, YELLOW or RED" },
    { "hook", false, "a hook tells of it, too; else only the list of templates does" },
  },
  examples = { "onemsg fake template action_success --category marketing --hook" }, alone = true,
  run = function(call)
    local given = call.options
    local dir = given.dir or default_dir()
    local file = io.open(dir .. "/fake.env")
    local env = file and file:read "*a" or ""
    if file then file:close() end
    local url = env:match "FAKE_HTTP_URL='([^']*)'"
    if not url then return call:fail("config: no stand-in was started in " .. dir) end
    local query = { "name=" .. escaped(given[1]), given.hook and "hook=on" or nil }
    for _, name in ipairs { "language", "category", "status", "quality" } do
      if given[name] then query[#query + 1] = name .. "=" .. escaped(given[name]) end
    end
    local channel, err, info = require "onemsg".new { channel = "_fake", token = "none", base_url = url }
    if not channel then return call:fail(err, info) end
    local answer
    answer, err, info = channel:request("GET", "template?" .. table.concat(query, "&"))
    channel:close()
    if not answer then return call:fail(err, info) end
    for _, one in ipairs(answer.templates) do
      call.out:object(one)
      call.out:line("%s in %s: %s, %s%s", one.name, one.language, one.category, one.status,
        one.quality and ", quality " .. one.quality or "")
    end
    return true
  end,
}

M.verbs.table = {
  summary = "What it does, by the last two digits of the phone, as a Markdown table",
  examples = { "onemsg fake table" }, alone = true,
  run = function(call)
    local numbers = require "onemsg.fake.numbers"
    for ending, row in pairs(call.options.json and numbers.list or {}) do
      call.out:object { ending = ending, outcome = row.outcome }
    end
    call.out:raw((numbers.markdown():gsub("\n$", "")))
    return true
  end,
}

--- What came in since the last look.
local function follow(call, journal)
  for line in journal:lines() do
    local phone, method, verb = line:match '"phone":"(%d+)', line:match '"method":"([^"]*)', line:match '"verb":"([^"]*)'
    call.out:line("%s  %s %s %s", os.date "%H:%M:%S", verb or "", method or "", phone and phones.mask(phone) or "")
  end
  journal:seek "cur" -- what is appended later is not at the end any more
end

function M.run(call)
  local onemsg = require "onemsg"
  local core = require "onemsg.core"
  core.stop_on_signals()
  local env, err = start(call, require "onemsg.fake.server".own_pid())
  if not env then return call:fail(err) end
  call.out:line("Ctrl-C stops it. Requests:")
  local journal = io.open(env.FAKE_JOURNAL)
  while not core.stopped() do
    if journal and not call.options.json then follow(call, journal) end
    onemsg.sleep(0.2)
  end
  require "onemsg.fake.server".stop { dir = env.FAKE_DIR }
  return true, nil, calls.OK
end

return M
