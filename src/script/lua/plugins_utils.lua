-- What a script may ask about plugins. Who loads plugins puts its own `loadModule`, `getPluginDataDir` and
-- `getUserScriptPlugin` in place of these, which know of none.
local plugins_utils = {}

function plugins_utils.loadModule(plugin, module)
  error(string.format("module '%s' of plugin '%s' not found", tostring(module), tostring(plugin)), 2)
end

function plugins_utils.getPluginDataDir(_, _) return nil end
function plugins_utils.getUserScriptPlugin(_) return nil end
function plugins_utils.hasAlerts(_, _) return areAlertsEnabled() end
function plugins_utils.getUrl(script) return ntop.getHttpPrefix() .. "/plugins/" .. tostring(script) end

return plugins_utils
