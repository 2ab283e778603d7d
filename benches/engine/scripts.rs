//! Scripts as people write them: none raises anything for the flow they are shown, so what is measured is
//! looking, not alerting.

/// The cheapest that does something.
pub const THREE_FIELDS: &str = r#"
local script = { hooks = {} }
local seen = 0
function script.hooks.protocolDetected(now)
  if flow.getServerPort() == 80 and flow.isUnicast() and flow.getBytes() > 0 then seen = seen + 1 end
end
return script
"#;

const INFO: &str = r#"
local script = { hooks = {} }
function script.hooks.protocolDetected(now)
  local info = flow.getInfo()
  if info["srv.ip"] == "203.0.113.9" or info["cli.port"] == 6666 then flow.setStatus(1, 10, 10, 10) end
end
return script
"#;

const URL: &str = r#"
local script = { l7_proto = "HTTP", hooks = {} }
function script.hooks.protocolDetected(now)
  local url = flow.getHTTPInfo()["protos.http.last_url"]
  if url and url:lower():match("%.exe$") then flow.setStatus(1, 10, 10, 10) end
end
return script
"#;

const SIZE: &str = r#"
local script = { hooks = {} }
function script.hooks.protocolDetected(now)
  if flow.isUnicast() and flow.getBytes() > 1000000 then flow.setStatus(1, 10, 10, 10) end
end
return script
"#;

const HOST: &str = r#"
local script = { hooks = {} }
local listed = { ["ads.example"] = true, ["tracker.example"] = true }
function script.hooks.protocolDetected(now)
  local name = flow.getHTTPInfo()["protos.http.server_name"]
  while name do
    if listed[name] then flow.setStatus(1, 10, 10, 10) return end
    name = name:match("^[^.]*%.(.+)$")
  end
end
return script
"#;

const PORT: &str = r#"
local script = { hooks = {} }
local usual = { [80] = true, [443] = true, [53] = true, [123] = true }
function script.hooks.protocolDetected(now)
  if not usual[flow.getServerPort()] and flow.isUnicast() then flow.setStatus(1, 10, 10, 10) end
end
return script
"#;

/// Twenty on one flow.
pub const TYPICAL: [&str; 20] = [
    INFO, URL, SIZE, HOST, PORT, INFO, URL, SIZE, HOST, PORT, INFO, URL, SIZE, HOST, PORT, INFO,
    URL, SIZE, HOST, PORT,
];
