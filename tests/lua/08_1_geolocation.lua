on("http", function()
  eq(flow.getClientCountry(), "CN")
  eq(flow.getServerCountry(), "FR")
  eq(flow.getClientGeolocation(), {
    ["cli.country"] = "CN", ["cli.city"] = "Beijing", ["cli.latitude"] = 39.9, ["cli.longitude"] = 116.4,
  })
  eq(flow.getServerGeolocation()["srv.country"], "FR")
end)
-- Unknown addresses: no value, and a table without fields that can be indexed without a check.
on("blacklisted", function()
  eq(flow.getServerCountry(), nil)
  eq(flow.getServerGeolocation(), {})
  eq(flow.getServerGeolocation()["srv.country"] == "CN", false)
end)
on("v6", function() eq(flow.getClientCountry(), nil) end)
