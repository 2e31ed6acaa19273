--- onemsg suppress: nothing more is sent to somebody, or to everybody in a list of opt-outs.
local calls = require "onemsg.cli.call"
local csv = require "onemsg.base.csv"

local M = {
  summary = "Send nothing more to somebody; what waits for them is skipped",
  arguments = { { "PHONE", "as people write numbers, a bsuid, or @username", optional = true } },
  options = {
    calls.STORE,
    { "file", "FILE", "a CSV of opt-outs instead: the column phone (or the first) and, where there is one, reason; - for "
      .. "standard input" },
    { "channel", "NAME", "on this channel; else on all" },
    { "for", "TIME", "for so long, such as 30d; else for good", seconds = true },
    { "reason", "TEXT", "why; else \"by hand\"" },
    { "country", "CODE", "of national numbers, such as BR or 55; else the channel's" },
  },
  examples = { 'onemsg suppress "+1 202 072 1369" --reason "asked by telephone"', "onemsg suppress --file opt-outs.csv" },
}

local PHONE = { phone = true, number = true, mobile = true, telephone = true, telefone = true, celular = true, msisdn = true,
                whatsapp = true, ["phone number"] = true }

--- Which columns of a head are phone and reason; nil when the first row is no head.
local function columns_of(row)
  local phone, reason
  for n, name in ipairs(row) do
    name = name:lower()
    if PHONE[name] then phone = phone or n end
    if name == "reason" then reason = n end
  end
  return phone, reason
end

--- Each phone of a list.
-- @tparam function act called as act(phone, reason) → count, or nil, err
local function each(text, act)
  local done, skipped, wrong, phone_at, reason_at = 0, 0, {}, nil, nil
  for row, line in csv.rows(text) do
    local head
    if not phone_at then
      phone_at, reason_at = columns_of(row)
      head = phone_at
      phone_at = phone_at or 1
    end
    if not head then
      local reason = reason_at and row[reason_at] or ""
      local count, err, info = act(row[phone_at] or "", reason ~= "" and reason or nil)
      if count then
        done, skipped = done + 1, skipped + count
      elseif info then -- the store: nothing more can be done
        return nil, err, info
      else
        wrong[#wrong + 1] = { line = line, error = err }
      end
    end
  end
  return { suppressed = done, skipped = skipped, wrong = wrong }
end

local function read(path)
  if path == "-" then return io.read "*a" end
  local file, why = io.open(path, "rb")
  if not file then return nil, "invalid: the list can't be read: " .. why end
  local text = file:read "*a"
  file:close()
  if not text then return nil, "invalid: the list can't be read: it is no file" end
  local foreign = require "onemsg.base.document".foreign(text)
  if foreign then return nil, "invalid: the list can't be read: " .. foreign end
  return text
end

function M.run(call)
  local options, text = call.options, nil
  if (options[1] == nil) == (options.file == nil) then return nil, "suppress: give a phone, or --file", calls.USAGE end
  if options.file then
    local why
    text, why = read(options.file)
    if not text then return call:fail(why) end
  end
  local flow, err, info = call:desk(true)
  if not flow then return call:fail(err, info) end
  local function act(phone, reason)
    local ok, count, why, more = pcall(flow.suppress, flow, phone, { duration = options["for"], country = options.country,
      reason = reason or options.reason, channel = options.channel, by = calls.person() })
    if not ok then return nil, (tostring(count):gsub("^.*suppress: ", "")) end
    return count, why, more
  end
  local result
  if text then
    result, err, info = each(text, act)
  else
    local count
    count, err, info = act(options[1])
    result = count and { suppressed = 1, skipped = count, wrong = {} }
    if not count and not info then err = "invalid: " .. err end
  end
  flow:close()
  if not result then return call:fail(err, info) end
  call.out:object(result)
  for _, one in ipairs(result.wrong) do call.out:note("line %d: %s", one.line, one.error) end
  call.out:line("%d suppressed; %d messages that waited are skipped%s", result.suppressed, result.skipped,
    result.wrong[1] and ("; %d lines could not be read"):format(#result.wrong) or "")
  return true, nil, result.wrong[1] and calls.USAGE or nil
end

return M
