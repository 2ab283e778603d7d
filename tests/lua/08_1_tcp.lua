on("http", function()
  eq(flow.isTwhOK(), true)
  eq(flow.isTCPConnecting(), false)
  eq(flow.isTCPConnectionRefused(), false)
  eq(flow.getClientTCPIssues(), 5)
  eq(flow.getServerTCPIssues(), 1)
  eq(flow.getClientRetrPercentage(), 0.25) -- a ratio, whatever its name says
  eq(flow.getServerRetrPercentage(), 0.0) -- ten packets are too few
  eq(flow.getTCPStats(), {
    ["cli2srv.retransmissions"] = 3, ["cli2srv.out_of_order"] = 2, ["cli2srv.lost"] = 0,
    ["srv2cli.retransmissions"] = 1, ["srv2cli.out_of_order"] = 0, ["srv2cli.lost"] = 0,
  })
end)
on("refused", function()
  eq(flow.isTCPConnectionRefused(), true)
  eq(flow.isTwhOK(), false)
end)
on("udp", function()
  eq(flow.getTCPStats(), {})
  eq(flow.isTwhOK(), false)
  eq(flow.isTCPConnectionRefused(), false)
  eq(flow.getClientTCPIssues(), 0)
end)
-- Not measured: empty, and never an error.
on("tls", function()
  eq(flow.getClient2ServerIAT(), {})
  eq(flow.getServer2ClientIAT(), {})
  eq(flow.isTcpZeroWinAlert(), {})
end)
