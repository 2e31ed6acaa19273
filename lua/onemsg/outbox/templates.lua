--- onemsg.outbox.templates: what the platform said last of the templates in use, and when each channel is looked at next. For
-- onemsg.outbox. What a change of it means stands in onemsg.workflow.templates.
local amend = require "onemsg.outbox.amend"

local M = { methods = {} }
local Templates = M.methods

local LOOK = "SELECT next_at FROM template_look WHERE channel = $1"
local BEGIN = "INSERT INTO template_look(channel, next_at) VALUES ($1, $2) ON CONFLICT (channel) DO NOTHING"
local TAKE = "UPDATE template_look SET next_at = $2 WHERE channel = $1 AND next_at = $3"

--- Takes the look at a channel's templates that is due: one process of all that share the store gets it.
-- @tparam number first seconds from the first question to the first look
-- @tparam number every seconds from one look to the next
-- @treturn ?boolean is it ours to look?
function Templates:take_template_look(channel, now, first, every)
  local results, err, info = self.db:read { { LOOK, channel } }
  if not results then return nil, err, info end
  local look = results[1][1]
  if not look then
    results, err, info = self.db:unit { { BEGIN, channel, now + first } }
    if not results then return nil, err, info end
    return false
  end
  if look.next_at > now and look.next_at <= now + every then return false end -- later: by a clock that was ahead
  results, err, info = self.db:unit { { TAKE, channel, now + every, look.next_at } }
  if not results then return nil, err, info end
  return results[1].changes == 1
end

--- The next look at a channel's templates comes at another time.
function Templates:put_template_look(channel, at)
  return self.db:unit { { "UPDATE template_look SET next_at = $2 WHERE channel = $1", channel, at } }
end

local SEEN = "SELECT * FROM template_seen WHERE channel = $1 ORDER BY name, language"
local QUEUED = "SELECT template FROM confirmation WHERE channel = $1 AND state = 'queued' ORDER BY due_at LIMIT 1000"

--- What was seen of a channel's templates, and those of the messages that are due first.
-- @treturn ?table { { channel, name, language, category, status, quality, allowed, at }, … }
-- @treturn ?table { { template }, … }
function Templates:templates_seen(channel)
  local results, err, info = self.db:read { { SEEN, channel }, { QUEUED, channel } }
  if not results then return nil, err, info end
  return results[1], results[2]
end

local SEE = [[
  INSERT INTO template_seen(channel, name, language, category, status, quality, allowed, at)
  VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
  ON CONFLICT (channel, name, language) DO UPDATE SET category = $4, status = $5, quality = $6, allowed = $7, at = $8]]

--- Keeps what is known of a template now.
function Templates:see_template(one, now)
  return self.db:unit { { SEE, one.channel, one.name, one.language, amend.or_null(one.category), amend.or_null(one.status),
    amend.or_null(one.quality), one.allowed and 1 or 0, now } }
end

local ALL = [[
  SELECT channel, name, language, category, status, quality, at FROM template_seen ORDER BY channel, name, language]]

--- The statement that reads what is known of all templates in use, for stats().
M.ALL = ALL

return M
