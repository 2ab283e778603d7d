-- No getter raises an error on any flow; integers are integers.
local changing = { triggerStatus = true, setStatus = true, clearStatus = true, isStatusSet = true,
  triggerAlert = true, setCustomInfo = true }
local fractions = { getGoodputRatio = true, getClientRetrPercentage = true, getServerRetrPercentage = true }
for _, name in ipairs({ "http", "dns", "tls", "quic", "udp", "icmp", "refused", "broadcast", "v6" }) do
  on(name, function()
    for getter, f in pairs(flow) do
      if not changing[getter] then
        local ok, value = pcall(f)
        assert(ok, getter)
        if type(value) == "number" and not fractions[getter] then eq(math.type(value), "integer") end
      end
    end
  end)
end
