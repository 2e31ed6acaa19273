--- sendTemplate of the fake 1MSG: checks the body as the real thing does, then does what the phone's ending says
-- (fake/numbers.lua). nginx only.

local cjson = require "cjson"
local hooks = require "resty.onemsg.fake.hooks"
local messages = require "onemsg.fake.messages"
local numbers = require "onemsg.fake.numbers"
local people = require "onemsg.fake.people"
local state = require "resty.onemsg.fake.state"
local templates = require "onemsg.fake.templates"

local M = {}

local JSON = "application/json; charset=utf-8"
local OVERSIZED = 2 * 1024 * 1024
local NESTED = 10000
local NO_MESSAGE = "wamid.bm90aGluZyB3ZW50IG91dA=="   -- the id in answers whose message did not go out

--- Answer, with a length.
-- @tparam number status
-- @tparam string body
-- @tparam ?table headers
function M.reply(status, body, headers)
  ngx.status = status
  ngx.header["Content-Type"] = JSON
  for name, value in pairs(headers or {}) do ngx.header[name] = value end
  ngx.header["Content-Length"] = #body
  ngx.print(body)
end
local reply = M.reply

local pieces = { '{"sent":true,"id":"', "", '","message":"Sent to ', "",
                 '@c.us","description":"Message has been sent to the provider"}' }
local FIXED = #pieces[1] + #pieces[3] + #pieces[5]

local function accepted(id, phone)
  pieces[2], pieces[4] = id, phone
  return table.concat(pieces)
end

--- The same as `reply(200, accepted(id, phone))`, for less: no long string is made (see fake/messages.new_id).
local function reply_accepted(id, phone)
  pieces[2], pieces[4] = id, phone
  ngx.header["Content-Length"] = FIXED + #id + #phone
  ngx.print(pieces)
end

--- The bare acceptance.
-- @tparam string phone
function M.accept(phone) reply_accepted(messages.new_id(phone, ngx.now()), phone) end

--- The hook of a message that a customer writes.
-- @tparam string address
-- @tparam string text
-- @tparam string form a key of fake/people.FORMS
-- @tparam string channel
-- @treturn string JSON
function M.written(address, text, form, channel)
  local id, now = messages.new_id(address, ngx.now()), ngx.now()
  local place = messages.remember(id, address, text, now, true)
  local message = messages.shown({ place, id, address, text, now, true }, state.option.names)
  message.fromMe, message.self = false, false
  return cjson.encode { instanceId = channel, messages = { people.write(message, text, form) } }
end

--- A message leaves: it gets an id, a place in the history and its hooks.
local function go_out(row, holds, sent, phone, channel)
  local now, option = ngx.now(), state.option
  local id = messages.new_id(phone, now, row.id)
  local story = row.story
  if not holds and story ~= numbers.DELIVERED then
    story = numbers.DELIVERED
    messages.force(id, story)
  end
  local place = messages.remember(id, phone, sent, now)
  local urls = state.targets()
  if #urls > 0 then
    local pace = option.pace_ms / 1000
    local shape = state.settings.rawHooks and "raw" or option.hook_shape
    hooks.tell(row, story, { id = id, phone = phone, at = now, place = place, text = sent },
               { urls = urls, channel = channel, shape = shape, pace = pace, tell = option.names })
    if row.reply then
      hooks.schedule(urls, now + 3 * pace, function() return M.written(phone, row.reply, "text", channel) end, pace)
    end
  end
  return id
end

-- Ways of answering that are more than a body. Each gets the acceptance it may use.
local act = {}

function act.late_answer(body)
  ngx.sleep(math.max(state.option.pace_ms * 3, 200) / 1000)
  reply(200, body)
end

function act.slow(body)
  reply(200, body)   -- the two seconds passed before the message went out
end

function act.cut(body)
  ngx.header["Content-Type"] = JSON
  ngx.header["Content-Length"] = #body + 100
  ngx.print(body:sub(1, 30))
  ngx.flush(true)
  ngx.exit(ngx.ERROR)
end

function act.oversized(body)
  reply(200, body:sub(1, -2) .. ',"padding":"' .. ("x"):rep(OVERSIZED) .. '"}')
end

function act.nested(body)
  reply(200, body:sub(1, -2) .. ',"depth":' .. ("["):rep(NESTED) .. ("]"):rep(NESTED) .. "}")
end

function act.dribble(body)
  ngx.header["Content-Type"] = JSON
  ngx.header["Content-Length"] = #body
  local piece = math.ceil(#body / 10)
  for from = 1, #body, piece do
    ngx.print(body:sub(from, from + piece - 1))
    ngx.flush(true)
    ngx.sleep(0.05)
  end
end

-- These need directives of their own: named locations in the configuration (fake/conf.lua).
function act.hang() return ngx.exec "@hang" end
function act.close() return ngx.exec "@close" end
function act.reset() return ngx.exec "@reset" end

local function fill(text, config, phone, id)
  return (text:gsub("$(%u[%u_]*)", function(word)
    if word == "TOKEN" then return config.token end
    if word == "CHANNEL" then return config.channel end
    if word == "PHONE" then return phone end
    if word == "ID" then return id end
    if word == "HTTP_DATE" then return ngx.http_time(math.ceil(ngx.now()) + 3) end
  end))
end

--- One sendTemplate whose body is whole.
-- @tparam ?table sent decoded body
-- @tparam string raw body as it came
-- @tparam ?string phone recipient
-- @tparam number nth how many whole requests for this phone there were, this one included
-- @tparam table config token, channel
function M.send(sent, raw, phone, nth, config)
  local content_type = ngx.var.content_type or ""
  if not content_type:find "^application/json" then
    return reply(415, '{"error":"Content-Type must be application/json"}')
  end
  if not sent then return reply(400, '{"error":"Request body is not valid JSON"}') end
  local status, refusal = templates.check(sent, raw)
  if status then return reply(status, refusal) end
  local row = numbers.row(phone)
  local holds = numbers.holds(row, nth)
  local taken = row.outcome == "accepted" or not holds
  if holds and row.act == "slow" then ngx.sleep(2) end
  local id = (taken or row.goes_out) and go_out(row, holds, sent, phone, config.channel) or NO_MESSAGE
  if holds and row.act then return act[row.act](accepted(id, phone)) end
  if holds and row.answer then
    local headers = {}
    for name, value in pairs(row.answer[3]) do headers[name] = fill(value, config, phone, id) end
    return reply(row.answer[1], fill(row.answer[2], config, phone, id), headers)
  end
  return reply_accepted(id, phone)
end

return M
