-- The globals user scripts of ntopng 4 expect without asking for them. Functions of the standard libraries
-- are looked up when they are used, so that what guards them guards these too.
local format_utils = ...

-- Printing and logging --------------------------------------------------------------------------------

TRACE_ERROR, TRACE_WARNING, TRACE_NORMAL, TRACE_INFO, TRACE_DEBUG = 0, 1, 2, 3, 4
TRACE_CONSOLE, TRACE_WEB = 0, 1

function traceError(level, _, text)
  ntop.traceEvent(tonumber(level), "script", 0, tostring(text))
end

-- Any two keys can be compared: by value within a type, else by the name of the type.
local function key_order(a, b)
  local type_a, type_b = type(a), type(b)
  if type_a ~= type_b then return type_a < type_b end
  if type_a == "number" or type_a == "string" then return a < b end
  return tostring(a) < tostring(b)
end

local function sorted_keys(t, order)
  local keys = {}
  for key in pairs(t) do keys[#keys + 1] = key end
  table.sort(keys, order or key_order)
  return keys
end

local MAX_PRINT_DEPTH = 16

local function print_value(path, value, depth, above)
  if type(value) ~= "table" then
    io.write(path, " ", type(value), " ", tostring(value), "\n")
    return
  end
  io.write(path, " table\n")
  if above[value] or depth > MAX_PRINT_DEPTH then return end
  above[value] = true
  local prefix = path == "" and "" or path .. "."
  for _, key in ipairs(sorted_keys(value)) do
    print_value(prefix .. tostring(key), value[key], depth + 1, above)
  end
  above[value] = nil
end

function tprint(value)
  print_value("", value, 1, {})
end

-- Choices ---------------------------------------------------------------------------------------------

function ternary(condition, yes, no)
  if condition then return yes end
  return no
end

function isEmptyString(text)
  return text == nil or text == ""
end

function toboolean(value)
  if value == true or value == "true" or value == "1" or value == 1 then return true end
  if value == false or value == "false" or value == "0" or value == 0 then return false end
  return nil
end

-- Tables ----------------------------------------------------------------------------------------------

function table.len(t)
  local count = 0
  if t == nil then return count end
  for _ in pairs(t) do count = count + 1 end
  return count
end

function table.empty(t)
  return t == nil or next(t) == nil
end

-- Arrays are put one behind the other; of other tables the second's fields win.
function table.merge(a, b)
  a, b = a or {}, b or {}
  local merged = {}
  local arrays = (a[1] ~= nil or next(a) == nil) and (b[1] ~= nil or next(b) == nil)
  for _, t in ipairs({ a, b }) do
    for key, value in pairs(t) do
      if not arrays then merged[key] = value end
    end
    if arrays then
      for _, value in ipairs(t) do merged[#merged + 1] = value end
    end
  end
  return merged
end

local function clone(value, done)
  if type(value) ~= "table" then return value end
  if done[value] then return done[value] end
  local copy = {}
  done[value] = copy
  for key, field in pairs(value) do copy[clone(key, done)] = clone(field, done) end
  return copy
end

function table.clone(t)
  return clone(t, {})
end

local function same(a, b, depth)
  if type(a) ~= "table" or type(b) ~= "table" then return a == b end
  if depth > 100 then error("table.compare: too many tables within each other") end
  for key, value in pairs(a) do
    if not same(value, b[key], depth + 1) then return false end
  end
  for key in pairs(b) do
    if a[key] == nil then return false end
  end
  return true
end

function table.compare(a, b)
  return same(a, b, 1)
end

local function equal(a, b) return a == b end

function table.contains(t, wanted, cmp)
  cmp = cmp or equal
  for _, value in pairs(t or {}) do
    if cmp(wanted, value) then return true end
  end
  return false
end

function table.insertIfNotPresent(t, value, cmp)
  if not table.contains(t, value, cmp) then t[#t + 1] = value end
end

function table.has_key(t, key)
  return t ~= nil and t[key] ~= nil
end

function table.slice(t, first, last, step)
  local slice = {}
  for at = first or 1, math.min(last or #t, #t), step or 1 do slice[#slice + 1] = t[at] end
  return slice
end

function table.tconcat(t, kv_sep, group_sep, last_sep, quote)
  quote = quote or ""
  local groups = {}
  for _, key in ipairs(sorted_keys(t)) do
    groups[#groups + 1] = tostring(key) .. kv_sep .. quote .. tostring(t[key]) .. quote
  end
  local last = table.remove(groups)
  if #groups == 0 then return last or "" end
  return table.concat(groups, group_sep) .. (last_sep or group_sep) .. last
end

function table.foldr(t, fold, start)
  for _, value in pairs(t) do start = fold(start, value) end
  return start
end

function table.all(t, holds)
  for _, value in pairs(t) do
    if not holds(value) then return false end
  end
  return true
end

function swapKeysValues(t)
  local swapped = {}
  for key, value in pairs(t) do swapped[value] = key end
  return swapped
end

-- Sorted iteration ------------------------------------------------------------------------------------

function asc(a, b) return key_order(a, b) end
function rev(a, b) return key_order(b, a) end
function asc_insensitive(a, b) return key_order(tostring(a):lower(), tostring(b):lower()) end
function rev_insensitive(a, b) return asc_insensitive(b, a) end

local function in_order(t, order)
  local keys, at = sorted_keys(t, order), 0
  return function()
    at = at + 1
    local key = keys[at]
    if key ~= nil then return key, t[key] end
  end
end

function pairsByKeys(t, cmp)
  return in_order(t, cmp or asc)
end

-- Equal values come in the order of their keys, so that the order is always the same.
local function by(t, value_of, cmp)
  cmp = cmp or asc
  return in_order(t, function(a, b)
    local value_a, value_b = value_of(t[a]), value_of(t[b])
    if cmp(value_a, value_b) then return true end
    if cmp(value_b, value_a) then return false end
    return key_order(a, b)
  end)
end

function pairsByValues(t, cmp)
  return by(t, function(value) return value end, cmp)
end

function pairsByField(t, field, cmp)
  return by(t, function(value) return value[field] end, cmp)
end

-- Texts -----------------------------------------------------------------------------------------------

-- Fields between matches of the pattern, empty ones included.
function split(text, pattern)
  local fields = {}
  if text == nil then return fields end
  local from = 1
  while true do
    local first, last = string.find(text, pattern, from)
    if not first or last < first then break end
    fields[#fields + 1] = string.sub(text, from, first - 1)
    from = last + 1
  end
  fields[#fields + 1] = string.sub(text, from)
  return fields
end

-- As split, but nil where the pattern is not found, and no empty field at the end.
function string.split(text, pattern)
  local fields = split(text, pattern)
  if #fields < 2 then return nil end
  if fields[#fields] == "" then fields[#fields] = nil end
  return fields
end

function string.starts(text, prefix)
  return type(text) == "string" and type(prefix) == "string" and text:sub(1, #prefix) == prefix
end

function string.ends(text, suffix)
  return type(text) == "string" and type(suffix) == "string"
    and (suffix == "" or text:sub(-#suffix) == suffix)
end

function string.contains(text, part, plain)
  return type(text) == "string" and type(part) == "string"
    and string.find(text, part, 1, plain) ~= nil
end

starts, ends = string.starts, string.ends

function firstToUpper(text)
  return text:sub(1, 1):upper() .. text:sub(2)
end

-- Every word with a capital letter.
function capitalize(text)
  local words = split(text, " ")
  for at, word in ipairs(words) do words[at] = firstToUpper(word) end
  return table.concat(words, " ")
end

local function is_space(text, at)
  local byte = text:byte(at)
  return byte == 32 or byte and byte >= 9 and byte <= 13
end

function trimSpace(text)
  if text == nil then return "" end
  local first, last = 1, #text
  while is_space(text, first) do first = first + 1 end
  while last >= first and is_space(text, last) do last = last - 1 end
  return text:sub(first, last)
end

trimString = trimSpace

-- The text without what stands in angle brackets.
function noHtml(text)
  if text == nil then return nil end
  return (tostring(text):gsub("<[^>]*>", ""))
end

-- Numbers ---------------------------------------------------------------------------------------------

round = format_utils.round
bytesToSize, bitsToSize, pktsToSize =
  format_utils.bytesToSize, format_utils.bitsToSize, format_utils.pktsToSize
formatPackets, formatFlows, formatValue =
  format_utils.formatPackets, format_utils.formatFlows, format_utils.formatValue
secondsToTime, msToTime, formatEpoch =
  format_utils.secondsToTime, format_utils.msToTime, format_utils.formatEpoch

-- Addresses and hosts ---------------------------------------------------------------------------------

function isIPv4(text)
  if type(text) ~= "string" then return false end
  local parts = split(text, "%.")
  if #parts ~= 4 then return false end
  for _, part in ipairs(parts) do
    local value = #part <= 3 and part:find("^%d+$") and tonumber(part)
    if not value or value > 255 then return false end
  end
  return true
end

function isIPv6(text)
  return ntop.isIPv6(text)
end

function isMacAddress(text)
  if type(text) ~= "string" or #text ~= 17 then return false end
  return text:find("^%x%x:%x%x:%x%x:%x%x:%x%x:%x%x$") ~= nil
end

-- "address" or "address@vlan"; of one side of a flow's table if `side` is "cli" or "srv".
function hostinfo2hostkey(info, side, force_vlan)
  local address, vlan
  if side then
    address, vlan = info[side .. ".ip"] or info[side .. ".host"], info[side .. ".vlan"] or info["vlan"]
  else
    address, vlan = info["host"] or info["ip"] or info["mac"] or info["name"], info["vlan"]
  end
  vlan = math.tointeger(tonumber(vlan) or 0) or 0
  if vlan ~= 0 or force_vlan then return tostring(address) .. "@" .. vlan end
  return tostring(address)
end

function hostkey2hostinfo(key)
  local parts = split(key, "@")
  return { host = parts[1], vlan = math.tointeger(tonumber(parts[2]) or 0) or 0 }
end

function hostinfo2label(info)
  local label = info["name"]
  if isEmptyString(label) then label = info["label"] end
  if isEmptyString(label) then label = info["host"] or info["ip"] or info["mac"] end
  local vlan = tonumber(info["vlan"]) or 0
  if vlan ~= 0 then return tostring(label) .. "@" .. math.tointeger(vlan) end
  return tostring(label)
end

-- The address of "address@vlan"; anything else as it is.
function stripVlan(key)
  local parts = split(key, "@")
  if #parts == 2 and tonumber(parts[2]) and (isIPv4(parts[1]) or isIPv6(parts[1])) then
    return parts[1]
  end
  return key
end

function getDeviceName(mac)
  return mac
end

-- Protocols -------------------------------------------------------------------------------------------

-- Label, name, number.
l4_keys = {
  { "IP", "ip", 0 }, { "ICMP", "icmp", 1 }, { "IGMP", "igmp", 2 }, { "TCP", "tcp", 6 },
  { "UDP", "udp", 17 }, { "IPv6", "ipv6", 41 }, { "RSVP", "rsvp", 46 }, { "GRE", "gre", 47 },
  { "ESP", "esp", 50 }, { "IPv6-ICMP", "ipv6icmp", 58 }, { "IPv6-ICMP", "icmpv6", 58 },
  { "OSPF", "ospf", 89 }, { "PIM", "pim", 103 }, { "VRRP", "vrrp", 112 }, { "HIP", "hip", 139 },
  { "Other IP", "other_ip", -1 },
}

function l4_proto_to_id(name)
  for _, row in ipairs(l4_keys) do
    if row[2] == name then return row[3] end
  end
end

function l4_proto_to_string(id)
  id = tonumber(id)
  for _, row in ipairs(l4_keys) do
    if row[3] == id then return row[1], row[2] end
  end
end

function getL4ProtoName(id)
  return (l4_proto_to_string(id)) or tostring(id)
end

local SERVICES = {
  [20] = "ftp-data", [21] = "ftp", [22] = "ssh", [23] = "telnet", [25] = "smtp", [53] = "domain",
  [67] = "bootps", [68] = "bootpc", [69] = "tftp", [80] = "http", [88] = "kerberos", [110] = "pop3",
  [119] = "nntp", [123] = "ntp", [137] = "netbios-ns", [139] = "netbios-ssn", [143] = "imap2",
  [161] = "snmp", [179] = "bgp", [389] = "ldap", [443] = "https", [445] = "microsoft-ds",
  [465] = "submissions", [514] = "syslog", [587] = "submission", [631] = "ipp", [636] = "ldaps",
  [853] = "domain-s", [993] = "imaps", [995] = "pop3s", [1883] = "mqtt", [3306] = "mysql",
  [3389] = "ms-wbt-server", [5060] = "sip", [5353] = "mdns", [5432] = "postgresql", [8080] = "http-alt",
}

-- IANA's name of a port, the number as text where there is none.
function getservbyport(port, _)
  return SERVICES[tonumber(port)] or tostring(port)
end

local DNS_TYPES = {
  A = 1, NS = 2, CNAME = 5, SOA = 6, PTR = 12, MX = 15, TXT = 16, AAAA = 28, SRV = 33, NAPTR = 35,
  DS = 43, RRSIG = 46, DNSKEY = 48, SVCB = 64, HTTPS = 65, ANY = 255,
}

function get_dns_type(name)
  return DNS_TYPES[tostring(name):upper()]
end

-- "[DNS] UDP 10.0.0.2:5353 -> 10.0.0.1:53 [example.org]"
function shortFlowLabel(info)
  local label = string.format("[%s] %s %s:%d -> %s:%d", info["proto.ndpi"], info["proto.l4"],
    info["cli.ip"], info["cli.port"], info["srv.ip"], info["srv.port"])
  if isEmptyString(info["info"]) then return label end
  return label .. " [" .. info["info"] .. "]"
end

-- The program around -----------------------------------------------------------------------------------

dirs = ntop.getDirs()

function getInterfaceName(id)
  if tostring(id) == getSystemInterfaceId() then return getSystemInterfaceName() end
  return interface.getIfNames()[tostring(id)] or ""
end

function getInterfaceId(name)
  if name == getSystemInterfaceName() then return tonumber(getSystemInterfaceId()) end
  for id, known in pairs(interface.getIfNames()) do
    if known == name then return math.tointeger(tonumber(id)) end
  end
  return -1
end

function getSystemInterfaceId() return "-1" end
function getSystemInterfaceName() return "__system__" end

function getDeviceProtocolPoliciesUrl(params)
  return ntop.getHttpPrefix() .. "/lua/admin/edit_device_protocols.lua?" .. tostring(params or "")
end

function getFirstSeenDevicesHashKey(ifid)
  return "flowreeve.seen_devices.ifid_" .. tostring(ifid)
end

function areAlertsEnabled()
  return ntop.getPref("ntopng.prefs.disable_alerts_generation") ~= "1"
end

function areSystemTimeseriesEnabled() return false end
function hasHighResolutionTs() return false end
function isAdministrator() return ntop.isAdministrator() end
