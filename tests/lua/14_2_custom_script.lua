on("http", function()
  eq(flow.cli(), "10.0.0.2")
  eq(flow.srv(), "203.0.113.7")
  eq(flow.cli_port(), 40000)
  eq(flow.srv_port(), 80)
  eq(flow.http(), {
    ["protos.http.last_method"] = "GET", ["protos.http.last_return_code"] = 200,
    ["protos.http.last_url"] = "example.org:8080/a/b.exe?x=\xff1", ["protos.http.server_name"] = "example.org",
    ["protos.http.last_user_agent"] = "curl/8", ["protos.http.last_server"] = "nginx",
  })
  eq(flow.dns(), {})
  eq(flow.tls_quic(), {})
  eq(flow.ssh(), {})
end)
on("dns", function()
  eq(flow.srv_port() == 53, true)
  eq(flow.dns(), flow.getDNSInfo())
  eq(flow.http(), {})
end)
for _, name in ipairs({ "tls", "quic" }) do
  on(name, function()
    eq(flow.tls_quic()["protos.tls.client_requested_server_name"], "www.example.net")
    eq(flow.tls_quic()["protos.tls.ja4.client_hash"], "t13d1516h2_8daaf6152771_02713d6af862")
  end)
end
on("udp", function()
  eq(flow.http(), {})
  eq(flow.dns(), {})
  eq(flow.tls_quic(), {})
end)
