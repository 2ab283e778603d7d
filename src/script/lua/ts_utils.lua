-- Time series are not kept: what scripts append goes nowhere, and they are told so.
local ts_utils = {}

function ts_utils.append(_, _, _) return false end
function ts_utils.getDriverName() return "none" end
function ts_utils.getQueryDriver() return nil end
function ts_utils.newSchema(name, options)
  return { name = name, options = options or {}, addTag = function() end, addMetric = function() end }
end

return ts_utils
