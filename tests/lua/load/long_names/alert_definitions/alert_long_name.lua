local keys = require "alert_keys"
return {
  alert_key  = keys.user.alert_user_03,
  i18n_title = "long_names.alert_title",
  icon       = "fas fa-ruler",
  creator    = function(severity, name) return { alert_severity = severity, alert_type_params = name } end,
}
