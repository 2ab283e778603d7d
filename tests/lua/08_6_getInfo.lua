on("http", function()
  eq(flow.getInfo(), {
    ["cli.ip"] = "10.0.0.2", ["srv.ip"] = "203.0.113.7",
    ["cli.port"] = 40000, ["srv.port"] = 80,
    ["cli.localhost"] = true, ["srv.localhost"] = false,
    ["duration"] = 5, ["proto.l4"] = "TCP",
    ["proto.ndpi"] = "HTTP", ["proto.ndpi_app"] = "HTTP", ["proto.ndpi_cat"] = "Web",
    ["proto.ndpi_cat_id"] = 5, ["proto.ndpi_breed"] = "Acceptable",
    ["cli2srv.bytes"] = 1200, ["srv2cli.bytes"] = 2400,
    ["cli2srv.packets"] = 12, ["srv2cli.packets"] = 10,
    ["info"] = "example.org:8080/a/b.exe?x=\xff1",
  })
end)
on("dns", function()
  local info = flow.getInfo()
  eq(info["proto.l4"], "UDP")
  eq(info["proto.ndpi"], "DNS")
  eq(info["srv.localhost"], true)
  eq(info["info"], "example.org")
end)
on("tls", function()
  local info = flow.getInfo()
  eq(info["proto.ndpi"], "TLS.Google")
  eq(info["proto.ndpi_app"], "Google")
  eq(info["info"], "www.example.net")
end)
on("udp", function()
  local info = flow.getInfo()
  eq(info["proto.ndpi"], "Unknown")
  eq(info["proto.ndpi_app"], "Unknown")
  eq(info["srv2cli.packets"], 0)
  eq(info["info"], "")
end)

-- Each caller has a table of its own; one kept beyond the hook stays what it was.
local kept
on("http", function()
  kept = flow.getInfo()
  kept["mine"] = 1
  eq(flow.getInfo()["mine"], nil)
end)
on("dns", function() flow.getInfo() end)
eq(kept["srv.port"], 80)
eq(kept["proto.ndpi"], "HTTP")

-- It is a plain table: pairs, next and JSON see it all.
on("udp", function()
  local info = flow.getInfo()
  eq(table.len(info), 18)
  eq(getmetatable(info), nil)
  eq(require("dkjson").decode(require("dkjson").encode(info)), info)
end)
