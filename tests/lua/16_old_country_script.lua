-- The shape of the oldest scripts: a hook without arguments that indexes what it gets without a check.
local script = { hooks = {} }
function script.hooks.protocolDetected()
  local cli, srv = flow.getClientGeolocation(), flow.getServerGeolocation()
  if cli["cli.country"] == "CN" or srv["srv.country"] == "CN" then tprint("From China") end
end
on("http", script.hooks.protocolDetected)
eq(test.output(), " string From China\n")
on("blacklisted", script.hooks.protocolDetected)
eq(test.output(), "")
