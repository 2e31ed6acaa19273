-- Only the database's own file was watched. With its write-ahead log or the log's index deleted, replaced or emptied,
-- units were acknowledged that nobody found afterwards. All three files are watched now, by name and by content.
local sql = require "onemsg.sql"
local store = require "support.store"
local sys = require "support.sys"

local UNITS = 5

--- A process that uses the store and does what it is told, a line at a time: "insert WORD" → how many of UNITS were
-- acknowledged, and how the first that was not was refused; "close", "die".
local function user(path)
  local in_reader, in_writer = assert(sys.pipe())
  local out_reader, out_writer = assert(sys.pipe())
  local pid = store.child(function()
    sys.close(in_writer)
    local db = assert(sql.open("sqlite:" .. path))
    while true do
      local command = sys.read(in_reader)
      local word = command:match "^insert (%w+)"
      if word then
        local said, refused = 0, "-"
        for n = 1, UNITS do
          local ok, err, info = db:unit { { "CREATE TABLE IF NOT EXISTS t(a TEXT PRIMARY KEY)" },
            { "INSERT INTO t(a) VALUES($1)", word .. n } }
          if ok then said = said + 1
          elseif refused == "-" then refused = info.class .. " " .. err end
        end
        sys.write(out_writer, said .. " " .. refused)
      elseif command == "close" then
        db:close()
        sys.write(out_writer, "0 closed")
      else
        sys.kill(sys.getpid(), sys.KILL)
      end
    end
  end)
  sys.close(in_reader)
  sys.close(out_writer)
  local self = {}
  function self.tell(command)
    sys.write(in_writer, command)
    local said, how = sys.read(out_reader):match "^(%d+) (.*)$"
    return tonumber(said), how
  end
  function self.die()
    sys.write(in_writer, "die")
    assert.same({ "killed", sys.KILL }, { sys.waitpid(pid) })
    sys.close(in_writer)
    sys.close(out_reader)
  end
  return self
end

