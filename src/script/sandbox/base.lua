-- What scripts find without `require`, and the environment each script runs in.
-- Called once by sandbox.rs with: the functions Lua came with, the functions of our own in Rust, and
-- the table of globals, still empty. What is not named here does not exist for a script.
local lua, host, G = ...

local error, pairs, next, select, type = lua.error, lua.pairs, lua.next, lua.select, lua.type
local getmetatable, setmetatable = lua.getmetatable, lua.setmetatable
local rawget, rawset, rawlen = lua.rawget, lua.rawset, lua.rawlen
local tonumber, tostring, pcall = lua.tonumber, lua.tostring, lua.pcall
local format, concat, pack, unpack = lua.string.format, lua.table.concat, lua.table.pack, lua.table.unpack
local log, max, math_type = lua.math.log, lua.math.max, lua.math.type
local charge, enter, leave, plain = host.charge, host.enter, host.leave, host.plain

-- Most values one call may return at once; Lua itself allows a million, each copied by every `...`.
local MAX_VALUES <const> = 8192
-- Work below this many units is not charged: the hook counts enough.
local FREE_UNITS <const> = 64

-- Raises what Lua raises for a wrong argument, at the line of the script that called our caller.
local function bad_argument(index, name, wanted, value)
  error(format("bad argument #%d to '%s' (%s expected, got %s)", index, name, wanted, type(value)), 3)
end

-- Bytes a function reads one by one that cost as much as one instruction.
local BYTES_PER_UNIT <const> = 4

local function charge_work(units)
  if units > FREE_UNITS then charge(units) end
end

-- Charges a loop from `first` to `last` inside a C function. Floats, so that nothing wraps around.
local function charge_span(first, last)
  first, last = tonumber(first), tonumber(last)
  if first and last then charge_work(last + 0.0 - first) end
end

for _, name in pairs { "assert", "error", "ipairs", "next", "pairs", "rawequal",
                       "rawget", "rawlen", "select", "tonumber", "tostring", "type", "_VERSION" } do
  G[name] = lua[name]
end
G._G = G

local function library(from, names)
  local made = {}
  for _, name in pairs(names) do made[name] = from[name] end
  return made
end

-- Errors --------------------------------------------------------------------------------------------

local function settle(ok, ...)
  leave() -- raises again once the budget is spent: a script cannot live on by catching that error
  if ok then return true, ... end
  return false, plain((...))
end

function G.pcall(f, ...)
  enter()
  return settle(pcall(f, ...))
end

-- Unlike Lua's, the handler runs after the stack is unwound: its traceback shows the caller.
function G.xpcall(f, handler, ...)
  enter()
  local result = pack(settle(pcall(f, ...)))
  if result[1] then return unpack(result, 1, result.n) end
  enter()
  return false, select(2, settle(pcall(handler, result[2])))
end

-- Metatables ----------------------------------------------------------------------------------------

-- Lua runs finalizers (`__gc`) with hooks off, and it takes time by the square to collect tables with weak
-- keys (`__mode`): neither could be stopped. So no table in use as a metatable may hold these two: `__gc` is an
-- error, `__mode` is dropped and the table stays strong. A table that becomes a metatable gets a guard as
-- its own metatable, which sees new keys and otherwise does what the metatable it had does.
local guards = setmetatable({}, { __mode = "k" }) -- metatable in use -> its guard, which refers to it anyway
local HIDDEN <const> = {} -- what the guard of a table shows that had no metatable

local function refuse_gc(level)
  error("a metatable with '__gc' is not permitted", level)
end

local function guarded_set(t, key, value)
  if key == "__gc" then refuse_gc(3) end
  if key ~= "__mode" then rawset(t, key, value) end
end

local function fill_guard(guard, metatable)
  for key in next, guard do guard[key] = nil end
  guard.__newindex = guarded_set
  guard.__metatable = HIDDEN
  if metatable then
    guard.__metatable = metatable
    for key, value in next, metatable do
      if key ~= "__mode" and key ~= "__gc" then guard[key] = value end
    end
  end
end

local function guard_metatable(metatable)
  local guard, own = {}, getmetatable(metatable)
  if own ~= nil and (type(own) ~= "table" or rawget(own, "__metatable") ~= nil) then
    error("cannot change a protected metatable", 3)
  end
  fill_guard(guard, own)
  setmetatable(metatable, guard)
  rawset(metatable, "__mode", nil)
  guards[metatable] = guard
end

function G.setmetatable(t, metatable)
  if type(t) == "table" and type(metatable) == "table" then
    if rawget(metatable, "__gc") ~= nil then refuse_gc(2) end
    if not guards[metatable] then guard_metatable(metatable) end
  end
  local guard = guards[t]
  if not guard then return setmetatable(t, metatable) end
  if metatable ~= nil and type(metatable) ~= "table" then
    bad_argument(2, "setmetatable", "nil or table", metatable)
  end
  if metatable and rawget(guard.__metatable, "__metatable") ~= nil then
    error("cannot change a protected metatable", 2)
  end
  fill_guard(guard, metatable)
  return t
