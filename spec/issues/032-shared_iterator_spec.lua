-- What one light thread waits for, another one may have taken: whoever shares an iterator of send_each gets each send
-- once, and nobody is told that the sends belong to another process.
local nginx = require "support.nginx"
local support = require "support.server"

local SHARED = [[
  location = /shared {
    content_by_lua_block {
      local threads, count, window = tonumber(ngx.var.arg_threads), tonumber(ngx.var.arg_count), tonumber(ngx.var.arg_window)
      local made, list = 0, {}
      local function source()
        if ngx.var.arg_yields == "yes" then ngx.sleep(0) end
        if made == count then return nil end
        made = made + 1
        return text(("1202%05d%02d"):format(made, made % 20))
      end
      local each = channel:send_each(source, { window = window })
      for i = 1, threads do
        list[i] = ngx.thread.spawn(function()
          for index, receipt, err in each do
            ngx.say(index, " ", receipt and receipt.outcome or err)
          end
        end)
      end
      for i = 1, threads do assert(ngx.thread.wait(list[i])) end
      ngx.say "end"
    }
  }
]]

describe("send_each, shared by light threads", function()
  local fake, server

  setup(function()
    fake = support.fake { latency = 5 }
    server = nginx.start { fake = fake, locations = SHARED }
  end)
  teardown(function()
    local complaints = server:complaints()
    server:stop()
    fake:stop()
    assert.equal("", complaints)
  end)

  for _, row in ipairs {
    { threads = 2, count = 1, window = 1 }, { threads = 8, count = 3, window = 64 }, { threads = 8, count = 100, window = 1 },
    { threads = 8, count = 200, window = 4 }, { threads = 3, count = 200, window = 64 },
    { threads = 4, count = 60, window = 2, yields = "yes" },
  } do
    it(("yields each of %d once to %d threads, %d in flight%s"):format(row.count, row.threads, row.window,
      row.yields and ", from a source that waits" or ""), function()
      fake:reset()
      local body = server:get(("/shared?threads=%d&count=%d&window=%d&yields=%s"):format(row.threads, row.count, row.window,
        row.yields or "no"))
      local seen, total = {}, 0
      for index, said in body:gmatch "(%d+) ([^\n]*)\n" do
        assert.equal("accepted", said, index)
        assert.is_nil(seen[index], index)
        seen[index], total = true, total + 1
      end
      assert.equal(row.count, total)
      assert.matches("end\n$", body)
      for _, count in pairs(fake:counts()) do assert.equal(1, count) end
    end)
  end
end)
