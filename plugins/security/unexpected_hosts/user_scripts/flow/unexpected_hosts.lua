-- Hosts on the owner's list, by the name the client asks for: TLS server name, HTTP host, DNS query.

local user_scripts = require "user_scripts"
local flow_consts = require "flow_consts"

local FLOW_SCORE, CLIENT_SCORE, SERVER_SCORE = 200, 50, 50

local script = {
  category = user_scripts.script_categories.security,
  -- Names are judged before the request leaves.
  early = true,
  default_value = { items = {} },
  gui = {
    i18n_title = "unexpected_hosts.title",
    i18n_description = "unexpected_hosts.description",
    input_builder = "items_list",
    item_list_type = "string",
    input_title = i18n("unexpected_hosts.items_title"),
    input_description = i18n("unexpected_hosts.items_description"),
  },
  hooks = {},
}

-- A name in small letters, without what people and protocols put around it: `*.` before, port and dot behind.
local function plain(name)
  name = name:lower():match("^[%s*.]*([^%s:]*)")
  return name:match("^(.-)%.$") or name
end

-- The names as a set. Made anew only when the configuration is another table.
local known_conf, listed

local function listed_by(conf)
  if conf ~= known_conf then
    known_conf, listed = conf, {}
    for _, item in pairs(conf.items or {}) do listed[plain(item)] = true end
    listed[""] = nil
  end
  return listed
end

local function name_asked_for()
  return flow.getTLSInfo()["protos.tls.client_requested_server_name"]
    or flow.getHTTPInfo()["protos.http.server_name"]
    or flow.getDNSInfo()["protos.dns.last_query"]
end

-- The listed name that `name` is, or is below; nil for none. A name has at most 128 labels.
local function match(names, name)
  while name do
    if names[name] then return name end
    name = name:match("^[^.]*%.(.+)$")
  end
end

function script.hooks.protocolDetected(now, conf)
  local names = listed_by(conf)
  if next(names) == nil then return end
  local host = name_asked_for()
  local item = host and match(names, plain(host))
  if not item then return end
  local status = flow_consts.status_types.status_unexpected_host
  flow.triggerStatus(status.create(status.alert_severity, host, item), FLOW_SCORE, CLIENT_SCORE, SERVER_SCORE)
end

return script
