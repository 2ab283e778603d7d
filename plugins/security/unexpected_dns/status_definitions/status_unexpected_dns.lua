local alert_consts = require "alert_consts"
local flow_keys = require "flow_keys"

return {
  status_key = flow_keys.ntopng.status_unexpected_dns_server,
  alert_severity = alert_consts.alert_severities.error,
  alert_type = alert_consts.alert_types.alert_unexpected_dns,
  i18n_title = "unexpected_dns.status_title",
  i18n_description = function(server_ip)
    return i18n("unexpected_dns.status_description", { server = tostring(server_ip) })
  end,
}
