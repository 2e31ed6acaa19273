-- onemsg doctor says what is wrong with a PostgreSQL: each finding by the facts that it follows from, and the facts from a real
-- one.
local commands = require "support.command"
local database = require "onemsg.cli.database"
local postgres = require "support.postgres"
local sql = require "onemsg.sql"
local survey = require "onemsg.outbox.survey"

local GOOD = { version = 150018, encoding = "UTF8", fsync = "on", full_page_writes = "on", autovacuum = "on", port = 5432,
  synchronous_commit = "on", idle_timeout = 60000, standby_names = "", standbys = 0, connections_most = 100, connections = 5,
  oldest_transaction = 1, oldest_prepared = 0, may_create = true, forbidden = {}, processes = 4, drift = 0.1 }

describe("doctor of a PostgreSQL", function()
  local CASES = {
    { {} },
    { { version = 140009 }, "fix", "PostgreSQL 14 is older" },
    { { encoding = "SQL_ASCII" }, "fix", "encoding is SQL_ASCII" },
    { { fsync = "off" }, "fix", "fsync" },
    { { full_page_writes = "off" }, "fix", "full_page_writes" },
    { { forbidden = { "audit", "status" } }, "fix", "audit, status" },
    { { may_create = false }, "note", "create no tables" },
    { { synchronous_commit = "off" }, "note", "switches it on for itself" },
    { { standbys = 2 }, "note", "2 standby servers follow" },
    { { standbys = 1, standby_names = "*", synchronous_commit = "local" }, "note", "waits for none" },
    { { standbys = 1, standby_names = "*" } },
    { { autovacuum = "off" }, "fix", "autovacuum" },
    { { connections = 81 }, "note", "81 of 100" },
    { { processes = 41 }, "note", "41 processes" },
    { { idle_timeout = 0 }, "note", "for ever" },
    { { oldest_transaction = 301 }, "fix", "open for 301 s" },
    { { oldest_prepared = 301 }, "fix", "prepared transaction" },
    { { drift = 600 }, "note", "600 s ahead of" },
    { { drift = -600 }, "note", "600 s behind" },
    { { dialed = 6432 }, "note", "port 6432" },
    { { dialed = 5432 } },
  }
  for n, case in ipairs(CASES) do
    it(("finds %s (%d)"):format(case[3] or "nothing", n), function()
      local facts = {}
      for name, value in pairs(GOOD) do facts[name] = value end
      for name, value in pairs(case[1]) do facts[name] = value end
      local found = database.judge(facts)
      assert.equal(case[2] and 1 or 0, #found)
      if case[2] then
        assert.equal(case[2], found[1].state)
        assert.truthy(found[1].text:find(case[3], 1, true), found[1].text)
        assert.is_string(found[1].advice)
      end
    end)
  end

  it("reads the port that a target names", function()
    for target, port in pairs { ["postgres://u@h:6432/d"] = 6432, ["postgresql://u:p@h:1/d?x=y"] = 1,
                                ["postgres:///d?host=/tmp&port=7432"] = 7432, ["postgres://u@h/d"] = false } do
      assert.equal(port or nil, database.port(target))
    end
  end)

  describe("on a real one", function()
    local store, command
    setup(function()
      store = postgres.start { settings = { "synchronous_commit=off", "max_prepared_transactions=2" } }
      command = commands.new { ONE_MSG_STORE = store.target, ONE_MSG_TOKEN = "x", ONE_MSG_INSTANCE_ID = "1",
        ONE_MSG_BASE_URL = "http://127.0.0.1:9/" }
    end)
    teardown(function()
      command:remove()
      store.stop()
    end)

    local function findings(env)
      local found = {}
      for _, one in ipairs(command:run("doctor --json", { env = env }).json) do
        if one.check == "database" or one.check == "witness" then found[#found + 1] = one.state .. " " .. one.text end
      end
      return "\n" .. table.concat(found, "\n")
    end

    it("says what it finds", function()
      local found = findings()
      assert.matches("\nnote synchronous_commit is off", found)
      assert.matches("\nnote others may leave a transaction open", found)
      assert.matches("\nfix it is not said where it is", found)
      assert.matches("\nnote there is none: a store that forgets", findings { ONE_MSG_WITNESS = "false" })
      assert.matches("\nok /tmp/w", findings { ONE_MSG_WITNESS = "/tmp/w" })
    end)

    it("knows whether a role may do what it has to", function()
      store.psql("CREATE ROLE poor LOGIN; GRANT SELECT ON ALL TABLES IN SCHEMA public TO poor; "
        .. "GRANT INSERT, UPDATE, DELETE ON meta, confirmation TO poor")
      local db = assert(sql.open((store.target:gsub("onemsg@", "poor@"))))
      local facts = assert(survey.read(db))
      db:close()
      assert.truthy(#facts.forbidden > 10)
      for _, name in ipairs(facts.forbidden) do assert.is_true(name ~= "confirmation" and name ~= "meta") end
      local texts = {}
      facts.drift = 0
      for n, one in ipairs(database.judge(facts)) do texts[n] = one.text end
      texts = table.concat(texts, "\n")
      assert.matches("may not read and write audit, ", texts)
      assert.matches("may create no tables", texts)
    end)
  end)
end)
