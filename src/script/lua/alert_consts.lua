-- Alert types, severities, entities, granularities. `alert_types` is filled by the loader.

local alert_consts = {
  alert_types = {},
  alert_severities = {},
  alert_entities = {},
  alerts_granularities = {},
}

-- The position in the list is the severity's id.
local severities = {
  { "debug", 7, "fas fa-bug" }, { "info", 6, "fas fa-info-circle" }, { "notice", 5, "fas fa-hand-paper" },
  { "warning", 4, "fas fa-exclamation-triangle" }, { "error", 3, "fas fa-exclamation-triangle" },
  { "critical", 2, "fas fa-bomb" }, { "alert", 1, "fas fa-bell" }, { "emergency", 0, "fas fa-bolt" },
}
for id, row in ipairs(severities) do
  local key = row[1]
  alert_consts.alert_severities[key] = {
    severity_id = id,
    label = key,
    icon = row[3],
    i18n_title = key:sub(1, 1):upper() .. key:sub(2),
    syslog_severity = row[2],
    emoji = "",
  }
end

local entities = {
  [0] = "interface", "host", "network", "snmp_device", "flow", "mac", "host_pool", "process", "user",
  "influx_db", "test", "category_lists", "am_host", "periodic_activity",
}
for id, key in pairs(entities) do
  alert_consts.alert_entities[key] = { entity_id = id, i18n_label = key }
end

local granularities = { { "min", 60, "Minute" }, { "5mins", 300, "5 Minutes" }, { "hour", 3600, "Hour" }, { "day", 86400, "Day" } }
for id, row in ipairs(granularities) do
  alert_consts.alerts_granularities[row[1]] = {
    granularity_id = id,
    granularity_seconds = row[2],
    i18n_title = row[3],
    i18n_description = row[3],
  }
end

-- The first pair of `from` for which `field` of the value is `wanted`.
local function find(from, field, wanted)
  for key, value in pairs(from) do
    if value[field] == wanted then
      return value, key
    end
  end
end

local function shown(text)
  return text and (i18n(text) or text)
end

function alert_consts.alertSeverityById(id)
  return (find(alert_consts.alert_severities, "severity_id", tonumber(id)))
end

function alert_consts.alertSeverityRaw(id)
  return (select(2, find(alert_consts.alert_severities, "severity_id", tonumber(id))))
end

function alert_consts.alertSeverity(key)
  local severity = alert_consts.alert_severities[key]
  return severity and severity.severity_id
end

function alert_consts.alertSeverityLabel(id)
  local severity = alert_consts.alertSeverityById(id)
  return severity and shown(severity.i18n_title)
end

function alert_consts.alertTypeRaw(id)
  return (select(2, find(alert_consts.alert_types, "alert_key", tonumber(id))))
end

function alert_consts.alertType(name)
  local alert_type = alert_consts.alert_types[name]
  return alert_type and alert_type.alert_key
end

function alert_consts.alertTypeLabel(id)
  local alert_type = find(alert_consts.alert_types, "alert_key", tonumber(id))
  return alert_type and shown(alert_type.i18n_title)
end

function alert_consts.alertEntity(key)
  local entity = alert_consts.alert_entities[key]
  return entity and entity.entity_id
end

function alert_consts.alertEntityRaw(id)
  return (select(2, find(alert_consts.alert_entities, "entity_id", tonumber(id))))
end

function alert_consts.alertEntityLabel(id)
  local entity = find(alert_consts.alert_entities, "entity_id", tonumber(id))
  return entity and shown(entity.i18n_label)
end

function alert_consts.granularity2sec(key)
  local granularity = alert_consts.alerts_granularities[key]
  return granularity and granularity.granularity_seconds or 0
end

function alert_consts.granularity2id(key)
  local granularity = alert_consts.alerts_granularities[key]
  return granularity and granularity.granularity_id or 0
end

function alert_consts.sec2granularity(seconds)
  return (select(2, find(alert_consts.alerts_granularities, "granularity_seconds", tonumber(seconds))))
end

function alert_consts.formatAlertEntity(_, entity_key, entity_val)
  local entity = alert_consts.alert_entities[entity_key]
  return (entity and shown(entity.i18n_label) or tostring(entity_key)) .. " " .. tostring(entity_val)
end

function alert_consts.alertLevelToSyslogLevel(key)
  local severity = alert_consts.alert_severities[key]
  return severity and severity.syslog_severity
end

return alert_consts
