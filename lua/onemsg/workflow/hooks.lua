--- onemsg.workflow.hooks: flow:hooks. For onemsg.workflow.
-- First what a body says is stored, then it is folded into the confirmations (onemsg.workflow.fold).
local check = require "onemsg.base.check"
local core -- at the first hook: loading this loads no C
local fold = require "onemsg.workflow.fold"
local forgotten = require "onemsg.workflow.forget"
local hooks = require "onemsg.hooks"
local news = require "onemsg.policy.delivery"
local phones = require "onemsg.base.phone"
local statuses = require "onemsg.outbox.statuses"
local templates = require "onemsg.workflow.templates"

local M = { methods = {} }
local statements = statuses.statements

--- The name of the channel that a hook speaks of: '' when that is open; nil when it is certainly none of ours. The id is
-- compared as onemsg.new compares it with the token's: ODI371267300, 371267300, instance371267300 are one.
local function channel_of(flow, instance, given)
  if not instance or not next(flow.instances) then return given or (#flow.names == 1 and flow.names[1]) or "" end
  for name, id in pairs(flow.instances) do
    if core.same_channel(id, instance) then return (not given or given == name) and name or nil end
  end
  -- An id of a form that no channel's is names nobody for certain. (PLATFORM.md 1.1)
  local stranger = instance:find("^%a*%d+$") ~= nil or #flow.names > 1
  if stranger then return nil end
  return given or flow.names[1]
end

--- One kind of item, those of other channels left out and counted.
local function of_ours(flow, list, given, counts)
  local ours = {}
  for _, item in ipairs(list) do
    flow.breathe()
    local name = channel_of(flow, item.instance, given)
    if name then ours[#ours + 1] = { item = item, channel = name } else counts.foreign = counts.foreign + 1 end
  end
  return ours
end

--- Names that hooks about our channels tie together.
local function people_of_ours(flow, people, given)
  local list = {}
  for n, one in ipairs(of_ours(flow, people, given, { foreign = 0 })) do list[n] = one.item end
  return list
end

--- When a customer wrote: the times of messages are whole seconds, and what was written in one is as late as it may be, so
-- that a stop word is not older than what a person did in the same second.
local function written_at(message, now)
  local at = message.at or now
  return math.min(at % 1 == 0 and at + 1 or at, now)
end

--- Drops what is about messages of people who are forgotten, and names that come with nothing else.
-- @treturn ?number how many
local function drop_forgotten(flow, found)
  local known, left = #found.events + #found.messages, 0
  for _, kind in ipairs { "events", "messages" } do
    local kept, err, info = forgotten.sift(flow, found[kind])
    if not kept then return nil, err, info end
    found[kind], left = kept, left + #kept
  end
  if left < known and left == 0 then found.people = {} end
  return known - left
end

--- All that has to be on disk before the hook is acknowledged.
local function to_keep(flow, found, body, now)
  local list = {}
  for n, one in ipairs(found.events) do
    flow.breathe()
    list[n] = statements.status(one.item, one.channel, "hook", now)
  end
  for _, one in ipairs(found.messages) do
    flow.breathe()
    if one.item.from_me then
      list[#list + 1] = statements.echo(one.item, one.channel, now)
      local address = phones.of_item(one.item)
      if address then list[#list + 1] = statements.alarm(address, now) end
    end
  end
  for _, kind in ipairs { found.templates, found.errors } do
    for _, one in ipairs(kind) do list[#list + 1] = statements.word(one.item, one.channel, now) end
  end
  for _, one in ipairs(found.events) do
    flow.breathe()
    local address = phones.of_item(one.item)
    if address then list[#list + 1] = statements.alarm(address, now) end
  end
  local sample = type(body) == "string" and body or ""
  for kind, n in pairs(found.others) do list[#list + 1] = statements.oddity(kind, n, sample, now) end
  return list
end

--- The word of a kind that one of a message's texts consists of.
local function word_of(matcher, message)
  for _, text in ipairs(message.texts or { message.text }) do
    local word = matcher(text)
    if word then return word end
  end
  return nil
end

--- What customers write: who writes a stop word and nothing else is left alone; who writes a start word after it, not any
-- more. What is written in a group is meant for the group.
-- @treturn ?number how many wrote a stop word
-- @treturn number how many a start word that ended something
local function words_of_customers(flow, messages, now)
  local stopped, started = 0, 0
  for _, one in ipairs(messages) do
    flow.breathe()
    local message, at = one.item, written_at(one.item, now)
    local address = not message.from_me and not message.group and phones.of_item(message)
    if address and message.moved_to then
      local rows, err, info = flow.box:follow(address, message.moved_to, now)
      if not rows then return nil, err, info end
      for _, row in ipairs(rows) do flow:announce(row) end
    end
    local stop = address and word_of(flow.stop_word, message)
    if stop then
      local rows, err, info = flow.box:suppress({ channel = one.channel, phone = address, source = "stop",
        reason = ('they wrote "%s"'):format(stop), at = at }, now)
      if not rows then return nil, err, info end
      for _, row in ipairs(rows) do flow:announce(row) end
      stopped = stopped + 1
    elseif address and word_of(flow.start_word, message) then
      local ended, back, info = flow.box:start(address, one.channel, at, now, forgotten.digest(flow))
      if not ended then return nil, back, info end
      for _, row in ipairs(back) do flow:announce(row) end
      if ended > 0 then started = started + 1 end
    end
  end
  return stopped, started
end

--- Does what one word asks for, on one channel.
local function act_upon(flow, word, name, now)
  if word.subject ~= "" then
    local row = { channel = name, template = word.subject, language = word.language }
    return templates.heard(flow, row, word.word, now)
  end
  local _, measures = news.failed({ resends = 0 }, word, now, flow.random)
  measures.park, measures.suppress = nil, nil
  flow.worker:apply({ channel = name }, measures)
end

--- Words of the platform about templates and about the account: what is stored of them and not done yet, in their order.
-- One that the store does not let us do stays for the upkeep, and so do those behind it.
-- @treturn ?boolean true
function M.template_news(flow, now)
  local words, err, info = flow.box:open_words()
  if not words then return nil, err, info end
  for _, word in ipairs(words) do
    local before = flow.worker.troubles
    local names = word.channel ~= "" and { word.channel } or flow.names
    if word.channel == "" and word.subject == "" and #flow.names > 1 then -- a fault, and of whose account is open
      names = {}
      flow:alert { alert = "account", reason = word.error or tostring(word.code) }
    end
    for _, name in ipairs(names) do
      if flow.channels[name] then act_upon(flow, word, name, now) end
    end
    if flow.worker.troubles > before then return true end
    local done
    done, err, info = flow.box:acted(word, now)
    if not done then return nil, err, info end
  end
  return true
end

--- Takes what 1MSG posted to a webhook (PLATFORM.md 3). What it says is on disk when this returns a number.
-- Statuses are kept once by channel, message and word; those of a message that is not known yet are held for a day and
-- joined when it is. Bodies of other channels (instanceId) and kinds that are not understood are counted, and no error.
-- @tparam string|table body JSON as it came, or the table decoded from it
-- @tparam ?table options channel = name, where the webhook's address says it; else the body's instanceId does, or the
--   only channel there is
-- @treturn ?number how many events it held: statuses, messages, words about templates and the account
-- @treturn table new (statuses that were not known), duplicates, held (of unknown messages), messages, stopped (stop
--   words), started (start words that ended what a stop word had begun), foreign (of other channels), ignored (not understood)
-- @treturn string with nil: "invalid: …" (no JSON, too long, too many items: answer 400, a repeat would not help), or
--   "store: …" (answer 503, it must come again)
-- In nginx: wherever a light thread may wait.
function M.methods.hooks(flow, body, options)
  local given, now = check.options("hooks", options, { channel = "string" }).channel, flow.now()
  if given and not flow.channels[given] then check.misuse(("hooks: there is no channel '%s'"):format(given)) end
  if type(body) ~= "string" and type(body) ~= "table" then
    check.misuse("hooks takes the body of a webhook, a text, not a " .. type(body))
  end
  local found, err = hooks.parse(body, now, flow.breathe)
  local tally = flow.counted
  tally.hooks = tally.hooks + 1
  if not found then
    tally.hooks_invalid = tally.hooks_invalid + 1
    return nil, err, { outcome = "invalid" }
  end
  core = core or require "onemsg" and require "onemsg.core"
  local counts = { new = 0, duplicates = 0, held = 0, foreign = 0, stopped = 0, ignored = found.ignored }
  local events = #found.events + #found.messages + #found.templates + #found.errors
  for _, kind in ipairs { "events", "messages", "templates", "errors" } do
    found[kind] = of_ours(flow, found[kind], given, counts)
  end
  local dropped, failed, lost = drop_forgotten(flow, found)
  if not dropped then return nil, failed, lost end
  if dropped > 0 then counts.forgotten = dropped end
  counts.messages = #found.messages
  local kept, store_err, info = flow.box:keep(to_keep(flow, found, body, now))
  if not kept then return nil, store_err, info end
  local fresh, seen = {}, {}
  for n, one in ipairs(found.events) do
    flow.breathe()
    if #kept[n] > 0 then
      counts.new = counts.new + 1
      local key = one.item.id .. "\0" .. one.channel
      if not seen[key] then fresh[#fresh + 1], seen[key] = { one.item.id, one.channel }, true end
    else
      counts.duplicates = counts.duplicates + 1
    end
  end
  local joined
  joined, store_err, info = flow.box:join(people_of_ours(flow, found.people, given), now)
  if not joined then return nil, store_err, info end
  local stopped, started
  stopped, started, info = words_of_customers(flow, found.messages, now)
  if not stopped then return nil, started, info end
  counts.stopped, counts.started = stopped, started > 0 and started or nil
  for _, name in ipairs { "new", "duplicates", "foreign", "ignored" } do
    tally["hook_" .. name] = tally["hook_" .. name] + counts[name]
  end
  -- From here on all is on disk, and what fails is done by the upkeep.
  if #found.templates + #found.errors > 0 then M.template_news(flow, now) end
  local rows = flow.box:owners(fresh)
  if rows then
    counts.held = math.max(0, #fresh - #rows)
    fold.fold(flow, rows)
  end
  flow.worker:wake()
  return events, counts
end

return M
