-- Status keys: bits of a flow's status map.

local flow_keys = { ntopng = {}, user = {} }

-- The position in the list, counted from 0, is the bit.
local names = {
  [0] = "normal", "blacklisted", "blacklisted_country", "blocked", "data_exfiltration",
  "device_protocol_not_allowed", "dns_data_exfiltration", "dns_invalid_query", "elephant_local_to_remote",
  "elephant_remote_to_local", "external_alert", "longlived", "low_goodput", "malicious_signature",
  "not_purged", "potentially_dangerous", "remote_to_remote", "suspicious_tcp_probing",
  "suspicious_tcp_syn_probing", "tcp_connection_issues", "tcp_connection_refused",
  "tcp_severe_connection_issues", "tls_certificate_expired", "tls_certificate_mismatch",
  "tls_old_protocol_version", "tls_unsafe_ciphers", "udp_unidirectional", "web_mining_detected",
  "tls_certificate_selfsigned", "suspicious_file_transfer", "known_proto_on_non_std_port", "flow_risk",
  "unexpected_dhcp_server", "unexpected_dns_server", "unexpected_smtp_server", "unexpected_ntp_server",
  "too_many_retransmissions", "iec_invalid_transition", "remote_to_local_insecure_proto",
}
for bit, name in pairs(names) do
  flow_keys.ntopng["status_" .. name] = bit
end
-- Two more names bit 36 had.
flow_keys.ntopng.status_too_many_restransmissions = 36
flow_keys.ntopng.status_zero_tcp_window = 36

for n = 1, 5 do
  flow_keys.user["status_user_0" .. n] = 58 + n
end

return flow_keys
