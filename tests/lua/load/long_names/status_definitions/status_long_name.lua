local consts = require "alert_consts"
local keys   = require "flow_keys"
return {
  status_key       = keys.user.status_user_03,
  alert_severity   = consts.alert_severities.warning,
  alert_type       = consts.alert_types.alert_long_name,
  i18n_title       = "long_names.status_title",
  i18n_description = "long_names.status_description",
}
