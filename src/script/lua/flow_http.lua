-- flow.getHTTPInfo(): values kept for as long as the engine says that they hold, a table of its own for
-- every caller.
local still_holds, values = ...

local method, code, url, name

return function()
  local holds = still_holds()
  if not holds then
    if holds == nil then return end -- no flow
    method, code, url, name = values()
  end
  return {
    ["protos.http.last_method"] = method,
    ["protos.http.last_return_code"] = code,
    ["protos.http.last_url"] = url,
    ["protos.http.server_name"] = name,
  }
end
