-- Programs asked for over HTTP, by the ending of the path in the URL.

local user_scripts = require "user_scripts"
local flow_consts = require "flow_consts"

local FLOW_SCORE, CLIENT_SCORE, SERVER_SCORE = 200, 100, 10

local script = {
  category = user_scripts.script_categories.security,
  l7_proto = "HTTP",
  -- The request is judged before it leaves.
  early = true,
  default_value = {
    items = { "exe", "msi", "scr", "pif", "bat", "cmd", "ps1", "vbs", "hta", "jar" },
  },
  gui = {
    i18n_title = "exes_download.title",
    i18n_description = "exes_download.description",
    input_builder = "items_list",
    item_list_type = "string",
    input_title = i18n("exes_download.items_title"),
    input_description = i18n("exes_download.items_description"),
  },
  hooks = {},
}

-- The endings as a set. Made anew only when the configuration is another table.
local known_conf, endings

local function endings_of(conf)
  if conf ~= known_conf then
    known_conf, endings = conf, {}
    for _, item in pairs(conf.items or {}) do
      endings[item:lower():match("%w+") or ""] = true
    end
  end
  return endings
end

-- What the file's name ends in, in small letters; nil without an ending. `url` is the host with the path
-- behind it, as ntopng has it. Each pattern is anchored, so that no URL costs more than its length.
local function ending(url)
  local path = url:match("^[^?#]*")
  -- A proxy's client names scheme and host once more.
  path = path:gsub("^.*%a://[^/]*", "/"):gsub("^[^/]*", "")
  -- %65 is an e: a server takes both.
  path = path:gsub("%%(%x%x)", function(hex) return string.char(tonumber(hex, 16)) end)
  -- Parameters of the segment are no part of the name; nor, for Windows, are dots and spaces behind it.
  local name = path:match("^.*[/\\]([^;]*)") or ""
  name = name:match("^.*[^%. ]") or ""
  local found = name:match("^.*%.(%w+)$")
  return found and found:lower()
end

function script.hooks.protocolDetected(now, conf)
  local url = flow.getHTTPInfo()["protos.http.last_url"]
  local suffix = url and ending(url)
  if not suffix or not endings_of(conf)[suffix] then return end
  local status = flow_consts.status_types.status_exe_download
  flow.triggerStatus(status.create(status.alert_severity, url, suffix), FLOW_SCORE, CLIENT_SCORE, SERVER_SCORE)
end

return script
