local user_scripts = require("user_scripts")

local script = {
   -- Script category
   category = user_scripts.script_categories.security,

   -- Priority
   prio = 0,

   -- NOTE: hooks defined below
   hooks = {},

   -- use this plugin only with this protocol
   l7_proto_id = 5,

   -- Specify the default value when clicking on the "Reset Default" button
   default_value = {
      items = {},
   },

   gui = {
      i18n_title = "unexpected_dns.unexpected_dns_title",
      i18n_description = "unexpected_dns.unexpected_dns_description",
      input_builder = "items_list",
      item_list_type = "string",
      input_title = i18n("unexpected_dns.title"),
      input_description = i18n("unexpected_dns.description"),
   }
}

-- #################################################

function script.hooks.protocolDetected(now, conf)
   io.write("DNS Protocol Detected\n")
end

-- #################################################

return script
