-- A unit that was fine until the COMMIT (a deferred key, a file at its limit) failed all units that shared its
-- transaction, each with the neighbour's error. What fails there is tried again, each unit alone.
local sql = require "onemsg.sql"
local store = require "support.store"
local sys = require "support.sys"

local UNITS, GUILTY = 12, { [1] = true, [5] = true, [12] = true }
local ROOM = 2 * 1024 * 1024

describe("what fails at the commit", function()
  local directory, path

  setup(store.warm_up)

  before_each(function()
    directory = store.directory()
    path = directory .. "/store.db"
  end)

  after_each(function() store.remove(directory) end)

  --- A list of units in one batch: the lock is somebody else's until all of them are handed in.
  local function together(db, unit)
    local pendings, release = {}, store.lock(path)
    for n = 1, UNITS do pendings[n] = assert(db:async(unit(n))) end
    release()
    return pendings
  end

  local function event(n) return { "INSERT INTO event(id) VALUES($1)", "e" .. n } end

  local cases = {
    { what = "a deferred key", word = "^conflict: FOREIGN KEY", class = "constraint",
      guilty = function(n) return { event(n), { "INSERT INTO child(p) VALUES(999)" } } end },
    { what = "a deferred key, before other statements", word = "^conflict: FOREIGN KEY", class = "constraint",
      guilty = function(n) return { { "INSERT INTO child(p) VALUES($1)", n }, event(n) } end },
    { what = "more than the file may hold", word = "^store: no space left", class = "full", limit = true,
      guilty = function(n) return { event(n), { "INSERT INTO large(b) VALUES($1)", ("x"):rep(ROOM) } } end },
  }

  for _, case in ipairs(cases) do
    it("hurts only who caused it: " .. case.what, function()
      assert.same({ "exited", 0 }, { sys.waitpid(store.child(function()
        local db = assert(sql.open("sqlite:" .. path, { busy_timeout = 60 }))
        assert(db:unit { { "CREATE TABLE parent(id INTEGER PRIMARY KEY)" }, { "CREATE TABLE event(id TEXT PRIMARY KEY)" },
          { "CREATE TABLE child(p INTEGER REFERENCES parent(id) DEFERRABLE INITIALLY DEFERRED)" },
          { "CREATE TABLE large(b TEXT)" } })
        if case.limit then sys.limit("fsize", ROOM) end
        local pendings = together(db, function(n) return GUILTY[n] and case.guilty(n) or { event(n) } end)
        for n, pending in ipairs(pendings) do
          local ok, err, info = pending:wait()
          if GUILTY[n] then
            assert(not ok and err:find(case.word) and info.class == case.class, tostring(err))
          else
            assert(ok, err)
          end
        end
        assert(db:stats().largest < UNITS and db:stats().failed == 3) -- none of them went by as a batch
        local rows = assert(db:read { { "SELECT id FROM event" } })[1]
        assert(#rows == UNITS - 3)
        db:close()
        return 0
      end)) })
    end)
  end
end)
