--- onemsg.policy.optout: does a customer's message say that they want no more? Pure.
-- Only a message that consists of such a word, and of nothing else, counts: "stop", "STOP!", "Stop." do, "the bus stop"
-- and "please stop by" don't. Capital letters (Latin, Greek, Cyrillic), punctuation around it and blanks don't matter.
local M = {}

--- The words without the option stop_words. PLATFORM.md 5.5.
M.STOP_WORDS = {
  "stop", "stop all", "stopall", "unsubscribe", "opt out", "optout", "opt-out",      -- English, and understood widely
  "parar", "pare", "sair", "descadastrar", "cancelar inscrição",                     -- Portuguese
  "alto", "baja", "darme de baja", "cancelar suscripción", "no molestar",            -- Spanish
  "stopp", "abmelden", "abbestellen",                                                -- German, Nordic languages
  "arrêt", "arret", "arrêter", "désabonner", "se désabonner",                        -- French
  "ferma", "cancellami", "disiscriviti", "disiscrivimi",                             -- Italian
  "afmelden", "uitschrijven", "wypisz", "odhlásit", "dezabonare",                    -- Dutch, Polish, Czech, Romanian
  "стоп", "отписаться", "отписка", "отпишите", "відписатися",                        -- Russian, Ukrainian
  "dur", "abonelikten çık", "berhenti", "henti", "διακοπή", "διαγραφή",   -- Turkish, Indonesian, Greek
  "توقف", "إيقاف", "الغاء الاشتراك", "إلغاء الاشتراك",   -- Arabic
  "הסר", "הסרה", "बंद करें", "रोकें", "หยุด",   -- Hebrew, Hindi, Thai
  "停止", "退订", "退訂", "取消订阅", "配信停止", "수신거부",   -- Chinese, Japanese, Korean
}

-- Capital letters of two bytes, by their first byte: what range becomes what.
local function lower_two(first, second)
  local a, b = first:byte(), second:byte()
  if a == 0xC3 and b >= 0x80 and b <= 0x9E and b ~= 0x97 then return first .. string.char(b + 0x20) end -- À … Þ
  if a == 0xC4 or a == 0xC5 then -- Latin Extended-A: mostly pairs, the capital first
    local odd = a == 0xC4 and b >= 0xB9 or a == 0xC5 and b <= 0x88
    if a == 0xC4 and b == 0xB0 then return "i" end -- İ
    if a == 0xC5 and b == 0xB8 then return "\195\191" end
    if (b % 2 == 0) ~= odd and b < 0xBF then return first .. string.char(b + 1) end
  elseif a == 0xCE and b >= 0x91 and b <= 0x9F then return first .. string.char(b + 0x20)       -- Α … Ο
  elseif a == 0xCE and b >= 0xA0 and b <= 0xA9 then return "\207" .. string.char(b - 0x20)      -- Π … Ω
  elseif a == 0xD0 and b >= 0x90 and b <= 0x9F then return first .. string.char(b + 0x20)       -- А … П
  elseif a == 0xD0 and b >= 0xA0 and b <= 0xAF then return "\209" .. string.char(b - 0x20)      -- Р … Я
  elseif a == 0xD0 and b >= 0x80 and b <= 0x8F then return "\209" .. string.char(b + 0x10)      -- Ѐ … Џ
  end
  return first .. second
end

--- A text as it is compared: lower case, single blanks, no punctuation around it.
function M.plain(text)
  text = text:lower():gsub("([\195-\208])([\128-\191])", lower_two)
  text = text:gsub("\194\160", " "):gsub("\226\128[\139-\143\168-\175]", ""):gsub("\239\184[\128-\143]", "")
  text = text:gsub("\194[\161\171\187\191]", "!"):gsub("\226\128[\152-\159\166]", "!") -- ¡ « » ¿, quotes, …
  text = text:gsub("\227\128[\129\130\140\141]", "!"):gsub("\239\188[\129\140\159]", "!") -- 、 。 「 」 ！ ， ？
  return (text:gsub("^[%s%p]+", ""):gsub("[%s%p]+$", ""):gsub("%s+", " "))
end

--- Makes the test for a list of words.
-- @tparam table words list of texts
-- @treturn function (text) → the word, or nil
function M.matcher(words)
  local set = {}
  for _, word in ipairs(words) do set[M.plain(word)] = word end
  set[""] = nil
  return function(text)
    if type(text) ~= "string" or #text > 200 then return nil end
    return set[M.plain(text)]
  end
end

return M