end

function G.getmetatable(value)
  local metatable = getmetatable(value)
  if metatable == HIDDEN then return nil end
  return metatable
end

function G.rawset(t, key, value)
  if key == "__gc" then refuse_gc(2) end
  if key == "__mode" then return t end
  return rawset(t, key, value)
end

function G.collectgarbage(what)
  return what == "count" and host.used_memory() / 1024 or 0
end

local function refuse(name)
  local text = name .. " is not permitted to scripts"
  return function() return nil, text end
end

G.load, G.loadfile = refuse "load", refuse "loadfile"
function G.dofile() error("dofile is not permitted to scripts", 2) end

-- string --------------------------------------------------------------------------------------------

-- For functions that read all of a text: what is long costs more than the one instruction of the call.
local function charge_text(text)
  if type(text) == "string" and #text > FREE_UNITS * BYTES_PER_UNIT then charge(#text / BYTES_PER_UNIT) end
end

-- The same for functions that make a text.
local function charge_made(text)
  charge_text(text)
  return text
end

local string = library(lua.string, { "byte", "char", "len", "packsize", "sub" })

-- A pattern that repeats nothing costs Lua's own matcher no more than the length of the text times its own:
-- that is charged here, and spares the way to the counted matcher and back.
local STRAIGHT_STEPS <const> = 65536
local MAX_KNOWN <const> = 256
local lua_find, lua_match = lua.string.find, lua.string.match
local straight, known = {}, 0

