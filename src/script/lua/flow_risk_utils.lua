-- Names, numbers and texts of flow risks. The names come from the engine: `names[id]` is the part after "ndpi_".
local names, texts = ...
local flow_risk_utils = { risks = {} }

for id, name in pairs(names) do
  flow_risk_utils.risks["ndpi_" .. name] = id
end

-- The translated text of a risk; its own text without translation; the argument if there is no such risk.
function flow_risk_utils.risk_id_2_i18n(id)
  local number = math.tointeger(tonumber(id))
  local name = number and names[number]
  if not name then return id end
  return i18n and i18n("flow_risk.ndpi_" .. name) or texts[number]
end

return flow_risk_utils
