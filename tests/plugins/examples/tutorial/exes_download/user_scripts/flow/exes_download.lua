local user_scripts = require("user_scripts")
local flow_consts = require("flow_consts")

local script = {
   category = user_scripts.script_categories.security,

   default_enabled = true,

   hooks = {},

   gui = {
      i18n_title = "EXEs Download",
      i18n_description = "Detects .exe downloaded via HTTP",
   }
}

-- #################################################################

function script.hooks.protocolDetected(now)
   local http_info = flow.getHTTPInfo()

   if http_info and http_info["protos.http.last_url"] then
      if http_info["protos.http.last_url"]:match("%.exe") then
         flow.triggerStatus(
            flow_consts.status_types.status_exe_download.create(
               flow_consts.status_types.status_exe_download.alert_severity,
               http_info
            ),
            100 --[[ flow_score --]],
            100 --[[ cli_score ]],
            10 --[[ srv_score]])
      end
   end
end

-- #################################################################

return script