-- Whether a pattern is well-formed and without quantifiers, %b, %f and back-references.
local function is_straight(pattern)
  local byte, at, open, captures = lua.string.byte, 1, 0, 0
  local function item(char) -- after `%`
    return char ~= nil and char ~= 98 and char ~= 102 and not (char >= 48 and char <= 57)
  end
  while at <= #pattern do
    local char = byte(pattern, at)
    if char == 37 then -- %
      if not item(byte(pattern, at + 1)) then return false end
      at = at + 1
    elseif char == 42 or char == 43 or char == 45 or char == 63 then -- * + - ?
      return false
    elseif char == 40 then -- (
      open, captures = open + 1, captures + 1
      if captures > 30 then return false end
    elseif char == 41 then -- )
      open = open - 1
      if open < 0 then return false end
    elseif char == 91 then -- [
      at = at + 1
      if byte(pattern, at) == 94 then at = at + 1 end
      local first = at
      while byte(pattern, at) ~= 93 or at == first do
        local inner = byte(pattern, at)
        if inner == nil or (inner == 37 and not item(byte(pattern, at + 1))) then return false end
        at = at + (inner == 37 and 2 or 1)
      end
    end
    at = at + 1
  end
  return open == 0
end

local function judge(pattern)
  if type(pattern) ~= "string" or #pattern > 64 then return false end
  if known >= MAX_KNOWN then straight, known = {}, 0 end
  known = known + 1
  straight[pattern] = is_straight(pattern)
  return straight[pattern]
end

local function runs_straight(s, pattern)
  local is = straight[pattern]
  if is == nil then is = judge(pattern) end
  if not is then return false end
  local steps = #s * #pattern
  if steps > STRAIGHT_STEPS then return false end
  charge_work(steps / BYTES_PER_UNIT)
  return true
end

-- Keeps the call before it from being a tail call: errors name the line of whoever called us.
local function all(...) return ... end

function string.match(s, pattern, init)
  if init == nil and type(s) == "string" and runs_straight(s, pattern) then return lua_match(s, pattern) end
  return all(host.match(s, pattern, init))
end

function string.find(s, pattern, init, plain)
  if init == nil and plain == nil and type(s) == "string" and runs_straight(s, pattern) then
    return lua_find(s, pattern)
  end
  return all(host.find(s, pattern, init, plain))
end

function string.lower(s) charge_text(s) return lua.string.lower(s) end
function string.upper(s) charge_text(s) return lua.string.upper(s) end
function string.reverse(s) charge_text(s) return lua.string.reverse(s) end
function string.format(...) return charge_made(format(...)) end
function string.pack(...) return charge_made(lua.string.pack(...)) end
function string.unpack(layout, s, from) charge_text(layout) return lua.string.unpack(layout, s, from) end

local function text_argument(value, index, name)
  local kind = type(value)
  if kind == "string" then return value end
  if kind ~= "number" then
    error(format("bad argument #%d to '%s' (string expected, got %s)", index, name, kind), 3)
  end
  return tostring(value)
end

function string.rep(s, n, sep)
  local text = text_argument(s, 1, "rep")
  local times = tonumber(n)
  if times and times > 0 then
    local bytes = (#text + #tostring(sep or "")) * (times + 0.0)
    if bytes > host.memory_limit then error("resulting string too large", 2) end
    charge_work(bytes / 16)
  end
  return (lua.string.rep(text, n, sep))
end

local search = host.search

function string.gmatch(s, pattern, init)
  s, pattern = text_argument(s, 1, "gmatch"), text_argument(pattern, 2, "gmatch")
  local from, last = tonumber(init) or 1, nil
  from = from > 0 and from - 1 or from < 0 and max(#s + from, 0) or 0
  local function take(start, stop, ...)
    if not start then return nil end
    from, last = stop, stop
    return ...
  end
  return function() return take(search(s, pattern, from, last)) end
end

-- The replacement by table or function; by text it is done in Rust in one go.
local function gsub_values(s, pattern, replacement, most)
  local anchored = #pattern > 0 and lua.string.byte(pattern) == 94
  if anchored then pattern = lua.string.sub(pattern, 2) end
  local by_function = type(replacement) == "function"
  local out, size, from, last, count = {}, 0, 0, nil, 0
  local function take(start, stop, whole, ...)
    if not start then return false end
    local value
    if by_function then value = replacement(...) else value = replacement[(...)] end
    if not value then
      value = whole
    elseif type(value) ~= "string" and type(value) ~= "number" then
      error(format("invalid replacement value (a %s)", type(value)), 3)
    end
    out[size + 1], out[size + 2] = lua.string.sub(s, from + 1, start), value
    size, from, last, count = size + 2, stop, stop, count + 1
    return true
  end
  -- Of a table only the first capture is asked for, so that is all that must be closed.
  local captures = by_function and -1 or 1
  while count < most and take(search(s, pattern, from, last, captures, anchored)) and not anchored do end
  if count == 0 then return s, 0 end
  out[size + 1] = lua.string.sub(s, from + 1)
  return concat(out), count
end

function string.gsub(s, pattern, replacement, most)
  local kind = type(replacement)
  if kind == "string" or kind == "number" then return host.gsub(s, pattern, replacement, most) end
  s, pattern = text_argument(s, 1, "gsub"), text_argument(pattern, 2, "gsub")
  if kind ~= "table" and kind ~= "function" then
    bad_argument(3, "gsub", "string/function/table", replacement)
  end
  if most ~= nil and not tonumber(most) then bad_argument(4, "gsub", "number", most) end
  return gsub_values(s, pattern, replacement, tonumber(most) or #s + 1)
end

G.string = string
getmetatable("").__index = string
getmetatable("").__metatable = false

-- table ---------------------------------------------------------------------------------------------

local table = library(lua.table, { "pack" })

-- Length as the table library takes it, `__len` included.
local function length(t, name)
  if type(t) ~= "table" then
    error(format("bad argument #1 to '%s' (table expected, got %s)", name, type(t)), 3)
  end
  local n = #t
  if math_type(n) ~= "integer" then error("object length is not an integer", 3) end
  return n
end

local insert = lua.table.insert

function table.insert(t, ...)
  local given = select("#", ...)
  if given == 2 then charge_span((...), length(t, "insert")) end
  return insert(t, ...)
end

function table.remove(t, place)
  local n = length(t, "remove")
  if place ~= nil then charge_span(place, n) end
  return (lua.table.remove(t, place))
end

function table.concat(t, sep, first, last)
  local n = length(t, "concat")
  charge_span(first or 1, last or n)
  return (concat(t, sep, first, last))
end

function table.move(from, first, last, place, to)
  if type(from) ~= "table" then bad_argument(1, "move", "table", from) end
  charge_span(first, last)
  return (lua.table.move(from, first, last, place, to))
end

function table.sort(t, before)
  local n = length(t, "sort")
  if n > 1 then charge_work(4 * n * log(n, 2)) end
  lua.table.sort(t, before)
end

function table.unpack(t, first, last)
  if type(t) ~= "table" then bad_argument(1, "unpack", "table", t) end
  local from, to = first or 1, last or #t
  local a, b = tonumber(from), tonumber(to)
  if a and b and b + 0.0 - a >= MAX_VALUES then error("too many results to unpack", 2) end
  charge_span(from, to)
  return unpack(t, from, to)
end

G.table = table

-- math, utf8 ----------------------------------------------------------------------------------------

G.math = library(lua.math, { "abs", "acos", "asin", "atan", "ceil", "cos", "deg", "exp", "floor", "fmod",
                             "huge", "log", "max", "maxinteger", "min", "mininteger", "modf", "pi", "rad",
                             "random", "sin", "sqrt", "tan", "tointeger", "type", "ult" })
-- The same numbers in every run, so that a replay repeats what happened.
lua.math.randomseed(1)
function G.math.randomseed(...)
  if select("#", ...) == 0 then return lua.math.randomseed(1) end
  return lua.math.randomseed(...)
end

G.utf8 = library(lua.utf8, { "char", "charpattern", "codes" })
function G.utf8.codepoint(s, ...) charge_text(s) return lua.utf8.codepoint(s, ...) end
function G.utf8.len(s, ...) charge_text(s) return lua.utf8.len(s, ...) end
function G.utf8.offset(s, ...) charge_text(s) return lua.utf8.offset(s, ...) end

-- print, io, os, debug ------------------------------------------------------------------------------

local stdout = host.stdout

function G.print(...)
  local values = pack(...)
  for i = 1, values.n do values[i] = tostring(values[i]) end
  stdout:write(concat(values, "\t", 1, values.n) .. "\n")
end

G.io = {
  stdout = stdout, stderr = stdout,
  open = refuse "io.open", popen = refuse "io.popen", lines = refuse "io.lines", read = refuse "io.read",
  close = refuse "io.close", input = refuse "io.input", tmpfile = refuse "io.tmpfile",
}
function G.io.write(...) return stdout:write(...) end
function G.io.output() return stdout end
function G.io.type(value) return lua.rawequal(value, stdout) and "file" or nil end

G.os = {
  difftime = lua.os.difftime,
  execute = refuse "os.execute", remove = refuse "os.remove", rename = refuse "os.rename",
  tmpname = refuse "os.tmpname", exit = refuse "os.exit", setlocale = refuse "os.setlocale",
}
lua.os.date("%c", 0) -- reads the time zone now, not while a packet waits
function G.os.getenv() return nil end
function G.os.clock() return 0.0 end
function G.os.time(parts)
  if parts == nil then return host.now() end
  return (lua.os.time(parts))
end
function G.os.date(wanted, at) return (lua.os.date(wanted or "%c", at or host.now())) end

G.debug = { traceback = host.traceback, getinfo = host.getinfo }

-- Modules -------------------------------------------------------------------------------------------

local loaded = { _G = G, string = string, table = table, math = G.math, utf8 = G.utf8, io = G.io,
                 os = G.os, debug = G.debug }
G.package = { path = "./?.lua", cpath = "", config = "/\n;\n?\n!\n-\n", loaded = loaded, preload = {} }
loaded.package = G.package

local function find_module(name)
  if type(name) ~= "string" then
    error(format("bad argument #1 to 'require' (string expected, got %s)", type(name)), 3)
  end
  local value = loaded[name]
  if value ~= nil then return value end
  local known, made, chunk = host.module(name)
  if not known then
    error(format("module '%s' not found:\n\tno field package.preload['%s']\n\tno such module here", name, name), 3)
  end
  if chunk then made = chunk(name) end
  if loaded[name] == nil then loaded[name] = made == nil and true or made end
  return loaded[name]
end

function G.require(name) return (find_module(name)) end

-- Environments --------------------------------------------------------------------------------------

-- Globals that scripts made: shared among them, as ntopng's scripts expect.
local strays = {}

-- A script sees the tables above, and those of modules, through views of its own: what it writes stays
-- in its view, so it cannot change what others see. Tables with a metatable are objects and are shared.
local function new_env()
  local views = {}
  local view

  local function seen(value)
    if type(value) == "table" and getmetatable(value) == nil then return view(value) end
    return value
  end

  function view(base)
    if views[base] then return views[base] end
    local own = setmetatable({}, {
      __metatable = false,
      __index = function(own, key)
        local value = base[key]
        local kind = type(value)
        if kind == "table" then value = seen(value) end
        if kind == "table" or kind == "function" then rawset(own, key, value) end
        return value
      end,
      __pairs = function(own)
        local all = {}
        for key in next, base do all[key] = own[key] end
        for key, value in next, own do all[key] = value end
        return next, all, nil
      end,
      __len = function(own) return max(rawlen(own), #base) end,
    })
    views[base] = own
    return own
  end

  local env = setmetatable({}, {
    __metatable = false,
    __index = function(own, key)
      local value = G[key]
      if value == nil then return strays[key] end
      local kind = type(value)
      if kind == "table" then value = seen(value) end
      if kind == "table" or kind == "function" then rawset(own, key, value) end
      return value
    end,
    __newindex = function(own, key, value)
      if G[key] == nil then strays[key] = value else rawset(own, key, value) end
    end,
    __pairs = function(own)
      local all = {}
      for key, value in next, strays do all[key] = value end
      for key in next, G do all[key] = own[key] end
      for key, value in next, own do all[key] = value end
      return next, all, nil
    end,
  })
  views[G] = env
  env._G = env
  function env.require(name) return seen((find_module(name))) end
  return env
end

return new_env
