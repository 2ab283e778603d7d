on("tls", function()
  eq(flow.getTLSInfo(), {
    ["protos.tls_version"] = 771,
    ["protos.tls.server_names"] = "*.example.org",
    ["protos.tls.client_alpn"] = "h2,http/1.1",
    ["protos.tls.client_tls_supported_versions"] = "TLSv1.3,TLSv1.2",
    ["protos.tls.issuerDN"] = "CN=Example CA",
    ["protos.tls.subjectDN"] = "CN=*.example.org",
    ["protos.tls.client_requested_server_name"] = "www.example.net",
    ["protos.tls.notBefore"] = 1500000000,
    ["protos.tls.notAfter"] = 1600000000,
    ["protos.tls.ja3.client_hash"] = "0123456789abcdef0123456789abcdef",
    ["protos.tls.ja3.server_hash"] = "fedcba9876543210fedcba9876543210",
    ["protos.tls.ja3.server_unsafe_cipher"] = "weak",
    ["protos.tls.ja3.server_cipher"] = 0xc014,
  })
  eq(flow.getTLSVersion(), 771)
  eq(flow.getServerCipherClass(), "weak")
  eq(flow.hasMaliciousTlsSignature(), false)
end)
-- QUIC carries the same handshake.
on("quic", function()
  eq(flow.getTLSInfo()["protos.tls.client_requested_server_name"], "www.example.net")
  eq(flow.getTLSInfo()["protos.tls.ja3.server_hash"], nil)
  eq(flow.getServerCipherClass(), nil)
end)
for _, name in ipairs({ "http", "dns", "udp" }) do
  on(name, function()
    eq(flow.getTLSInfo(), {})
    eq(flow.getTLSVersion(), 0)
    eq(flow.getServerCipherClass(), nil)
  end)
end
