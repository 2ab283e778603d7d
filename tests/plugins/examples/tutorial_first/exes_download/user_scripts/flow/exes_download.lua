local user_scripts = require("user_scripts")

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
         local line = string.format("last_url: %s [%s]\n",
            http_info["protos.http.last_url"],
            shortFlowLabel(flow.getInfo()))

         io.write(line)
      end
   end
end

-- #################################################################

return script
