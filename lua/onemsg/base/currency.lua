--- onemsg.base.currency: how many digits stand behind the point in each currency. Data, made by
-- spec/support/currency_table.js: ISO 4217, list one, published 2024-06-25 (npm currency-codes 2.2.0).
local M = {}

local listed = {
  [0] = [[
    BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF ]],
  [2] = [[
    AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BMD BND BOB BOV BRL BSD BTN BWP BYN BZD CAD
    CDF CHE CHF CHW CNY COP COU CRC CUC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP
    GMD GTQ GYD HKD HNL HTG HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL
    MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MXV MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN
    QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD
    TWD TZS UAH USD USN UYU UZS VED VES WST XCD YER ZAR ZMW ZWG ]],
  [3] = [[
    BHD IQD JOD KWD LYD OMR TND ]],
  [4] = [[
    CLF UYW ]],
}

--- code = digits of its minor unit: BRL = 2, JPY = 0.
M.digits = {}
for digits, codes in pairs(listed) do
  for code in codes:gmatch "%u+" do M.digits[code] = digits end
end

return M
