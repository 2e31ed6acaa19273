-- The manual page and the completions say what the commands say of themselves, and are taken by who reads them.
local cli = require "onemsg.cli"
local commands = require "support.command"

local function each(visit)
  for _, name in ipairs(cli.COMMANDS) do
    local command = cli.command(name)
    if command.options or not command.verbs then visit(name, command) end
    for _, verb in ipairs(command.verb_names or {}) do visit(name .. " " .. verb, command.verbs[verb]) end
  end
end

describe("onemsg help --as", function()
  local command
  setup(function() command = commands.new() end)
  teardown(function() command:remove() end)

  local function made(form)
    local result = command:run("help --as " .. form)
    assert.equal(0, result.code)
    return result.out
  end

  it("man has every command and option", function()
    local text = made "man"
    each(function(name, part)
      assert.truthy(text:find("\n.It Cm " .. name, 1, true), name)
      for _, option in ipairs(part.options or {}) do
        assert.truthy(text:find("\n.It Fl \\-" .. option[1]:gsub("%-", "\\-"), 1, true), option[1])
      end
    end)
    for line in text:gmatch "[^\n]+" do
      assert.truthy(line:find "^%.[A-Z]" or line:find '^%.\\"' or not line:find "^[.']", line)
    end
  end)

  it("bash offers commands, verbs, options; other words nothing", function()
    command:write("onemsg.bash", made "bash")
    each(function(name, part)
      local words = {}
      for word in name:gmatch "%S+" do words[#words + 1] = word end
      local result = command:shell(("bash -c '. %s/onemsg.bash; COMP_WORDS=(onemsg %s --); COMP_CWORD=%d; _onemsg; "
        .. 'printf "%%s\\n" "${COMPREPLY[@]}"\''):format(command.dir, name, #words + 1))
      for _, option in ipairs(part.options or {}) do
        assert.truthy(("\n" .. result.out):find("\n--" .. option[1] .. "\n", 1, true), name .. " " .. option[1] .. result.err)
      end
    end)
    local result = command:shell(("bash -c '. %s/onemsg.bash; for word in sub xyz; do COMP_WORDS=(onemsg $word); COMP_CWORD=1; "
      .. "_onemsg; echo ${COMPREPLY[@]}.; done; COMP_WORDS=(onemsg rules b); COMP_CWORD=2; _onemsg; echo ${COMPREPLY[@]}'")
      :format(command.dir))
    assert.equal("submit.\n.\nbacktest\n", result.out, result.err)
  end)

  it("fish and zsh have every command and option", function()
    local fish, zsh = made "fish", made "zsh"
    each(function(name, part)
      local word = name:match "%S+$"
      assert.truthy(fish:find(" -a " .. word .. " ", 1, true), name)
      assert.truthy(zsh:find(word, 1, true), name)
      for _, option in ipairs(part.options or {}) do
        assert.truthy(fish:find(" -l " .. option[1] .. " ", 1, true), option[1])
        assert.truthy(zsh:find("--" .. option[1] .. "[", 1, true), option[1])
      end
    end)
  end)

  it("refuses other forms", function()
    local result = command:run "help --as html"
    assert.equal(1, result.code)
    assert.truthy(result.err:find("--as takes man, bash, fish or zsh, not html", 1, true))
  end)

  for shell, line in pairs { zsh = "zsh -n", fish = "fish -n", man = "mandoc -Tlint" } do
    it("is taken by " .. line .. ", where it is installed", function()
      if not command:shell("command -v " .. line:match "%S+").out:find "%S" then return pending(line .. " is not installed") end
      command:write("made.1", made(shell))
      local result = command:shell(line .. " " .. command.dir .. "/made.1")
      assert.equal("", result.out .. result.err)
      assert.equal(0, result.code)
    end)
  end
end)
