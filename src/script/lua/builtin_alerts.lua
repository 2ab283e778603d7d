-- Alert types every plugin may count on: name, key, title, icon, creator. A plugin that brings a
-- definition of the same name replaces ours.

local function info(severity, params)
  return { alert_severity = severity, alert_type_params = params }
end

local function plain(severity) return info(severity, {}) end
local function whole(severity, params) return info(severity, params) end

-- Names for the arguments after the severity.
local function named(...)
  local names = { ... }
  return function(severity, ...)
    local params = {}
    for i, name in ipairs(names) do
      params[name] = (select(i, ...))
    end
    return info(severity, params)
  end
end

local function tls(severity, tls_version, tls_info)
  tls_info = tls_info or {}
  return info(severity, {
    ["tls_version"] = tls_version,
    ["tls_crt.cli"] = tls_info["protos.tls.client_requested_server_name"],
    ["tls_crt.srv"] = tls_info["protos.tls.server_names"],
    ["tls_crt.notBefore"] = tls_info["protos.tls.notBefore"],
    ["tls_crt.notAfter"] = tls_info["protos.tls.notAfter"],
    ["tls_crt.issuerDN"] = tls_info["protos.tls.issuerDN"],
    ["tls_crt.now"] = os.time(),
    ["cli_ja3_signature"] = tls_info["protos.tls.ja3.client_hash"],
  })
end

-- Creators of status users pass either thresholds (elephants) or the flow's own parameters.
local function misbehaviour(severity, first, second)
  if type(first) == "table" then
    return info(severity, first)
  end
  return info(severity, { ["elephant.l2r_threshold"] = first, ["elephant.r2l_threshold"] = second })
end

-- The flow's own parameters, or what TLS scripts pass.
local function dangerous(severity, first, second)
  if type(first) == "table" then
    return info(severity, first)
  end
  return tls(severity, first, second)
end

-- With a subtype and a granularity, as interface and host scripts use them.
local function periodic(...)
  local params_of = named(...)
  return function(severity, subtype, granularity, ...)
    local result = params_of(severity, ...)
    result.alert_subtype, result.alert_granularity = subtype, granularity
    return result
  end
end

return {
  { "alert_none", "none", "No alert", "fas fa-check" },
  { "alert_flow_blacklisted", "flow_blacklisted", "Blacklisted flow", "fas fa-exclamation", whole },
  { "alert_blacklisted_country", "blacklisted_country", "Blacklisted country", "fas fa-exclamation",
    named("cli_country", "srv_country", "cli_blacklisted", "srv_blacklisted") },
  { "alert_flow_blocked", "flow_blocked", "Blocked flow", "fas fa-ban", plain },
  { "alert_flow_misbehaviour", "flow_misbehaviour", "Flow misbehaviour", "fas fa-exclamation", misbehaviour },
  { "alert_device_protocol_not_allowed", "device_protocol_not_allowed", "Protocol not allowed for this device",
    "fas fa-exclamation",
    named("cli.devtype", "srv.devtype", "devproto_forbidden_peer", "devproto_forbidden_id") },
  { "alert_suspicious_activity", "suspicious_activity", "Suspicious activity", "fas fa-exclamation" },
  { "external_alert", "external", "External alert", "fas fa-eye", whole },
  { "alert_connection_issues", "connection_issues", "Connection issues", "fas fa-exclamation",
    named("tcp_stats", "cli2srv_pkts", "srv2cli_pkts", "is_severe", "client_issues", "server_issues") },
  { "alert_malicious_signature", "malicious_signature", "Malicious signature", "fas fa-ban" },
  { "alert_internals", "internals", "Internal alert", "fas fa-exclamation", plain },
  { "alert_potentially_dangerous_protocol", "potentially_dangerous_protocol", "Potentially dangerous protocol",
    "fas fa-exclamation", dangerous },
  { "alert_remote_to_remote", "remote_to_remote", "Remote to remote flow", "fas fa-exclamation" },
  { "alert_udp_unidirectional", "udp_unidirectional", "Unanswered UDP flow", "fas fa-info-circle", plain },
  { "alert_web_mining", "web_mining", "Crypto mining", "fab fa-bitcoin", plain },
  { "alert_suspicious_file_transfer", "suspicious_file_transfer", "Suspicious file transfer",
    "fas fa-file-download", whole },
  { "alert_known_proto_on_non_std_port", "known_proto_on_non_std_port", "Known protocol on unusual port",
    "fas fa-exclamation", whole },
  { "alert_flow_risk", "flow_risk", "Flow risk", "fas fa-exclamation", named("risk_id") },
  { "alert_unexpected_dhcp", "unexpected_dhcp_server", "Unexpected DHCP server", "fas fa-exclamation", whole },
  { "alert_unexpected_dns", "unexpected_dns_server", "Unexpected DNS server", "fas fa-exclamation", whole },
  { "alert_unexpected_smtp", "unexpected_smtp_server", "Unexpected SMTP server", "fas fa-exclamation", whole },
  { "alert_unexpected_ntp", "unexpected_ntp_server", "Unexpected NTP server", "fas fa-exclamation", whole },
  -- Of custom scripts' `flow.triggerAlert(score, message)`; its number is that of ntopng 5.x.
  { "alert_custom_script", 87, "Custom script", "fas fa-scroll" },
  { "alert_threshold_cross", "threshold_cross", "Threshold crossed", "fas fa-arrow-circle-up",
    periodic("metric", "value", "operator", "threshold") },
  { "alert_flows_flood", "flows_flood", "Flows flood", "fas fa-life-ring",
    periodic("metric", "value", "operator", "threshold") },
  { "alert_tcp_syn_flood", "tcp_syn_flood", "TCP SYN flood", "fas fa-life-ring",
    periodic("metric", "value", "operator", "threshold") },
  { "alert_tcp_syn_scan", "tcp_syn_scan", "TCP SYN scan", "fas fa-life-ring",
    periodic("metric", "value", "operator", "threshold") },
}
