local alert_consts = require "alert_consts"
local flow_keys = require "flow_keys"

return {
  status_key = flow_keys.user.status_user_02,
  alert_severity = alert_consts.alert_severities.error,
  alert_type = alert_consts.alert_types.alert_unexpected_host,
  i18n_title = "unexpected_hosts.status_title",
  i18n_description = "unexpected_hosts.status_description",
}
