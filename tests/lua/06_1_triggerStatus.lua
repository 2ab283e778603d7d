local A = { alert_key = 32768 }
local S = { status_key = 59, alert_type = A }
local T = { status_key = 60, alert_type = A }
local function create(status, params)
  return { alert_severity = { severity_id = 5 }, alert_type_params = params, alert_type = A, status_type = status }
end

on("http", function()
  eq(select("#", flow.triggerStatus(create(S, "x"), 100, 100, 10)), 0)
  eq(flow.isStatusSet(59), true)
  eq(flow.getStatus(), 1 << 59)
  eq(flow.getScore(), 100)
  eq(test.host_scores(), { 100, 10 })
  local candidate = test.candidate()
  eq({ candidate.status, candidate.score, candidate.script }, { 59, 100, 3 })
  eq(candidate.info.alert_type_params, "x")
end)

-- The highest score wins, the lower key of equals; statuses add up.
on("http", function()
  flow.triggerStatus(create(T, {}), 50, 0, 0)
  eq(test.candidate().status, 60)
  flow.triggerStatus(create(S, {}), 50, 0, 0)
  eq(test.candidate().status, 59)
  flow.triggerStatus(create(T, {}), 49, 0, 0)
  eq(test.candidate().status, 59)
  flow.triggerStatus(create(T, {}), 51, 0, 0)
  eq(test.candidate().status, 60)
  eq(flow.getStatus(), (1 << 60) + (1 << 59))
  eq(flow.getScore(), 200)
end)

-- Scores: clamped to 0 .. 1024, nil is 0, fractions are cut; the comparison takes them as passed.
on("http", function()
  flow.triggerStatus(create(S), 5000, -3, nil)
  eq(flow.getScore(), 1024)
  eq(test.host_scores(), { 0, 0 })
  eq(test.candidate().score, 5000)
end)
on("http", function()
  flow.triggerStatus(create(S), 10.9, "20", 30.5)
  eq(flow.getScore(), 10)
  eq(test.host_scores(), { 20, 30 })
end)
on("http", function()
  flow.triggerStatus(create(S), math.huge, 0 / 0, -math.huge)
  eq(flow.getScore(), 1024)
  eq(test.host_scores(), { 0, 0 })
end)
on("http", function()
  flow.triggerStatus(create(S))
  eq(flow.getScore(), 0)
  eq(flow.isStatusSet(59), true)
end)

-- "Normal" cannot be set; its scores do not count either.
on("http", function()
  flow.triggerStatus(create({ status_key = 0, alert_type = A }), 100, 100, 100)
  eq(flow.getStatus(), 0)
  eq(flow.getScore(), 0)
  eq(test.host_scores(), { 0, 0 })
  eq(test.candidate(), nil)
end)
