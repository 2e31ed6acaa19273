std = "min"
max_line_length = 130
files["spec"] = { std = "min+busted" }
files["lua/resty"] = { std = "min+ngx_lua" }
files["examples/openresty"] = { std = "min+ngx_lua" }
local rules = {
  read_globals = {
    "template", "defaults", "never", "confirm", "example", "over", "under", "between", "one_of", "starts_with",
    "ends_with", "missing", "present", "money", "first_word",
  },
}
files["examples/rules.lua"] = rules
files["examples/rules"] = rules
files["examples/fleet/rules.lua"] = rules
