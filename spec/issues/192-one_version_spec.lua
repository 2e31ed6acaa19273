-- The version has one home; what is packed and what is told agree with it.
local function output(command)
  local pipe = assert(io.popen(command .. " 2>&1"))
  local text = pipe:read "*a"
  pipe:close()
  return text
end

local function read(path)
  local file = assert(io.open(path))
  local text = file:read "*a"
  file:close()
  return text
end

describe("the version", function()
  local version = require "onemsg"._VERSION

  it("is a version", function() assert.truthy(version:find "^%d+%.%d+%.%d+$") end)

  it("is what make packs, and has its part in CHANGES.md, on top", function()
    assert.equal(version, (output "make -s version":gsub("%s+$", "")))
    assert.equal(version, read "lua/onemsg/CHANGES.md":match "\n## (%S+)\n")
  end)

  it("stands nowhere else in the code", function()
    local found = output(("grep -rlF '%s' src lua .ci Makefile *.rockspec --include=*.[ch] --include=*.lua --include=Makefile "
      .. "--include=*.rockspec --include=deb --include=rock --include=control --include=rules"):format(version))
    assert.equal("src/endpoint.h\n", found)
  end)
end)
