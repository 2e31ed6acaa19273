--- onemsg.workflow.templates: the watch over templates. What the platform says of one, by a hook or in the list that is asked
-- for every hour (once for a channel, whichever process of the store comes first), is held against what it said before: a
-- template that became marketing, or is not approved any more, is set aside; what is well again goes on. For
-- onemsg.workflow.hooks and onemsg.workflow.followup. PLATFORM.md 1.7, 5.5, 9.
local gate = require "onemsg.outbox.gate"
local template = require "onemsg.template"

local M = {}

local HOUR = 3600
local EVERY = HOUR        -- seconds from one look at a channel's templates to the next
local FIRST = 60          -- seconds from the beginning of a store: who has just begun has other things to do
local AGAIN = 600         -- seconds until a list is asked for again when that failed
local TEXTS_FOR = 86400   -- seconds that a list is believed where its texts are evidence
local DISABLED = 86400    -- seconds to set a template aside that is called disabled or rejected

-- Words about a template that set it aside, for so many seconds, and those that lift that. FLAGGED and IN_APPEAL change
-- nothing: such a template still goes out. (PLATFORM.md 9)
local paused = { PAUSED = 3 * HOUR, DISABLED = DISABLED, REJECTED = DISABLED, PENDING_DELETION = DISABLED,
                 DELETED = DISABLED, LOCKED = DISABLED, ARCHIVED = DISABLED, LIMIT_EXCEEDED = DISABLED }
local lifted = { APPROVED = true, REINSTATED = true, UNARCHIVED = true }
local harmless = { FLAGGED = true, IN_APPEAL = true }

-- People agreed to messages about what they did: a template that has become marketing waits for somebody who says that it may.
local MARKETING = "the template is set aside: WhatsApp counts it as marketing now; if people agreed to that, write "
  .. "allow_marketing = true in the template, else appeal or use another one"

local function allows_marketing(flow, name, now)
  local form = (flow:ruleset(now).templates or {})[name]
  return form ~= nil and form.allow_marketing == true
end

local function aside_until(word, now) return now + (paused[word] or paused.PAUSED) end

local function set_aside(flow, row, word, now)
  flow.worker:apply(row, { park = { until_at = aside_until(word, now), reason =
    ("the template is set aside: WhatsApp calls it %s"):format((word:lower():gsub("_", " "))) } })
end

--- The template is well as far as its status goes.
local function take_up(flow, row, now)
  local _, err = flow.box:unpark_for_a_time(row, now)
  if err then flow.worker:trouble(err) end
end

--- Takes up templates that were set aside as marketing: the one that is of another category now, or those that the rules
-- allow by now.
-- @tparam ?table row channel, template, language
-- @treturn ?boolean true
function M.marketing_ends(flow, now, row)
  local list, err, info = flow.box:parked_for_good()
  if not list then return nil, err, info end
  for _, park in ipairs(list) do
    local is_it = row and row.channel == park.channel and row.template == park.template and row.language == park.language
    if flow.channels[park.channel] and (is_it or not row and allows_marketing(flow, park.template, now)) then
      local done
      done, err, info = flow.box:unpark(park, now)
      if done == nil then return nil, err, info end
      if done then
        flow:alert { alert = "resumed", channel = park.channel, template = park.template,
          reason = is_it and "WhatsApp does not count it as marketing any more" or "the rules allow marketing with it" }
        flow.worker:wake()
      end
    end
  end
  return true
end

--- What a category that is new asks for.
-- @treturn boolean do the rules let it be marketing?
local function judge_category(flow, row, known, category, now)
  if category ~= "MARKETING" then
    if known.category == "MARKETING" then
      local ok, err = M.marketing_ends(flow, now, row)
      if not ok then flow.worker:trouble(err) end
    end
    return false
  end
  local allowed = allows_marketing(flow, row.template, now)
  local told = known.category == "MARKETING" and known.allowed == 0 -- since then a person may have let it go on
  if not allowed and not told then
    flow.worker:apply(row, { park = { until_at = gate.FOREVER, reason = MARKETING } })
  end
  return allowed
end

local function is_sendable(status)
  return status:find "^ACTIVE" ~= nil or lifted[status] == true or harmless[status] == true
end

--- What a status in the list asks for. Who was let go on by a person is not set aside anew for the same word.
local function judge_status(flow, row, known, status, now)
  if is_sendable(status) then
    if known.status and not is_sendable(known.status) then take_up(flow, row, now) end
  elseif status ~= known.status then
    set_aside(flow, row, status, now)
  else
    local ok, err = flow.box:stay_parked(row, aside_until(status, now))
    if not ok then flow.worker:trouble(err) end
  end
end

