-- Alert keys: numbers of alert types. `{0, id}` is one of ours, `{pen, id}` somebody's own.

local alert_keys = { ntopng = {}, user = {} }

-- The position in the list is the id.
local names = {
  "blacklisted_country", "broadcast_domain_too_large", "device_connection", "device_disconnection",
  "device_protocol_not_allowed", "dropped_alerts", "external", "flow_blacklisted", "flow_blocked",
  "flow_misbehaviour", "flows_flood", "ghost_network", "host_pool_connection", "host_pool_disconnection",
  "influxdb_dropped_points", "influxdb_error", "influxdb_export_failure", "internals",
  "ip_outsite_dhcp_range", "list_download_failed", "login_failed", "mac_ip_association_change",
  "malicious_signature", "misbehaving_flows_ratio", "misconfigured_app", "new_device", "nfq_flushed", "none",
  "periodic_activity_not_executed", "am_threshold_cross", "port_duplexstatus_change", "port_errors",
  "port_load_threshold_exceeded", "port_mac_changed", "port_status_change",
  "potentially_dangerous_protocol", "process_notification", "quota_exceeded", "remote_to_remote",
  "request_reply_ratio", "slow_periodic_activity", "slow_purge", "snmp_device_reset",
  "snmp_topology_changed", "suspicious_activity", "tcp_syn_flood", "tcp_syn_scan", "test_failed",
  "threshold_cross", "too_many_drops", "udp_unidirectional", "unresponsive_device", "user_activity",
  "user_script_calls_drops", "web_mining", "connection_issues", "suspicious_file_transfer",
  "known_proto_on_non_std_port", "host_log", "attack_mitigation_via_snmp", "iec104_error", "flow_risk",
  "unexpected_dns_server", "unexpected_smtp_server", "unexpected_dhcp_server", "unexpected_ntp_server",
  "too_many_retransmissions", "lateral_movement", "list_download_succeeded", "no_if_activity",
  "zero_tcp_window", "flow_low_goodput", "unexpected_new_device", "shell_script_executed",
  "periodicity_update", "dns_positive_error_ratio", "elephant_local_to_remote",
  "elephant_remote_to_local", "longlived", "tls_old_protocol_version", "tls_certificate_mismatch",
  "tls_certificate_expired", "tls_unsafe_ciphers", "tls_certificate_selfsigned", "data_exfiltration",
  "dns_data_exfiltration", "tcp_connection_refused", "suspicious_tcp_syn_probing",
  "suspicious_tcp_probing", "dns_invalid_query", "iec_invalid_transition", "fail2ban_executed",
  "flows_flood_attacker", "flows_flood_victim", "tcp_syn_flood_attacker", "tcp_syn_flood_victim",
  "tcp_syn_scan_attacker", "tcp_syn_scan_victim", "remote_to_local_insecure_proto", "contacted_peers",
  "unexpected_behaviour",
}
for id, name in ipairs(names) do
  alert_keys.ntopng["alert_" .. name] = { 0, id }
end
for n = 1, 5 do
  alert_keys.user["alert_user_0" .. n] = { 0, 32767 + n }
end

local MAX_PART = 65534

-- The 32 bit number of a key, or nil and why not.
function alert_keys.parse_alert_key(key)
  if math.type(key) == "integer" then
    if key < 1 or key > 0xffffffff then
      return nil, "alert_key " .. key .. " is out of range"
    end
    return key
  end
  if type(key) ~= "table" then
    return nil, "alert_key is a " .. type(key) .. ", not {pen, id} or a constant of alert_keys"
  end
  local pen, id = key[1], key[2]
  if type(id) == "table" then -- {0, alert_keys.user.alert_user_01}
    pen, id = id[1], id[2]
  end
  if math.type(pen) ~= "integer" or math.type(id) ~= "integer" then
    return nil, "alert_key is not {pen, id}: two integers"
  end
  if pen < 0 or pen > MAX_PART or id < 0 or id > MAX_PART then
    return nil, "alert_key {" .. pen .. ", " .. id .. "}: both go from 0 to " .. MAX_PART
  end
  if pen == 0 and not names[id] and (id < 32768 or id > 32772) then
    return nil, "alert_key {0, " .. id .. "} is not a declared constant of alert_keys"
  end
  return (pen << 16) + id
end

return alert_keys
