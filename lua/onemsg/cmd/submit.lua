--- onemsg submit: events in; each is decided and on disk before it is told. The same event again changes nothing, so what
-- was interrupted is simply run again.
local calls = require "onemsg.cli.call"
local from = require "onemsg.cli.from"
local input = require "onemsg.cli.input"

local M = {
  summary = "Take events (JSON, or JSON lines, on standard input): decided by the rules and stored; `work` sends them",
  arguments = { { "FILE", "the events; else standard input", optional = true } },
  options = { calls.STORE, calls.RULES, calls.RESOLVE, calls.RESOLVE_TIMEOUT,
    from.OPTIONS[1], from.OPTIONS[2], from.OPTIONS[3], from.OPTIONS[4] },
  examples = {
    [[echo '{"id":"p-1","type":"payment.succeeded","amount":990,"plan":{"kind":"subscription"},"payment":{"id":"p-1"},]]
      .. [["customer":{"first_name":"Maria","phone":"+12020721300","whatsapp_ok":true}}' | onemsg submit]],
    "onemsg submit --json <events.jsonl     # interrupted? run it again: nothing is taken twice",
    "onemsg submit --from stripe --header 'Stripe-Signature: t=…,v1=…' body.json     # as Stripe posted it",
  },
}

local WINDOW = 256 -- events on their way to the disk at once: they share commits

local Batch = {}
Batch.__index = Batch

--- Progress for a person who waits.
function Batch:progress(last)
  if not self.terminal or not last and self.total % 500 ~= 0 then return end
  io.stderr:write(("\r%d events: %d queued, %d skipped, %d known before, %d refused%s"):format(self.total, self.queued,
    self.skipped, self.duplicate, self.refused, last and "\n" or ""))
end

function Batch:refuse(item, err, info)
  self.refused = self.refused + 1
  local code = calls.code(err, info, true)
  self.code = self.code or code
  local out = self.call.out
  local id = type(item.event) == "table" and type(item.event.id) ~= "table" and item.event.id or nil
  out:object { line = item.line, id = id, error = err, exit = code }
  -- what the store refuses now it will refuse for all that follow
  local for_all = err:find "^store:" or err:find "^config:" or err:find "^closed:"
  if for_all and self.over then
    self.alike = self.alike + 1
    return
  end
  out:note("onemsg: line %d%s: %s", item.line, id and " (" .. tostring(id) .. ")" or "", err)
  if for_all then self.over = true end
end

function Batch:tell(ticket)
  local also = ticket.also or {}
  ticket.also = nil
  local count = ticket.duplicate and "duplicate" or ticket.state
  self[count] = self[count] + 1
  self.call.out:object(ticket)
  self.call.out:line("%-9s %s  %s%s", ticket.duplicate and "known" or ticket.state, ticket.id,
    ticket.rule and ticket.rule .. ": " or "",
    ticket.duplicate and ("was %s, is %s"):format(ticket.state, ticket.now) or ticket.reason)
  for _, one in ipairs(also) do self:tell(one) end
end

--- Waits until an event is on disk, or says why it is not taken.
function Batch:land(begun)
  self.total = self.total + 1
  local ticket, err, info = nil, begun.err, begun.info
  if begun.landing then ticket, err, info = begun.landing:wait() end
  if ticket then self:tell(ticket) else self:refuse(begun.item, err, info) end
  self:progress()
end

--- One batch of events: all of them begin before the first is waited for, as far as the window goes.
function Batch:run(flow, items)
  local begun, first = {}, 1
  for n, item in ipairs(items) do
    if self.over then break end
    local one = { item = item, err = item.error }
    if not one.err then one.landing, one.err, one.info = flow:submit(item.event, item.options or { wait = false }) end
    begun[n] = one
    if n - first + 1 >= WINDOW then
      self:land(begun[first])
      begun[first], first = nil, first + 1
    end
  end
  for n = first, #items do
    if begun[n] then self:land(begun[n]) end
  end
end

--- The batches of events that are to be taken.
-- @treturn ?function iterator
-- @treturn string with nil: "invalid: …", "config: …"
local function batches(options)
  if options.from then
    local items, err = from.items(options, require "onemsg.core".now())
    if not items then return nil, err end
    return function()
      local list = items
      items = nil
      return list
    end
  end
  if options.header or options.url or options.unverified then
    return nil, "invalid: --header, --url and --unverified belong to --from"
  end
  local read, err = input.open(options[1])
  if not read then return nil, err end
  return input.batches(read)
end

function M.run(call)
  local flow, err, info = call:flow()
  if not flow then return call:fail(err, info) end
  local core = require "onemsg.core"
  core.stop_on_signals()
  local following
  following, err = batches(call.options)
  if not following then return call:fail(err) end
  local batch = setmetatable({ call = call, total = 0, queued = 0, skipped = 0, duplicate = 0, refused = 0, alike = 0,
    terminal = core.terminal(2) and not core.terminal(1) }, Batch)
  for items in following do
    batch:run(flow, items)
    if batch.over or core.stopped() then break end
  end
  batch:progress(true)
  flow:close()
  if batch.alike > 0 then call.out:note("onemsg: so it was with %d more", batch.alike) end
  if batch.over then return nil, "stopped; when that is fixed, run it again: nothing is taken twice", batch.code end
  if core.stopped() then return nil, "stopped by a signal; run it again: nothing is taken twice", calls.SERVER end
  if batch.total == 0 then return nil, "submit: there is no event on standard input", calls.USAGE end
  if batch.code then return nil, nil, batch.code end
  return true, nil, batch.total == 1 and batch.skipped == 1 and calls.SKIPPED or nil
end

return M
