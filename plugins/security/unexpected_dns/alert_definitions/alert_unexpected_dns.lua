local alert_keys = require "alert_keys"

return {
  alert_key = alert_keys.ntopng.alert_unexpected_dns_server,
  i18n_title = "unexpected_dns.alert_title",
  icon = "fas fa-exclamation",
  creator = function(severity, server_ip)
    return { alert_severity = severity, alert_type_params = server_ip }
  end,
}
