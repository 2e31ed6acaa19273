-- The handlers of nginx.conf.
local cjson = require "cjson"
local onemsg = require "onemsg"

local M = {}
local channel

function M.init()
  channel = assert(onemsg.new {}) -- ONE_MSG_TOKEN, ONE_MSG_TEMPLATE …
end

local function message_for(order)
  return { phone = order.phone, name = order.name, action = "payment of order " .. order.id,
           next_step = "We ship it on the next working day." }
end

-- Your own part: take the money, store the order.
local function take_payment()
  ngx.req.read_body()
  local form = ngx.req.get_post_args()
  return { id = ngx.var.request_id:sub(1, 8), name = form.name or "there", phone = form.phone or "" }
end

local function log_outcome(order, what) ngx.log(ngx.NOTICE, "order ", order.id, ": ", what) end

-- Asks until the message has arrived, or for two minutes.
local function follow(order, id)
  for pause = 1, 15 do
    onemsg.sleep(pause) -- yields, like every call that waits
    local report, err = channel:hookInfo(id)
    local status = report and report.status or err
    if status == "delivered" or status == "read" or status == "failed" then return log_outcome(order, status) end
  end
end

function M.pay()
  local order = take_payment()
  ngx.say(cjson.encode { paid = true, order = order.id })
  ngx.eof() -- the customer has it; this light thread goes on
  local receipt, err = channel:send(message_for(order))
  log_outcome(order, receipt and receipt.outcome or err)
  if receipt and receipt.id then follow(order, receipt.id) end
end

function M.pay_and_wait()
  local order = take_payment()
  local receipt, err, info = channel:send(message_for(order))
  ngx.say(cjson.encode { paid = true, order = order.id, message = receipt and receipt.outcome or info.outcome, why = err })
end

function M.tell_of_profile() -- log_by_lua cannot wait: begin it and leave; /stats counts how it ended
  local pending, err = channel:async("send", { phone = ngx.var.arg_phone or "", name = ngx.var.arg_name or "there",
    action = "profile update", next_step = "See it in your account." })
  if not pending then ngx.log(ngx.WARN, err) end
end

function M.stats() ngx.say(cjson.encode(channel:stats())) end

return M
