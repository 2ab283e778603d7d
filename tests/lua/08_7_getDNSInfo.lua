on("dns", function()
  eq(flow.getDNSInfo(), {
    ["protos.dns.last_query_type"] = 28, ["protos.dns.last_return_code"] = 3,
    ["protos.dns.last_query"] = "example.org", ["protos.dns.invalid_chars_in_query"] = true,
  })
  eq(flow.getDnsQuery(), "example.org")
  eq(flow.dnsQueryHasInvalidChars(), true)
end)
on("dns_query", function()
  eq(flow.getDNSInfo(), {
    ["protos.dns.last_query_type"] = 28, ["protos.dns.last_return_code"] = 0,
    ["protos.dns.last_query"] = "example.org",
  })
  eq(flow.dnsQueryHasInvalidChars(), false)
end)
for _, name in ipairs({ "http", "tls", "udp" }) do
  on(name, function()
    eq(flow.getDNSInfo(), {})
    eq(flow.getDnsQuery(), "")
    eq(flow.dnsQueryHasInvalidChars(), false)
  end)
end
