local alert_keys = require "alert_keys"

-- #######################################################

local function createExeDownload(alert_severity, http_info)
   local built = {
      alert_severity = alert_severity,
      alert_type_params = http_info
   }

   return built
end

-- #######################################################

return {
   alert_key = alert_keys.user.alert_user_01,
   i18n_title = "EXE download",
   icon = "fas fa-exclamation",
   creator = createExeDownload,
}
