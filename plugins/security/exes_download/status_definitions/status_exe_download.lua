local alert_consts = require "alert_consts"
local flow_keys = require "flow_keys"

return {
  status_key = flow_keys.user.status_user_01,
  alert_severity = alert_consts.alert_severities.error,
  alert_type = alert_consts.alert_types.alert_exe_download,
  i18n_title = "exes_download.status_title",
  i18n_description = "exes_download.status_description",
}
