local function create(key) return { status_type = { status_key = key }, alert_type = {} } end
on("http", function()
  eq(flow.getStatus(), 0)
  eq(flow.getAlertedStatus(), 0)
  eq(flow.getAlertedStatusScore(), 0)
  eq(flow.getPredominantStatus(), 0)
  eq(flow.getScore(), 0)
  flow.triggerStatus(create(63), 70, 0, 0)
  flow.setStatus(60, 80, 0, 0)
  eq(flow.getStatus(), math.mininteger + (1 << 60)) -- bit 63 makes it negative
  eq(flow.getPredominantStatus(), 60)
  eq(flow.getAlertedStatus(), 0) -- decided when the event is over
  test.next_event()
  eq(flow.getAlertedStatus(), 63)
  eq(flow.getAlertedStatusScore(), 70)
  eq(flow.isAlerted(), true)
  eq(flow.getScoreInfo(), { status_map = math.mininteger + (1 << 60), score = 150, status_info = "" })
end)

-- Repeating a status event by event does not add up; within an event it does.
on("http", function()
  for _ = 1, 3 do
    test.next_event()
    flow.setStatus(59, 30, 0, 0)
  end
  eq(flow.getScore(), 30)
  flow.setStatus(59, 30, 0, 0)
  eq(flow.getScore(), 60)
end)
