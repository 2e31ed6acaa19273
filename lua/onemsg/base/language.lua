--- onemsg.base.language: the spellings of a language code. WhatsApp knows one (en, pt_BR), other systems write pt-BR, EN,
-- en_us, pt_BR.UTF-8, zh-Hant-TW, or a browser's whole list. PLATFORM.md 5.3. Pure.
local M = {}

--- The code as WhatsApp writes it: "pt_BR" for "pt-BR". The first of a list; what stands behind the region goes, and so
-- does a script where a region follows.
-- @treturn ?string nil: it can't be a code
function M.code(text)
  if type(text) ~= "string" or #text > 200 then return nil end
  local first = text:match "^%s*([%w_%-]+)"
  local language, rest = (first or ""):match "^(%a%a%a?)(.*)$"
  if not language then return nil end
  rest = rest:gsub("^[_%-]%a%a%a%a%f[_%-]", "")
  if rest == "" then return language:lower() end
  local region = rest:match "^[_%-](%a%a)$" or rest:match "^[_%-](%a%a)[_%-]"
  return region and language:lower() .. "_" .. region:upper() or nil
end

return M
