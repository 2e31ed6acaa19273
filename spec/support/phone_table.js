// Writes src/phone_table.h, the numbering plans that src/phone.c goes by, from the metadata of libphonenumber as the
// npm package libphonenumber-js carries them. To renew it, anywhere outside the tree:
//   npm install libphonenumber-js && NODE_PATH=node_modules node …/spec/support/phone_table.js >…/src/phone_table.h
//
// Of each calling code it keeps: which lengths a number may have behind each first digit, what is dialled in front of a
// national number (trunk prefixes and the carrier codes that may follow them), what is dialled in front of a foreign
// one (exit codes). No ranges: which of them are assigned changes every month, the rest once in some years.
"use strict"

let package_, data
try {
  package_ = require("libphonenumber-js/package.json")
  data = require("libphonenumber-js/metadata.max.json")
} catch (error) {
  console.error("phone_table.js: the npm package libphonenumber-js is not there (npm install libphonenumber-js, then set NODE_PATH)")
  process.exit(2)
}

// What the metadata dropped and people, or WhatsApp, still use (PLATFORM.md 5.4).
const ALSO = {
  52: { // Mexico: prefixes that ended in 2019; WhatsApp's own form of mobiles has a 1 in front
    trunks: ["01", "044", "045"], lengths: { 11: "1" } },
  225: { lengths: { 8: "023456789" } }, // Ivory Coast: eight digits until 2021
  229: { lengths: { 8: "23456789" } },  // Benin: eight digits until 2024
}
const ALSO_NAMES = { UK: "44" }

const TYPES = ["fixed_line", "mobile", "toll_free", "premium_rate", "personal_number", "voice_mail", "uan", "pager",
  "voip", "shared_cost"]
// What people answer. Voice mails, pagers, call centres and what costs extra are no recipients.
const PEOPLE = ["fixed_line", "mobile", "personal_number", "voip"]
const ANSWERED = [...PEOPLE, "toll_free"] // not with a leading 0: those are dialled from within only
const MOST_FREE = 13 // and not Russia's 14: "8 10 …" is its exit code
const MOST_DIGITS = 15 // E.164, with the calling code

// ---- expressions: the little of them that the metadata use

function parse(source) {
  let at = 0, groups = 0
  function either() {
    const ways = [sequence()]
    while (source[at] === "|") { at++; ways.push(sequence()) }
    return { kind: "either", ways }
  }
  function sequence() {
    const parts = []
    while (at < source.length && source[at] !== "|" && source[at] !== ")") parts.push(repeated(atom()))
    return { kind: "sequence", parts }
  }
  function atom() {
    const c = source[at++]
    if (c === "(") {
      const plain = source.startsWith("?:", at)
      if (plain) at += 2
      const number = plain ? 0 : ++groups, inner = either()
      if (source[at++] !== ")") throw new Error("no end of a group in " + source)
      return { kind: "group", number, inner }
    }
    if (c === "[") {
      let digits = ""
      for (; source[at] !== "]"; at++) {
        if (source[at + 1] === "-") { for (let d = +source[at]; d <= +source[at + 2]; d++) digits += d; at += 2 }
        else digits += source[at]
      }
      at++
      return { kind: "digit", digits }
    }
    if (c === "\\" && source[at] === "d") { at++; return { kind: "digit", digits: "0123456789" } }
    if (c === "$") return { kind: "end" }
    if (/\d/.test(c)) return { kind: "digit", digits: c }
    throw new Error(`what is ${c} in ${source}?`)
  }
  function repeated(one) {
    let least = 1, most = 1
    const braces = /^\{(\d+)(?:,(\d+))?\}/.exec(source.slice(at))
    if (source[at] === "?") { least = 0; at++ }
    else if (braces) { least = +braces[1]; most = +(braces[2] || braces[1]); at += braces[0].length }
    return least === 1 && most === 1 ? one : { kind: "repeated", one, least, most }
  }
  const tree = either()
  if (at !== source.length) throw new Error("left over in " + source)
  return tree
}

// Every shape of what an expression matches, as "first digit:length"; "-:0" is nothing at all.
function shapes(node) {
  const join = (before, after) => {
    const all = new Set()
    for (const a of before) for (const b of after) {
      const [first, n] = a.split(":"), [second, m] = b.split(":")
      all.add((first === "-" ? second : first) + ":" + (+n + +m))
    }
    return all
  }
  switch (node.kind) {
  case "digit": return new Set([...node.digits].map(d => d + ":1"))
  case "end": return new Set(["-:0"])
  case "group": return shapes(node.inner)
  case "either": return new Set(node.ways.flatMap(way => [...shapes(way)]))
  case "sequence": return node.parts.map(shapes).reduce(join, new Set(["-:0"]))
  case "repeated": {
    const one = shapes(node.one), all = new Set()
    let so_far = new Set(["-:0"])
    for (let n = 0; n <= node.most; n++) {
      if (n >= node.least) so_far.forEach(shape => all.add(shape))
      so_far = join(so_far, one)
    }
    return all
  }
  }
}

