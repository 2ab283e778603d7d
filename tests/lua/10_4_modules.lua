for _, name in ipairs({ "lua_utils", "flow_utils", "ntop_utils", "lua_trace" }) do require(name) end
eq(require("dkjson"), require("json"))
eq(require("ts_utils"), require("ts_utils_core"))

local risks = require("flow_risk_utils")
eq(risks.risks["ndpi_tls_weak_cipher"], 8)
eq(table.len(risks.risks), 24)
eq(risks.risk_id_2_i18n(8), "Weak TLS cipher")
eq(risks.risk_id_2_i18n(99), 99)
i18n = function(key) return "<" .. key .. ">" end
eq(risks.risk_id_2_i18n(8), "<flow_risk.ndpi_tls_weak_cipher>")

local plugins_utils = require("plugins_utils")
fails(function() plugins_utils.loadModule("p", "m") end, "module 'm' of plugin 'p' not found")
eq(plugins_utils.getPluginDataDir("p", "d"), nil)
eq(plugins_utils.getUserScriptPlugin("s"), nil)
eq(plugins_utils.hasAlerts(0, {}), true)
eq(plugins_utils.getUrl("x.lua"), "/plugins/x.lua")

eq(require("os_utils").fixPath("/a//b/"), "/a/b/")
eq(require("os_utils").execWithOutput("id"), nil)
eq(require("ts_utils").append("schema", {}, 0), false)
eq(require("ts_utils").getDriverName(), "none")
eq(require("ts_utils").getQueryDriver(), nil)
require("ts_utils").newSchema("x", { step = 60 }):addTag("ifid")
