for _, name in ipairs({ "http", "dns", "tls", "udp" }) do
  on(name, function() eq(flow.getSSHInfo(), {}) end)
end
