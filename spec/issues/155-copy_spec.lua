-- A store moves to another one: all of it or nothing, from SQLite to PostgreSQL and back, and at no moment two stores send the
-- same. Kind: what the schema has, the copy carries, without a list of its own.
local commands = require "support.command"
local copy = require "onemsg.outbox.copy"
local outbox = require "onemsg.outbox"
local postgres = require "support.postgres"
local rules = require "onemsg.rules"
local simulation = require "support.simulation"
local sql = require "onemsg.sql"
local workflow = require "onemsg.workflow"

local MANY = tonumber(os.getenv "ONEMSG_COPY" or 300)

describe("a store that moves", function()
  local store, command, source

  setup(function() store = postgres.start() end)
  teardown(function() store.stop() end)
  before_each(function()
    store.psql("DROP DATABASE IF EXISTS onemsg WITH (FORCE)", "postgres")
    store.psql("CREATE DATABASE onemsg", "postgres")
    command = commands.new()
    source = "sqlite:" .. command.dir .. "/from.db"
  end)
  after_each(function() command:remove() end)

  local function open(target)
    return workflow.open { channel = { check = function(_, m) return m end }, rules = assert(rules.load(simulation.RULES)),
      store = target, witness = false }
  end

  local function rows_of(target, one)
    local db = assert(sql.open(target))
    local rows = assert(db:read { { ("SELECT * FROM %s ORDER BY %s"):format(one.name, table.concat(one.key, ", ")) } })[1]
    rows.changes = nil
    db:close()
    return rows
  end

  --- A row in every table, and confirmations.
  local function fill(target, count)
    local flow = assert(open(target))
    for n = 1, count do
      assert(flow:submit { id = "m" .. n, type = "short", phone = "12020741301", payment = "m" .. n })
    end
    flow:close()
    local db = assert(sql.open(target))
    for _, one in ipairs(copy.tables()) do
      if one.name ~= "confirmation" and one.name ~= "channel" and one.name ~= "history" and one.name ~= "node" then
        local values = {}
        for n, kind in ipairs(one.types) do
          values[n] = kind == "TEXT" and "'x ä'" or kind == "BIGINT" and "9007199254740991" or "0.1"
        end
        assert(db:unit { { ("INSERT INTO %s VALUES (%s)"):format(one.name, table.concat(values, ", ")) } })
      end
    end
    db:close()
  end

  local function run(from, to) return command:run(("copy %s %s"):format(commands.quote(from), commands.quote(to))) end

  it("has everything there, and back", function()
    fill(source, MANY)
    local back = "sqlite:" .. command.dir .. "/back.db"
    local before = {}
    for _, one in ipairs(copy.tables()) do before[one.name] = rows_of(source, one) end
    assert.equal(MANY, #before.confirmation)
    local box = assert(outbox.open(source, { "main" }))
    local identity = box:identity()
    box:close()
    for _, way in ipairs { { source, store.target }, { store.target, back } } do
      local result = run(way[1], way[2])
      assert.equal(0, result.code, result.err)
      for _, one in ipairs(copy.tables()) do assert.same(before[one.name], rows_of(way[2], one), one.name) end
      local flow, err = open(way[1])
      assert.is_nil(flow)
      assert.matches("^config: all that this store held was copied to ", err)
      flow = assert(open(way[2]))
      assert.equal(identity, flow.box:identity())
      assert.is_true(flow:submit { id = "m1", type = "short", phone = "12020741301", payment = "m1" }.duplicate)
      flow:close()
    end
    local result = run(source, back)
    assert.equal(5, result.code)
    assert.truthy(result.err:find("copied to", 1, true), result.err)
  end)

  it("is refused where there is something in the target, or nothing in the source", function()
    fill(source, 1)
    fill(store.target, 1)
    local result = run(source, store.target)
    assert.equal(5, result.code)
    assert.truthy(result.err:find("is not empty", 1, true), result.err)
    store.psql "DROP TABLE meta"
    for _, from in ipairs { "sqlite:" .. command.dir .. "/nowhere.db", store.target } do
      result = run(from, "sqlite:" .. command.dir .. "/new.db")
      assert.equal(5, result.code)
      assert.truthy(result.err:find("no store at", 1, true), result.err)
    end
  end)

  it("is refused while it is at work", function()
    fill(source, 1)
    local flow = assert(open(source))
    assert(flow:drain())
    flow.box:sign("a", flow.now())
    local result = run(source, store.target)
    assert.equal(5, result.code)
    assert.truthy(result.err:find("1 processes send from", 1, true), result.err)
    flow:close()
  end)

  --- Runs copy within this process; at(text) may fail a statement of either store.
  local function copying(at)
    local dbs = { assert(sql.open(source)), assert(sql.open(store.target)) }
    local function view(db)
      local function watched(name)
        return function(_, unit)
          for _, statement in ipairs(unit) do
            local err = at(statement[1])
            if err then return nil, err, { outcome = "store", retry = true } end
          end
          return db[name](db, unit)
        end
      end
      return { unit = watched "unit", read = watched "read", engine = function() return db:engine() end }
    end
    local count, err = copy.copy(view(dbs[1]), view(dbs[2]), "FROM", "TO", function(text) return text end, function() end)
    for _, db in ipairs(dbs) do db:close() end
    return count, err
  end

  it("begins anew after it was interrupted, wherever; until then nobody uses the target", function()
    fill(source, 300)
    local still = assert(open(source))
    local everything, seen = {}, {}
    for _, part in ipairs { "INSERT INTO confirmation", "INSERT INTO audit", "SELECT * FROM status", "RENAME TO",
                            "DELETE FROM meta" } do
      everything[#everything + 1] = part
      local count, err = copying(function(text)
        if text:find(part, 1, true) then return "store: gone" end
      end)
      assert.is_nil(count)
      assert.equal("store: gone", err)
      local flow
      flow, err = open(store.target)
      assert.is_nil(flow, part)
      assert.matches("^config: a copy into this store was not finished", err)
      seen[#seen + 1] = part
    end
    assert.same(everything, seen)
    assert.equal(300, copying(function() end))
    assert(open(store.target)):close()
    local ticket, why = still:submit { id = "late", type = "short", phone = "12020741301", payment = "late" }
    assert.is_nil(ticket)
    assert.matches("^store: ", why) -- so its sender keeps it
    still:close()
    assert.is_nil((open(source)))
  end)

  it("is not handed over when something was written meanwhile", function()
    fill(source, 3)
    for _, part in ipairs { "INSERT INTO audit", "RENAME TO" } do
      local flow, done = assert(open(source)), false
      local count, err = copying(function(text)
        if not done and text:find(part, 1, true) then
          done = true
          assert(flow:submit { id = part, type = "short", phone = "12020741301", payment = part })
        end
      end)
      assert.is_nil(count)
      assert.matches("^conflict: ", err)
      flow:close()
    end
    assert.equal(5, copying(function() end))
  end)
end)
