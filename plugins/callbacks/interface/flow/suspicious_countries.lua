-- Flows from or to a country on the owner's list. A loose script: it brings no definitions of its own and
-- raises the built-in status of blacklisted countries.

local user_scripts = require "user_scripts"
local flow_consts = require "flow_consts"

local FLOW_SCORE, CLIENT_SCORE, SERVER_SCORE = 200, 50, 50

local script = {
  category = user_scripts.script_categories.security,
  -- Addresses are known from the first packet on.
  early = true,
  default_value = { items = {} },
  gui = {
    i18n_title = "Suspicious countries",
    i18n_description = "Stops flows from or to the countries on the list; does nothing while it is empty",
    input_builder = "items_list",
    item_list_type = "country",
    input_title = "Countries",
    input_description = "Two-letter codes, comma separated. Example: KP,AQ",
  },
  hooks = {},
}

-- The countries as a set. Made anew only when the configuration is another table.
local known_conf, listed

local function listed_by(conf)
  if conf ~= known_conf then
    known_conf, listed = conf, {}
    for _, item in pairs(conf.items or {}) do listed[item:upper():match("%a+") or ""] = true end
  end
  return listed
end

function script.hooks.protocolDetected(now, conf)
  local countries = listed_by(conf)
  if next(countries) == nil then return end
  -- nil for private addresses, and for all while no database is configured
  local client, server = flow.getClientCountry(), flow.getServerCountry()
  local client_listed = client ~= nil and countries[client] == true
  local server_listed = server ~= nil and countries[server] == true
  if not client_listed and not server_listed then return end
  local status = flow_consts.status_types.status_blacklisted_country
  flow.triggerStatus(
    status.create(status.alert_severity, client, server, client_listed, server_listed),
    FLOW_SCORE, client_listed and CLIENT_SCORE or 0, server_listed and SERVER_SCORE or 0)
end

return script
