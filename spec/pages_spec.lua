-- What README.md and the pages beside the modules show is run: the Lua blocks of a page, in order, as one program
-- against the fake; blocks that begin with `template` as its rules.lua; shell blocks by sh; nginx blocks by `nginx -t`,
-- which runs their init_by_lua too. And no link of a page leads nowhere.
local rules = require "onemsg.rules"
local server = require "support.server"

local LUA = rawget(_G, "jit") and "luajit" or "lua5.4"

local function read(path)
  local file = assert(io.open(path))
  local text = file:read "*a"
  file:close()
  return text
end

local function write(path, text)
  local file = assert(io.open(path, "w"))
  file:write(text, "\n")
  file:close()
end

local function output(command)
  local pipe = assert(io.popen(command .. " 2>&1; echo; echo exit $?"))
  local text = pipe:read "*a"
  pipe:close()
  local said, code = text:match "^(.*)\nexit (%d+)\n$"
  return said, tonumber(code)
end

local function pages()
  local pipe = assert(io.popen "find README.md lua src -name '*.md' | sort")
  local list = {}
  for path in pipe:lines() do list[#list + 1] = path end
  pipe:close()
  return list
end

--- The blocks of a page in one language, in order.
local function blocks(path, language)
  local list = {}
  for code in ("\n" .. read(path)):gmatch("\n```" .. language .. "\n(.-)\n```") do list[#list + 1] = code end
  return list
end

local function program_of(path)
  local program, declared = {}, {}
  for _, code in ipairs(blocks(path, "lua")) do
    local list = code:find "^template " and declared or program
    list[#list + 1] = code
  end
  return table.concat(program, "\n"), declared
end

--- What each page's program prints, in this order; a page with Lua blocks that is not listed here is a failure.
local prints = {
  ["README.md"] = { "accepted\twamid%.%S+\n", "queued\taccepted\n" },
  ["lua/onemsg/channel.md"] = { "accepted\twamid%.%S+\n", "read\n", "1000\n", "recipient\n" },
  ["lua/onemsg/workflow.md"] = { "queued\taccepted\n", "2\t1\n" },
  ["lua/onemsg/senders.md"] = { "shop:o%-7\tpaid\n" },
  ["lua/onemsg/store.md"] = { "1\tpaid\n" },
  ["lua/resty/onemsg.md"] = { "true\n", "nil\t" },
}

describe("the pages", function()
  local fake, dir, exports

  setup(function()
    fake = server.fake { set = { pace_ms = 0 } }
    dir = server.directory()
    local list = {}
    for name, value in pairs(fake.env) do list[#list + 1] = name .. "='" .. value .. "'" end
    exports = table.concat(list, " ")
  end)
  teardown(function()
    local errors = fake:errors()
    fake:stop()
    os.execute("rm -rf '" .. dir .. "'")
    assert.equal("", errors)
  end)

  for _, path in ipairs(pages()) do
    local program, declared = program_of(path)
    if program ~= "" or #declared > 0 then
      it("run: the Lua of " .. path, function()
        for _, source in ipairs(declared) do assert(rules.load(source)) end
        if program == "" then return end
        local _, of_readme = program_of "README.md"
        write(dir .. "/rules.lua", declared[1] or of_readme[1])
        write(dir .. "/program.lua", program)
        os.execute(("rm -f '%s'/confirmations.db*"):format(dir))
        local said, code = output(("cd '%s' && %s %s program.lua"):format(dir, exports, LUA))
        assert.equal(0, code, said)
        assert.truthy(prints[path], "say in this spec what the program of " .. path .. " prints")
        local at = 1
        for _, expected in ipairs(prints[path]) do
          local _, last = said:find(expected, at)
          assert.truthy(last, path .. " did not print " .. expected .. " here:\n" .. said:sub(at))
          at = last + 1
        end
      end)
    end

    for n, code in ipairs(blocks(path, "sh")) do
      if not code:find "make test" then -- that is what runs this
        it(("run: shell block %d of %s"):format(n, path), function()
          local here = dir .. "/fake"
          local text = code:gsub("make fake", "make -s fake FAKE_DIR=" .. here):gsub("/tmp/onemsg%-fake", here)
          write(dir .. "/block.sh", "set -e\nfinish() { make -s fake-stop FAKE_DIR=" .. here .. " >/dev/null; }\n"
            .. "trap finish EXIT\n" .. text)
          local said, status = output("sh '" .. dir .. "/block.sh'")
          assert.equal(0, status, said)
          assert.matches("accepted", said)
        end)
      end
    end
  end

  if LUA == "lua5.4" then -- nginx is the same on every Lua
    for _, path in ipairs(pages()) do
      for n, code in ipairs(blocks(path, "nginx")) do
        it(("hold in nginx: block %d of %s"):format(n, path), function()
          write(dir .. "/rules.lua", program_of "README.md" and select(2, program_of "README.md")[1])
          os.execute(("mkdir -p '%s/logs' '%s/tmp'"):format(dir, dir))
          local text = code:gsub("/etc/onemsg/rules%.lua", dir .. "/rules.lua"):gsub("/var/lib/onemsg", dir)
            :gsub("listen 8080", "listen 127.0.0.1:32799")
            :gsub('lua_package_path ".-"', ('lua_package_path "%s/lua/?.lua;;"'):format(output "pwd"))
            :gsub('lua_package_cpath ".-"', ('lua_package_cpath "%s/%s/luajit/?.so;;"'):format(output "pwd",
              os.getenv "B" or "build"))
          write(dir .. "/nginx.conf", require("support.nginx").load_modules() .. "pid nginx.pid;\nerror_log error.log;\n"
            .. "events {}\nhttp {\naccess_log off;\nclient_body_temp_path tmp;\nproxy_temp_path tmp;\n"
            .. "fastcgi_temp_path tmp;\nuwsgi_temp_path tmp;\nscgi_temp_path tmp;\n" .. text .. "\n}")
          local said, status = output(("%s nginx -t -q -p '%s/' -c nginx.conf"):format(exports, dir))
          assert.equal(0, status, said)
          assert.equal("", said)
        end)
      end
    end
  end

  it("name no file that is not there", function()
    local lost = {}
    for _, path in ipairs(pages()) do
      for name in read(path):gmatch "`(%a+/[%w_./-]+)`" do
        if name:find "^src/" or name:find "^lua/" or name:find "^spec/" or name:find "^examples/" then
          local there = name:find "NNN" ~= nil or os.execute("test -e '" .. name .. "'")
          if there ~= true and there ~= 0 then lost[#lost + 1] = path .. ": " .. name end
        end
      end
    end
    assert.equal("", table.concat(lost, "\n"))
  end)

  it("have no link that leads nowhere, and cite no section that is not there", function()
    local sections, lost = {}, {}
    for number in read "lua/onemsg/PLATFORM.md":gmatch "\n##+ (%d[%d.]*)" do sections[number:gsub("%.$", "")] = true end
    for _, path in ipairs(pages()) do
      local base = path:match "^(.*/)" or ""
      for target in read(path):gmatch "%]%(([^)%s]+)%)" do
        local file, anchor = target:match "^([^#]*)#?(.*)$"
        if not target:find "^https?:" then
          local name = file == "" and path or base .. file
          local there = io.open(name)
          if not there then
            lost[#lost + 1] = path .. " -> " .. target
          else
            there:close()
            local headings = {}
            if name:find "%.md$" then
              for heading in ("\n" .. read(name)):gmatch "\n##* ([^\n]+)" do
                headings[heading:lower():gsub("[^%w%s_-]", ""):gsub("%s", "-")] = true
              end
              if anchor ~= "" and not headings[anchor] then lost[#lost + 1] = path .. " -> " .. target end
            end
          end
        end
      end
    end
    local pipe = assert(io.popen "grep -rnoE 'PLATFORM\\.md,? (section )?[0-9]+(\\.[0-9]+)?' src lua spec examples")
    for line in pipe:lines() do
      local number = line:match "([%d.]+)$"
      if not sections[number] then lost[#lost + 1] = line end
    end
    pipe:close()
    assert.equal("", table.concat(lost, "\n"))
  end)
end)
