// Writes lua/onemsg/base/currency.lua's rows out of ISO 4217's list one, as the npm package currency-codes carries it. To
// renew it, anywhere outside the tree:
//   npm install currency-codes && NODE_PATH=node_modules node …/spec/support/currency_table.js >…/lua/onemsg/base/currency.lua
"use strict"

let list, published, version
try {
  list = require("currency-codes/data")
  published = require("currency-codes/iso-4217-publish-date")
  version = require("currency-codes/package.json").version
} catch (error) {
  console.error("currency_table.js: the npm package currency-codes is not there (npm install currency-codes, then set NODE_PATH)")
  process.exit(2)
}

const by_digits = new Map()
for (const { code, digits } of list) {
  if (!/^[A-Z]{3}$/.test(code) || /^X(A[GU]|B[ABCD]|DR|P[DT]|SU|TS|UA|XX)$/.test(code)) continue // no money that people pay with
  by_digits.set(digits, [...(by_digits.get(digits) || []), code])
}
const rows = [...by_digits].sort((a, b) => a[0] - b[0]).map(([digits, codes]) => {
  const text = codes.sort().join(" ").replace(/(.{1,100})(?: |$)/g, "$1\n    ").trim()
  return `  [${digits}] = [[\n    ${text} ]],`
})
process.stdout.write(`--- onemsg.base.currency: how many digits stand behind the point in each currency. Data, made by
-- spec/support/currency_table.js: ISO 4217, list one, published ${published} (npm currency-codes ${version}).
local M = {}

local listed = {
${rows.join("\n")}
}

--- code = digits of its minor unit: BRL = 2, JPY = 0.
M.digits = {}
for digits, codes in pairs(listed) do
  for code in codes:gmatch "%u+" do M.digits[code] = digits end
end

return M
`)
