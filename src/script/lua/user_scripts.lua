-- What a user script names in its table: categories, units, operators.

local user_scripts = {
  DEFAULT_CONFIGSET_ID = 0,
  script_categories = {},
  field_units = {},
  operator_functions = {
    gt = function(value, threshold) return value > threshold end,
    lt = function(value, threshold) return value < threshold end,
  },
  script_types = {},
}

local categories = {
  [0] = { "other", "Other", "fas fa-scroll" }, { "security", "Security", "fas fa-shield-alt" },
  { "internals", "Internals", "fas fa-wrench" }, { "network", "Network", "fas fa-network-wired" },
  { "system", "System", "fas fa-server" },
}
for id, row in pairs(categories) do
  user_scripts.script_categories[row[1]] =
    { id = id, icon = row[3], i18n_title = row[2], i18n_descr = row[2] }
end

for _, unit in ipairs({ "seconds", "bytes", "flows", "packets", "mbits", "hosts", "syn_sec", "flow_sec", "percentage", "syn_min" }) do
  user_scripts.field_units[unit] = "field_units." .. unit
end

local hooks = {
  flow = { "protocolDetected", "statusChanged", "periodicUpdate", "flowEnd" },
  host = { "min", "5mins", "hour", "day" },
  interface = { "min", "5mins", "hour", "day" },
  network = { "min", "5mins", "hour", "day" },
  system = { "min", "5mins", "hour", "day" },
  snmp_device = { "snmpDevice", "snmpDeviceInterface" },
  syslog = { "handleEvent" },
}
for subdir, names in pairs(hooks) do
  user_scripts.script_types[subdir] = { subdir = subdir, hooks = names }
end

return user_scripts
