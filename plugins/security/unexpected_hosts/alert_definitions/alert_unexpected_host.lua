local alert_keys = require "alert_keys"

return {
  alert_key = alert_keys.user.alert_user_02,
  i18n_title = "unexpected_hosts.alert_title",
  icon = "fas fa-ban",
  creator = function(severity, host, item)
    return { alert_severity = severity, alert_type_params = { host = host, item = item } }
  end,
}
