-- Numbers in words, for messages and logs.
local format_utils = {}

local function number(value)
  return tonumber(value) or 0
end

-- The whole number where there is one, so that "%d" takes it.
local function whole(value)
  return math.tointeger(value) or value
end

function format_utils.round(value, digits)
  local scale = 10 ^ (digits or 0)
  local rounded = math.floor(number(value) * scale + 0.5) / scale
  return whole(rounded)
end

-- 1536, 1024, {"B", "KB"}: "1.5 KB"
local function scaled(value, base, units)
  local rest, unit = number(value), 1
  while math.abs(rest) >= base and unit < #units do
    rest, unit = rest / base, unit + 1
  end
  return format_utils.round(rest, 2) .. " " .. units[unit]
end

local BYTES = { "Bytes", "KB", "MB", "GB", "TB", "PB" }
local BITS = { "bps", "kbit/s", "Mbit/s", "Gbit/s", "Tbit/s" }
local PACKETS = { "pps", "Kpps", "Mpps", "Gpps" }

function format_utils.bytesToSize(bytes)
  return scaled(bytes, 1024, BYTES)
end

function format_utils.bitsToSize(bits)
  return scaled(bits, 1000, BITS)
end

function format_utils.pktsToSize(packets)
  return scaled(packets, 1000, PACKETS)
end

-- 1234567: "1,234,567"
function format_utils.formatValue(value)
  local text = tostring(whole(number(value)))
  local sign, digits, rest = text:match("^(-?)(%d+)(.*)$")
  if not digits then return text end
  local first = #digits % 3
  local groups = first > 0 and { digits:sub(1, first) } or {}
  for at = first + 1, #digits, 3 do
    groups[#groups + 1] = digits:sub(at, at + 2)
  end
  return sign .. table.concat(groups, ",") .. rest
end

function format_utils.formatPackets(packets)
  return format_utils.formatValue(packets) .. " Pkts"
end

function format_utils.formatFlows(flows)
  return format_utils.formatValue(flows) .. " Flows"
end

-- 93784: "1 Day, 02:03:04"; under a minute: "12 sec"
function format_utils.secondsToTime(seconds)
  local rest = math.floor(number(seconds))
  if rest < 60 then return rest .. " sec" end
  local days = rest // 86400
  local hours, minutes = rest % 86400 // 3600, rest % 3600 // 60
  local clock
  if days > 0 or hours > 0 then
    clock = string.format("%02d:%02d:%02d", hours, minutes, rest % 60)
  else
    clock = string.format("%02d:%02d", minutes, rest % 60)
  end
  if days == 0 then return clock end
  return days .. (days == 1 and " Day, " or " Days, ") .. clock
end

function format_utils.msToTime(ms)
  local rest = number(ms)
  if rest >= 1000 then return format_utils.secondsToTime(rest / 1000) end
  return format_utils.round(rest, 2) .. " ms"
end

function format_utils.formatEpoch(epoch)
  return os.date("%d/%m/%Y %H:%M:%S", math.floor(number(epoch)))
end

return format_utils
