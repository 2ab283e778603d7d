-- A URL is searched with the standard string methods, and printed with the flow's label.
local function hook()
  local http_info = flow.getHTTPInfo()
  if http_info and http_info["protos.http.last_url"] then
    if http_info["protos.http.last_url"]:match("%.exe") then
      io.write(string.format("%s [%s]\n", http_info["protos.http.last_url"]:sub(1, 11), shortFlowLabel(flow.getInfo())))
    end
  end
end
on("http", hook)
eq(test.output():sub(1, 32), "example.org [[HTTP] TCP 10.0.0.2")
on("dns", hook)
eq(test.output(), "")
