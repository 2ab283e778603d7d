local alert_keys = require "alert_keys"

return {
  alert_key = alert_keys.user.alert_user_01,
  i18n_title = "exes_download.alert_title",
  icon = "fas fa-file-download",
  creator = function(severity, url, suffix)
    return { alert_severity = severity, alert_type_params = { url = url, suffix = suffix } }
  end,
}
