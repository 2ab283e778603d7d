-- Flow statuses. `status_types` is filled by the loader.

local flow_consts = { status_types = {}, max_score = 1024 }

local function by_key(status_key)
  for name, definition in pairs(flow_consts.status_types) do
    if definition.status_key == tonumber(status_key) then
      return definition, name
    end
  end
end

function flow_consts.getStatusTitle(status_key)
  local definition = by_key(status_key)
  local title = definition and definition.i18n_title
  return title and (i18n(title) or title)
end

function flow_consts.getStatusDescription(status_key, info)
  local definition = by_key(status_key)
  local description = definition and definition.i18n_description
  if type(description) == "function" then
    return description(info)
  end
  return description and (i18n(description, info) or description)
    or flow_consts.getStatusTitle(status_key)
end

function flow_consts.getStatusType(status_key)
  return (select(2, by_key(status_key)))
end

function flow_consts.getStatusIcon(status_key)
  local definition = by_key(status_key)
  local alert_type = definition and definition.alert_type
  return alert_type and alert_type.icon
end

-- The loader owns the definitions; these are here for programs that drove the loader themselves.
function flow_consts.resetDefinitions() end

function flow_consts.loadDefinition()
  return false
end

function flow_consts.getDefinititionDirs()
  return {}
end

return flow_consts
