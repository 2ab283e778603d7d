on("http", function()
  eq(select("#", flow.setStatus({ status_key = 59 }, 40, 30, 20)), 0) -- 4.1
  eq(flow.getScore(), 40)
  eq(test.host_scores(), { 30, 20 })
  flow.setStatus(60, 10, 0, 0, "some_script", 1) -- 4.2
  eq(flow.getScore(), 50)
  eq(flow.isStatusSet(60), true)
  eq(flow.isStatusSet({ status_key = 60 }), true)
  eq(flow.isStatusSet(61), false)
  eq(test.candidate(), nil) -- it raises no alert
  fails(function() flow.setStatus(64, 1, 1, 1) end, "flow status expected, got 64")
end)
