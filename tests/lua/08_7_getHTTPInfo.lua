local http = {
  ["protos.http.last_method"] = "GET", ["protos.http.last_return_code"] = 200,
  ["protos.http.last_url"] = "example.org:8080/a/b.exe?x=\xff1", ["protos.http.server_name"] = "example.org",
}
on("http", function()
  eq(flow.getHTTPInfo(), http)
  eq(flow.getHTTPInfo()["protos.http.last_url"]:match("%.exe"), ".exe")
end)
-- Before the answer the return code is 0.
on("http_request", function() eq(flow.getHTTPInfo()["protos.http.last_return_code"], 0) end)
for _, name in ipairs({ "dns", "tls", "udp" }) do
  on(name, function() eq(flow.getHTTPInfo(), {}) end)
end
