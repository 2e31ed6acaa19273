--- What it costs to take an event of a sender: verified and read, without the store, beside one signed after Standard
-- Webhooks, in alternating rounds. Every request is one that its sender's library signed (support/sender_vectors.json), and
-- is checked: what is not taken ends the run.
--
--     eval "$(make -s env LUA=luajit)"; luajit spec/bench/senders_bench.lua [rounds]
local cjson = require "cjson"
local senders = require "onemsg.senders"

local ROUNDS, TIMES = tonumber(arg[1]) or 9, 400

local file = assert(io.open "spec/support/sender_vectors.json")
local vectors = cjson.decode(file:read "*a")
file:close()

local mixed, standard = {}, {}
for _, vector in ipairs(vectors) do
  local one = { name = vector.sender, keys = assert(senders.keys(vector.sender, vector.secret)), now = vector.now,
    request = { url = vector.url, headers = vector.headers, query = vector.query, body = vector.body } }
  mixed[#mixed + 1] = one
  if vector.sender == "standard" and not standard[1] then standard[1] = one end
end

local function rate(list)
  collectgarbage()
  local began, count = os.clock(), 0
  for _ = 1, TIMES * (list == standard and #mixed or 1) do
    for _, one in ipairs(list) do
      count = count + #assert(senders.take(one.name, one.keys, one.request, one.now)).items
    end
  end
  return count / (os.clock() - began)
end

local function median(list)
  table.sort(list)
  return list[math.floor(#list / 2) + 1], list[1], list[#list]
end

local all, alone, ratios = {}, {}, {}
rate(mixed)
for round = 1, ROUNDS do
  all[round], alone[round] = rate(mixed), rate(standard)
  ratios[round] = all[round] / alone[round]
end
print(("mixed senders      %8.0f events/s CPU (%.0f to %.0f)"):format(median(all)))
print(("Standard Webhooks  %8.0f events/s CPU (%.0f to %.0f)"):format(median(alone)))
print(("ratio              %8.2f (%.2f to %.2f)"):format(median(ratios)))