// Every text that an expression of prefixes matches, "." for any digit. The group `rest` is the number behind the
// prefix: it becomes ">n", the least digits that must follow. What ends with "$" is a number without its area code.
function texts(node, rest) {
  switch (node.kind) {
  case "digit": return node.digits.length === 10 ? ["."] : [...node.digits]
  case "end": return ["$"]
  case "group":
    if (node.number > 0 && node.number === rest)
      return [">" + Math.min(...[...shapes(node.inner)].map(shape => +shape.split(":")[1]))]
    return texts(node.inner, rest)
  case "either": return node.ways.flatMap(way => texts(way, rest))
  case "sequence":
    return node.parts.map(part => texts(part, rest)).reduce((a, b) => a.flatMap(x => b.map(y => x + y)), [""])
  case "repeated": {
    if (node.most > 3) return ["$"] // a number, not a prefix
    const one = texts(node.one, rest), all = []
    let so_far = [""]
    for (let n = 0; n <= node.most; n++) {
      if (n >= node.least) all.push(...so_far)
      so_far = so_far.flatMap(x => one.map(y => x + y))
    }
    return all
  }
  }
}

// ---- one calling code

function trunks_of(country) {
  const [trunk, source, rule] = [country[5], country[7], country[8]]
  if (!source) return trunk ? [trunk] : []
  // A rule that adds digits completes a number that lacks its area code, or Argentina's 15: not here.
  const kept = /^\$(\d)$/.exec(rule || ""), found = texts(parse(source), kept ? +kept[1] : 0)
  const adds = rule && !kept
  return found.filter(text => text !== "" && !text.includes("$") && !(adds && text.length > 3))
}

// Whether a free number would pass for somebody's behind a trunk prefix, as in Belarus "8 029 123 45 67".
function is_trunk(first, length, trunks, fits) {
  return trunks.some(trunk => /^\d+$/.test(trunk) && trunk[0] === first &&
    fits.some(bits => bits >> (length - trunk.length) & 1))
}

function lengths_of(country, trunks, fits) {
  const possible = country[3], types = country[11] || []
  for (const type of ANSWERED) {
    const entry = types[TYPES.indexOf(type)], free = type === "toll_free"
    if (!entry || !entry[0]) continue
    for (const shape of shapes(parse(entry[0]))) {
      const first = shape[0], length = +shape.split(":")[1]
      if (!(entry[1] || possible).includes(length) || length + country[0].length > MOST_DIGITS) continue
      if (free && (first === "0" || length > MOST_FREE || is_trunk(first, length, trunks, fits))) continue
      fits[first] |= 1 << length
    }
  }
}

const by_length = (a, b) => a.length - b.length || (a < b ? -1 : a > b ? 1 : 0)
const unique = list => [...new Set(list)]

function plan(code, countries) {
  const fits = Array(10).fill(0)
  let trunks = [], exits = []
  for (const country of countries) trunks.push(...trunks_of(country))
  for (const country of countries) {
    lengths_of(country, trunks, fits)
    if (country[1]) exits.push(...texts(parse(country[1]), 0))
  }
  const also = ALSO[code] || {}
  trunks.push(...also.trunks || [])
  for (const [length, firsts] of Object.entries(also.lengths || {}))
    for (const first of firsts) fits[first] |= 1 << +length
  exits = unique(exits).filter(exit => exit !== "00") // known everywhere
  return { code, trunks: unique(trunks).sort(by_length), exits: exits.sort(by_length), fits }
}

const plans = Object.entries(data.country_calling_codes)
  .map(([code, names]) => plan(code, names.map(name => data.countries[name])))
for (const [code, country] of Object.entries(data.nonGeographic)) plans.push(plan(code, [country]))
for (let at = plans.length - 1; at >= 0; at--) if (plans[at].fits.every(bits => bits === 0)) plans.splice(at, 1) // call centres
plans.sort((a, b) => (a.code < b.code ? -1 : 1))

const names = Object.entries(data.countries).map(([name, country]) => [name, country[0]])
names.push(...Object.entries(ALSO_NAMES))
names.sort((a, b) => (a[0] < b[0] ? -1 : 1))

// ---- as C

const lines = []
lines.push(`/* phone_table.h: the numbering plans that phone.c goes by. Made by spec/support/phone_table.js from npm's
 * libphonenumber-js ${package_.version}: change the script, not this. Only phone.c includes it.
 */
/* clang-format off */
#define OM_PHONE_TABLE_FROM "libphonenumber-js ${package_.version}"

/* By code: what stands before a national number, shortest first ("." is any digit, ">n" wants n more
 * digits behind); what stands before a foreign one, beside 00; for each first digit the lengths that
 * numbers have (bit n: n digits). */
static const struct plan plans[] = {`)
for (const { code, trunks, exits, fits } of plans) {
  const hex = fits.map(bits => (bits ? "0x" + bits.toString(16) : "0")).join(", ")
  lines.push(`  {"${code}", "${trunks.join(" ")}", "${exits.join(" ")}", {${hex}}},`)
}
lines.push("};\n\n/* Countries by ISO code; UK is what people write. */\nstatic const struct country_name countries[] = {")
for (let at = 0; at < names.length; at += 8)
  lines.push("  " + names.slice(at, at + 8).map(([name, code]) => `{"${name}", "${code}"},`).join(" "))
lines.push("};\n/* clang-format on */")
console.log(lines.join("\n"))
