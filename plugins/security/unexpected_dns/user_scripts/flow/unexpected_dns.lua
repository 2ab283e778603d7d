-- DNS servers that are not on the owner's list, over IPv4 and IPv6.

local user_scripts = require "user_scripts"
local flow_consts = require "flow_consts"

local DNS = 5 -- nDPI's number
local FLOW_SCORE, CLIENT_SCORE, SERVER_SCORE = 200, 50, 100

local script = {
  category = user_scripts.script_categories.security,
  l7_proto_id = DNS,
  -- The query is judged before it leaves.
  early = true,
  default_value = { items = {} },
  gui = {
    i18n_title = "unexpected_dns.title",
    i18n_description = "unexpected_dns.description",
    input_builder = "items_list",
    item_list_type = "ip_address",
    input_title = i18n("unexpected_dns.items_title"),
    input_description = i18n("unexpected_dns.items_description"),
  },
  hooks = {},
}

-- The hexadecimal groups of an IPv6 address, or of one side of its `::`; nil if they are none.
local function groups(text)
  local found = {}
  if text == "" then return found end
  for group in (text .. ":"):gmatch("([^:]*):") do
    local number = #group <= 4 and tonumber(group, 16)
    if not number then return nil end
    found[#found + 1] = number
  end
  return found
end

-- An address in the one form in which equal addresses are equal texts, whatever form it was written in.
-- What is no IPv6 address stays as it is.
local function canonical(text)
  text = text:match("%S+") or ""
  if not text:find(":", 1, true) then return text end
  local head, tail = text:match("^(.-)::(.*)$")
  local left, right = groups(head or text), groups(tail or "")
  if not left or not right then return text end
  local zeros = 8 - #left - #right
  if zeros < 0 or (zeros > 0) ~= (head ~= nil) then return text end
  for _ = 1, zeros do left[#left + 1] = 0 end
  table.move(right, 1, #right, #left + 1, left)
  return string.format("%x:%x:%x:%x:%x:%x:%x:%x", table.unpack(left))
end

-- The allowed servers as a set. Made anew only when the configuration is another table.
local known_conf, allowed

local function allowed_by(conf)
  if conf ~= known_conf then
    known_conf, allowed = conf, {}
    for _, item in pairs(conf.items or {}) do allowed[canonical(item)] = true end
  end
  return allowed
end

function script.hooks.protocolDetected(now, conf)
  local servers = allowed_by(conf)
  if next(servers) == nil then return end
  local server_ip = flow.getInfo()["srv.ip"]
  if servers[canonical(server_ip)] then return end
  local status = flow_consts.status_types.status_unexpected_dns
  flow.triggerStatus(status.create(status.alert_severity, server_ip), FLOW_SCORE, CLIENT_SCORE, SERVER_SCORE)
end

return script
