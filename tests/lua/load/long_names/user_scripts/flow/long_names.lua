local us = require "user_scripts"
local fc = require "flow_consts"
local S = {
  category = us.script_categories.security, l7_proto = "DNS", prio = 5, hooks = {},
  default_value = { items = {} },
  gui = { i18n_title = "long_names.status_title", i18n_description = "long_names.status_description",
          input_builder = "items_list", item_list_type = "string",
          input_title = i18n("long_names.form_title"), input_description = i18n("long_names.form_help") },
}
function S.hooks.protocolDetected(now, conf)
  local q = flow.getDNSInfo()["protos.dns.last_query"]
  if not q or #q < 60 then return end
  for _, suffix in pairs(conf.items) do if string.ends(q, suffix) then return end end
  local t = fc.status_types.status_long_name
  flow.triggerStatus(t.create(t.alert_severity, q), 120, 60, 0)
end
return S
