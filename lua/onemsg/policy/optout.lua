--- onemsg.policy.optout: does a customer's message say that they want no more? Pure.
-- Only a message that consists of such a word, and of nothing else, counts: "stop", "STOP!", "Stop." do, "the bus stop"
-- and "please stop by" don't. Capital letters (Latin, Greek, Cyrillic), punctuation around it, emoji and blanks don't matter.
local plain = require "onemsg.base.utf8"

local M = {}

-- "STOP 🛑": pictures of U+1F000 and up, symbols of U+2600 to U+27BF, and what chooses their form, say nothing.
local EMOJI, SYMBOL, SELECTOR = "\240\159[\128-\191][\128-\191]", "\226[\152-\158][\128-\191]", "\239\184\143"

--- The words without the option stop_words. PLATFORM.md 5.5.
M.STOP_WORDS = {
  "stop", "stop all", "stopall", "unsubscribe", "opt out", "optout", "opt-out",      -- English, and understood widely
  "quit", "cancel", "end", "stop promotions", "stop messages", "remove me",          -- of SMS, and of Meta's own buttons
  "parar", "pare", "sair", "descadastrar", "cancelar inscrição",                     -- Portuguese
  "não quero receber", "nao quero receber", "parar promoções",
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

--- The words that take back what such a word did; the same rules.
M.START_WORDS = {
  "start", "unstop", "restart", "subscribe", "opt in", "optin", "opt-in",            -- English, and understood widely
  "começar", "voltar", "retomar", "comenzar", "empezar", "alta", "reanudar",         -- Portuguese, Spanish
  "starten", "anmelden", "reprendre", "commencer", "inizia", "riprendi", "старт",    -- German, French, Italian, Russian
  "başla", "mulai", "έναρξη", "ابدأ", "התחל", "शुरू", "เริ่ม", "开始", "開始", "시작",
}

--- Makes the test for a list of words.
-- @tparam table words list of texts
-- @treturn function (text) → the word, or nil
function M.matcher(words)
  local set = {}
  for _, word in ipairs(words) do set[plain.comparable(word)] = word end
  set[""] = nil
  return function(text)
    if type(text) ~= "string" or #text > 200 then return nil end
    return set[plain.comparable((text:gsub(EMOJI, ""):gsub(SYMBOL, ""):gsub(SELECTOR, "")))]
  end
end

return M