--- What of a template a person should look at: "marketing", "status", "quality"; in words as well.
-- @tparam table one of stats().templates
-- @treturn table { { kind, text }, … }
function M.amiss(one)
  local list = {}
  local function say(kind, text) list[#list + 1] = { kind = kind, text = text } end
  if one.category == "MARKETING" then say("marketing", "WhatsApp counts it as marketing") end
  if one.status and not is_sendable(one.status) then
    say("status", "WhatsApp calls it " .. one.status:lower():gsub("_", " "))
  end
  if one.quality == "RED" then say("quality", "WhatsApp rates it as of low quality: it is paused if that goes on") end
  return list
end

--- Acts upon what is new of a template, and keeps it. What fails is told to the worker, and comes again.
-- @tparam table row channel, template, language
-- @tparam ?table known what was kept of it
-- @tparam table said category, status, quality, as far as something was said of them
-- @tparam ?boolean by_word a hook said it: what its status asks for is done
local function learn(flow, row, known, said, now, by_word)
  known = known or { allowed = 0 }
  local before = flow.worker.troubles
  local one = { channel = row.channel, name = row.template, language = row.language, category = said.category or known.category,
    status = said.status or known.status, quality = said.quality or known.quality, allowed = known.allowed == 1 }
  if said.category then one.allowed = judge_category(flow, row, known, said.category, now) end
  if said.status and not by_word then judge_status(flow, row, known, said.status, now) end
  if said.quality == "RED" and known.quality ~= "RED" then
    flow:alert { alert = "quality", channel = row.channel, template = row.template,
      reason = ("WhatsApp rates %s (%s) as of low quality: it is paused if that goes on"):format(row.template, row.language) }
  end
  local differs = (one.allowed and 1 or 0) ~= known.allowed
  for _, name in ipairs { "category", "status", "quality" } do differs = differs or one[name] ~= known[name] end
  if not differs or flow.worker.troubles > before then return end
  local kept, err = flow.box:see_template(one, now)
  if not kept then flow.worker:trouble(err) end
end

--- What was kept of a channel's templates, by name and language.
local function by_key(list)
  local known = {}
  for _, one in ipairs(list) do known[one.name .. "\0" .. one.language] = one end
  return known
end

--- Does what a word of a hook about a template asks for.
-- @tparam table row channel, template, language
-- @tparam string word PAUSED, CATEGORY_MARKETING, QUALITY_RED …
function M.heard(flow, row, word, now)
  local list, err = flow.box:templates_seen(row.channel)
  if not list then return flow.worker:trouble(err) end
  local known = by_key(list)[row.template .. "\0" .. row.language]
  local said = { category = word:match "^CATEGORY_(.*)", quality = word:match "^QUALITY_(.*)" }
  if paused[word] then
    said.status = word
    set_aside(flow, row, word, now)
  elseif lifted[word] then
    said.status = "APPROVED"
    take_up(flow, row, now)
  end
  if next(said) then learn(flow, row, known, said, now, true) end
end

--- Asks for all templates of a channel, page by page, beside the loop.
-- @tparam function go_on is called with the list, or nil
function M.ask(worker, name, go_on)
  local flow = worker.flow
  local path, take = template.pager()
  local function page()
    worker:begin(flow.channels[name], "request", {
      land = function(flight)
        local list = take(flight.answer[1])
        if list == false then return page() end
        flow.texts[name] = { list = list, till = flow.now() + (list and TEXTS_FOR or AGAIN) }
        go_on(list)
      end,
    }, "GET", path())
  end
  page()
end

--- The names of the templates that are used: by the rules, by what waits, or that were once.
local function used(flow, seen, queued, now)
  local names = {}
  for name in pairs(flow:ruleset(now).templates or {}) do names[name] = true end
  for _, one in ipairs(seen) do names[one.name] = true end
  for _, one in ipairs(queued) do names[one.template or ""] = true end
  return names
end

--- A whole list has come: each template in use is held against what was known of it. One that the list lacks is gone.
local function compare(flow, name, list)
  local now = flow.now()
  local seen, queued = flow.box:templates_seen(name)
  if not seen then return flow.worker:trouble(queued) end
  local known, names, listed = by_key(seen), used(flow, seen, queued, now), {}
  for _, tpl in ipairs(list) do
    local key = tpl.name .. "\0" .. tpl.language
    listed[key] = true
    if names[tpl.name] then
      learn(flow, { channel = name, template = tpl.name, language = tpl.language }, known[key],
        { category = tpl.category, status = tpl.status, quality = tpl.quality }, now)
    end
  end
  if list.truncated or not list[1] then return end
  for key, one in pairs(known) do
    if not listed[key] then
      learn(flow, { channel = name, template = one.name, language = one.language }, one, { status = "DELETED" }, now)
    end
  end
end

--- Looks at the templates of each channel whose hour has come. Part of the upkeep.
-- @treturn ?boolean true; nil, err
function M.look(worker, now)
  local flow = worker.flow
  for _, name in ipairs(flow.names) do
    local mine, err = flow.box:take_template_look(name, now, FIRST, EVERY)
    if mine == nil then return nil, err end
    if mine then
      M.ask(worker, name, function(list)
        if list then return compare(flow, name, list) end
        local put, why = flow.box:put_template_look(name, flow.now() + AGAIN)
        if not put then worker:trouble(why) end
      end)
    end
  end
  return true
end

return M
