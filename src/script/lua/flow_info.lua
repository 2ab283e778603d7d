-- flow.getInfo(): values kept for as long as the engine says that they hold, a table of its own for
-- every caller.
local still_holds, values = ...

local cli_ip, srv_ip, cli_port, srv_port, cli_local, srv_local, duration, l4
local ndpi, app, category, category_id, breed
local cli_bytes, srv_bytes, cli_packets, srv_packets, info

return function()
  local holds = still_holds()
  if not holds then
    if holds == nil then return end -- no flow
    cli_ip, srv_ip, cli_port, srv_port, cli_local, srv_local, duration, l4,
    ndpi, app, category, category_id, breed,
    cli_bytes, srv_bytes, cli_packets, srv_packets, info = values()
  end
  return {
    ["cli.ip"] = cli_ip, ["srv.ip"] = srv_ip,
    ["cli.port"] = cli_port, ["srv.port"] = srv_port,
    ["cli.localhost"] = cli_local, ["srv.localhost"] = srv_local,
    ["duration"] = duration,
    ["proto.l4"] = l4,
    ["proto.ndpi"] = ndpi, ["proto.ndpi_app"] = app, ["proto.ndpi_cat"] = category,
    ["proto.ndpi_cat_id"] = category_id, ["proto.ndpi_breed"] = breed,
    ["cli2srv.bytes"] = cli_bytes, ["srv2cli.bytes"] = srv_bytes,
    ["cli2srv.packets"] = cli_packets, ["srv2cli.packets"] = srv_packets,
    ["info"] = info,
  }
end