describe("the files of a store", function()
  local directory, base, path, fds

  setup(store.warm_up)

  before_each(function()
    collectgarbage()
    fds = sys.fds()
    base = store.directory()
    directory = base .. "/d"
    path = directory .. "/s.db"
    assert(store.sh("mkdir " .. directory))
  end)

  after_each(function()
    store.remove(base)
    assert.equal(fds, sys.fds())
  end)

  --- word → how many of its units are in the store, as somebody sees it who comes later.
  local function there(at)
    local counts = {}
    local db = assert(sql.open("sqlite:" .. (at or path)))
    local results = assert(db:read { { "SELECT a FROM t" }, { "PRAGMA integrity_check" } })
    assert.equal("ok", results[2][1].integrity_check)
    for _, row in ipairs(results[1]) do
      local word = row.a:match "^%a+"
      counts[word] = (counts[word] or 0) + 1
    end
    db:close()
    return counts
  end

  -- Of what was acknowledged before, `lost` says where a person has thrown it away.
  local cases = {
    { "the log deleted", "rm $-wal" },
    { "the index deleted", "rm $-shm" },
    { "both deleted", "rm $-wal $-shm" },
    { "the log moved away", "mv $-wal $-old" },
    { "the log replaced by a copy", "cp $-wal $-copy && mv $-copy $-wal" },
    { "the index replaced by a copy", "cp $-shm $-copy && mv $-copy $-shm" },
    { "the log replaced by an empty one", "rm $-wal && touch $-wal" },
    { "the log emptied", ": > $-wal", lost = true },
    { "the log cut short", "truncate -s 100 $-wal", lost = true },
    { "the end of the log cut off", "truncate -s -1 $-wal", lost = true },
    { "the log overwritten by zeros", "dd if=/dev/zero of=$-wal bs=64 count=1 conv=notrunc 2>/dev/null", lost = true },
    { "all replaced by copies", "for f in '' -wal -shm; do cp $$f $-copy && mv $-copy $$f; done" },
  }

  for _, case in ipairs(cases) do
    local function happen()
      assert(store.sh((case[2]:gsub("%$%$f", path .. "$f"):gsub("%$([%s-])", path .. "%1"))))
    end

    it("one process, " .. case[1] .. ": refused once, and all that is acknowledged is there after a kill", function()
      local a = user(path)
      assert.equal(UNITS, (a.tell "insert before"))
      happen()
      local said, how = a.tell "insert after"
      assert.equal(UNITS - 1, said)
      assert.matches("^moved store: .*s%.db.* was deleted.*while it was in use; this unit was not begun$", how)
      a.die()
      local counts = there()
      assert.equal(said, counts.after)
      if not case.lost then assert.equal(UNITS, counts.before) end
    end)

    it("two processes, " .. case[1] .. ": what either of them was told is true", function()
      local a = user(path)
      assert.equal(UNITS, (a.tell "insert before"))
      happen()
      local b = user(path)
      local of_b = b.tell "insert b"
      local of_a = a.tell "insert a"
      local again = b.tell "insert bagain"
      local of_a_again = a.tell "insert aagain"
      a.tell "close"
      local last = b.tell "insert last"
      b.die()
      a.die()
      local counts = there()
      assert.same({ a = of_a, b = of_b, bagain = again, aagain = of_a_again, last = last },
        { a = counts.a or 0, b = counts.b or 0, bagain = counts.bagain or 0, aagain = counts.aagain or 0,
          last = counts.last or 0 })
      assert.is_true(of_a_again >= UNITS - 1 and last >= UNITS - 1) -- it goes on
    end)
  end

  it("moved with their directory: refused, nothing in its place, all there where they went", function()
    local a = user(path)
    assert.equal(UNITS, (a.tell "insert before"))
    assert(store.sh("mv " .. directory .. " " .. base .. "/e"))
    local said, how = a.tell "insert after"
    assert.equal(0, said)
    assert.matches("^moved store: ", how)
    assert.same({ before = UNITS }, there(base .. "/e/s.db"))
    assert(store.sh("mv " .. base .. "/e " .. directory))
    assert.equal(UNITS, (a.tell "insert again"))
    a.die()
    assert.same({ before = UNITS, again = UNITS }, there())
  end)

  it("without the database itself, moved away: that takes along what the log still had", function()
    local a = user(path)
    assert.equal(UNITS, (a.tell "insert before"))
    assert(store.sh("mv " .. path .. " " .. base .. "/kept.db"))
    assert.equal(0, (a.tell "insert after"))
    a.die()
    assert.same({ before = UNITS }, there(base .. "/kept.db"))
  end)

  it("replaced by another database: that and its log are left alone", function()
    local a, other = user(path), directory .. "/other.db"
    assert.equal(UNITS, (a.tell "insert before"))
    local o = user(other)
    o.tell "insert other"
    o.tell "close"
    o.die()
    assert(store.sh("rm " .. path .. "* && mv " .. other .. " " .. path))
    local b = user(path) -- has a log of its own by now
    assert.equal(UNITS, (b.tell "insert b"))
    assert.equal(UNITS - 1, (a.tell "insert a")) -- one refused; then it is a user of the new one
    a.tell "close"
    b.die()
    a.die()
    assert.same({ other = UNITS, b = UNITS, a = UNITS - 1 }, there())
  end)

  it("with a second name are refused: each name would have a log of its own", function()
    local a = user(path)
    assert.equal(UNITS, (a.tell "insert before"))
    assert(store.sh("ln " .. path .. " " .. directory .. "/b.db"))
    for _, name in ipairs { path, directory .. "/b.db" } do
      local db, err, info = sql.open("sqlite:" .. name)
      assert.is_nil(db)
      assert.matches("^config: .* has 2 names %(hard links%)", err)
      assert.equal("config", info.class)
    end
    assert.equal(UNITS, (a.tell "insert after")) -- who has it open already goes on
    assert(store.sh("rm " .. directory .. "/b.db"))
    a.die()
    assert.same({ before = UNITS, after = UNITS }, there())
  end)
end)
