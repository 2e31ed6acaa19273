// Phone numbers as people write them, with the digits that Google's libphonenumber reads from them: what
// spec/support/phone_oracle.lua and spec/issues/070-phones_spec.lua compare src/phone.c with. Anywhere outside the tree:
//   npm install google-libphonenumber
//   eval "$(make -s env)"; NODE_PATH=… node spec/support/phone_cases.js all | lua5.4 spec/support/phone_oracle.lua
//   NODE_PATH=… node spec/support/phone_cases.js sample >spec/support/phone_sample.tsv
//
// A line a case: form, country that is set ("-": none), text, digits; between tabs. `all`: the example numbers of every
// region and kind in every form, and 400 random valid mobiles of each of 40 regions in national forms. `sample`: for
// each region one number, in forms that take turns, and two random mobiles of each of the 40. Same lines in each run.
"use strict"

let version, library
try {
  version = require("google-libphonenumber/package.json").version
  library = require("google-libphonenumber")
} catch (error) {
  console.error("phone_cases.js: the npm package google-libphonenumber is not there (npm install google-libphonenumber, then set NODE_PATH)")
  process.exit(2)
}

const util = library.PhoneNumberUtil.getInstance()
const { PhoneNumberFormat: FORMAT, PhoneNumberType: TYPE } = library
const KINDS = ["MOBILE", "FIXED_LINE", "VOIP", "PERSONAL_NUMBER", "TOLL_FREE", "PREMIUM_RATE", "SHARED_COST", "UAN",
  "PAGER", "VOICEMAIL"] // those that nobody answers as well: refused, or as they are
const FROM = ["US", "DE", "BR", "AU", "JP", "RU", "CO", "KR", "SG", "FI", "MX", "IL"] // countries with exit codes of all sorts
const MOBILES = ["AR", "AT", "AU", "BE", "BR", "BY", "CH", "CI", "CL", "CN", "CO", "CZ", "DE", "EG", "ES", "FI", "FR",
  "GB", "GH", "HU", "ID", "IE", "IL", "IN", "IT", "JP", "KE", "KR", "LT", "MX", "NG", "NL", "PE", "PK", "PL", "RU",
  "SA", "TR", "US", "ZA"]
const MOBILES_OF_EACH = 400

// Numbers of a linear congruential generator, from below `below`.
let state = 20261123
function random(below) {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0
  return Math.floor(state / 4294967296 * below)
}

const e164 = number => util.format(number, FORMAT.E164)
const nsn = number => util.getNationalSignificantNumber(number)

// Every way to write a number: { form, country, text }.
function forms(number, region) {
  const code = String(number.getCountryCode()), own = nsn(number), ways = []
  const add = (form, text, country) => ways.push({ form, country: country || "-", text })
  const international = util.format(number, FORMAT.INTERNATIONAL)
  add("international", international)
  add("E.164", e164(number))
  add("digits", code + own)
  add("tel:", util.format(number, FORMAT.RFC3966))
  add("00", "00 " + code + " " + own)
  add("international, another country set", international, region === "US" ? "DE" : "US")
  if (region === "001") return ways
  const trunk = util.getNddPrefixForRegion(region, true), national = util.format(number, FORMAT.NATIONAL)
  add("international, own country set", international, region)
  add("national, ISO code set", national, region)
  add("national, calling code set", national, code)
  add("national, without trunk prefix", own, region)
  if (trunk && trunk !== "") {
    // Of a number that begins with its own 0 the trunk prefix is that 0.
    if (!own.startsWith("0")) add("national, trunk prefix", trunk + " " + own, region)
    if (!own.startsWith("0")) add("trunk prefix behind the calling code", "+" + code + " " + trunk + own)
  }
  if (own.startsWith("0")) add("(0)", "+" + code + " (0)" + own.slice(1))
  else add("(0)", "+" + code + " (0)" + own)
  for (const from of FROM)
    if (from !== region && util.getCountryCodeForRegion(from) !== +code)
      add("exit code of " + from, util.formatOutOfCountryCallingNumber(number, from), from)
  return ways
}

function print(ways, number) {
  const digits = e164(number).slice(1)
  for (const { form, country, text } of ways) {
    console.log([form, country, text.replace("~", "-"), digits].join("\t")) // Russia's 8~10: ~ stands for a tone
  }
}

// Numbers of all regions; with `one` only a mobile, or what else there is.
function* examples(one) {
  for (const region of [...util.getSupportedRegions()].sort()) {
    let any = false
    for (const kind of KINDS) {
      const number = util.getExampleNumberForType(region, TYPE[kind])
      if (!number || one && any || !util.isValidNumber(number)) continue
      any = true
      yield [number, region]
    }
  }
  for (const code of [...util.getSupportedGlobalNetworkCallingCodes()].sort()) {
    const number = util.getExampleNumberForNonGeoEntity(code)
    if (number) yield [number, "001"]
  }
}

function* mobiles(region, count) {
  const length = nsn(util.getExampleNumberForType(region, TYPE.MOBILE)).length
  const code = util.getCountryCodeForRegion(region), seen = new Set()
  for (let tries = 0; seen.size < count; tries++) {
    if (tries > 3e6) throw new Error("no mobiles of " + region)
    let digits = ""
    for (let n = length - (random(8) === 0); n > 0; n--) digits += random(10)
    if (seen.has(digits)) continue
    const number = new library.PhoneNumber()
    number.setCountryCode(code)
    number.setNationalNumber(+digits)
    if (digits[0] === "0") number.setItalianLeadingZero(true)
    if (!util.isValidNumberForRegion(number, region)) continue
    const kind = util.getNumberType(number)
    if (kind !== TYPE.MOBILE && kind !== TYPE.FIXED_LINE_OR_MOBILE) continue
    seen.add(digits)
    yield number
  }
}

console.log(`# ${version}: google-libphonenumber's; made by spec/support/phone_cases.js`)
const what = process.argv[2], sample = what === "sample"
if (!sample && what !== "all") {
  console.error("phone_cases.js: say all or sample")
  process.exit(2)
}
let turn = 0
for (const [number, region] of examples(sample)) {
  const ways = forms(number, region)
  print(sample ? ways.filter((_, at) => (at + turn) % 6 === 0) : ways, number)
  turn++
}
for (const region of MOBILES)
  for (const number of mobiles(region, sample ? 2 : MOBILES_OF_EACH))
    print(forms(number, region).filter(way => way.form.startsWith("national")).map(way =>
      ({ ...way, form: "random mobile, " + way.form })), number)
