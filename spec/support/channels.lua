--- Channels and messages for specs.
--
--     local channels = require "support.channels"
--     local channel = channels.new(fake)                               -- plain HTTP to the fake
--     local channel = channels.new(fake, { base_url = fake.env.FAKE_H2_URL, timeout = 1 })
--     local channel = channels.to(raw_server, { http = "1.1" })
--     channel:send(channels.message "12020721300")

local onemsg = require "onemsg"
local sys = require "support.sys"

local M = {}

--- Made up, and bound to no channel.
M.TOKEN = "link_made-up-for-the-specs-0123456789"

local function merge(base, more)
  for name, value in pairs(more or {}) do base[name] = value end
  return base
end

--- Options for a fake, all explicit; HTTP/2 where the server offers it.
-- @tparam table fake of support.server
-- @tparam ?table more options that replace them
-- @treturn table
function M.options(fake, more)
  local env = fake.env
  return merge({
    base_url = env.FAKE_HTTP_URL, ca_file = env.ONE_MSG_CA_FILE, token = env.ONE_MSG_TOKEN,
    template = env.ONE_MSG_TEMPLATE, namespace = env.ONE_MSG_TEMPLATE_NAMESPACE,
    language = env.ONE_MSG_TEMPLATE_LANGUAGE,
    timeout = 60, connect_timeout = 60, http = "auto",
  }, more)
end

--- A channel to a fake.
function M.new(fake, more) return assert(onemsg.new(M.options(fake, more))) end

--- A channel to a server of support.raw.
function M.to(raw, more)
  return assert(onemsg.new(merge({
    base_url = raw.url, ca_file = raw.ca_file, token = M.TOKEN, channel = "RAW1", template = "action_success",
    namespace = "ns", language = "en", timeout = 60, connect_timeout = 60, http = "auto",
  }, more)))
end

--- A fake, and a channel to it. -> fake, channel, finish()
-- @tparam ?table options of the fake
function M.with_fake(options, more)
  local fake = require "support.server".fake(options or {})
  local channel = M.new(fake, more)
  return fake, channel, function()
    channel:close()
    fake:stop()
  end
end

--- A raw server that answers what it is told (raw.ask), and a channel to it. -> server, channel, finish()
function M.with_raw(more)
  local server = require "support.raw".http "tell"
  local channel = M.to(server, more)
  return server, channel, function()
    channel:close()
    server:stop()
  end
end

--- Maria's message.
-- @tparam string phone
-- @tparam ?table more fields that replace them
function M.message(phone, more)
  return merge({ phone = phone, name = "Maria", action = "subscription payment",
                 next_step = "Access activated in your account." }, more)
end

local serial = 0
--- A phone that nobody used before, no forked child either, and whose last two digits choose what the fake does.
-- @tparam number ending 0 to 99
-- @treturn string digits
function M.phone(ending)
  serial = serial + 1
  return ("491%03d%06d%02d"):format(sys.getpid() % 1000, serial, ending)
end

return M
