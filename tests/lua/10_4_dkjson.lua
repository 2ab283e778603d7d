local json = require("dkjson")
eq(json.encode({}), "[]")
eq(json.encode({ 1, "a", true }), '[1,"a",true]')
eq(json.encode({ b = 1, a = { c = 2.5 } }), '{"a":{"c":2.5},"b":1}')
eq(json.encode("x\n\"y\""), '"x\\n\\"y\\""')
eq(json.encode(nil), "null")
eq(json.encode({ a = json.null }), '{"a":null}')
fails(function() json.encode({ print }) end, "type 'function' is not supported by JSON")
local cycle = {}
cycle[1] = cycle
fails(function() json.encode(cycle) end, "reference cycle")

local value, position = json.decode('{"items":["59",1,2.0,null],"x":{}} rest')
eq(value, { items = { "59", 1, 2.0 }, x = {} })
eq(position, 35)
eq({ json.decode("  true") }, { true, 7 })
eq({ json.decode("xx 5", 4) }, { 5, 5 })
eq(json.decode("[null]", 1, "none"), { "none" })
eq(json.decode('[null]', 1, json.null)[1], json.null)

-- Errors are values: nil, position, message.
local nothing, at, message = json.decode('{"a":x}')
eq(nothing, nil)
eq(at, 6)
eq(type(message), "string")
for _, bad in ipairs({ "", "{", "[1,]", "nul", '"\\x"' }) do
  local none, where, why = json.decode(bad)
  eq({ none == nil, math.type(where), type(why) }, { true, "integer", "string" })
end
eq(select("#", json.decode(nil)), 3)
eq(json.decode(nil), nil)
eq(json.decode(("["):rep(100000)), nil)

-- Keys come back as text, as everywhere in a script's configuration.
eq(json.decode(json.encode({ [100] = "a" })), { ["100"] = "a" })
