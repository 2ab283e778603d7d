//! Scripts that mean harm, and how each must end.

use flowreeve::script::sandbox::{CallError, Overrun};

/// How a hostile script must end.
#[derive(Clone, Copy, Debug)]
pub enum End {
    /// Stopped by the budget of instructions.
    Instructions,
    /// Stopped in the pattern matcher.
    PatternSteps,
    /// Stopped for nesting protected calls.
    Depth,
    /// Stopped by a limit, whichever comes first.
    Overrun,
    /// An ordinary error whose text has this in it.
    Error(&'static str),
    /// It runs, and returns this: the attack has no effect.
    Harmless(&'static str),
}

impl End {
    pub fn fits(self, ended: &Result<String, CallError>) -> bool {
        let overrun = |what| *ended == Err(CallError::Overrun { what });
        match self {
            End::Instructions => overrun(Overrun::Instructions),
            End::PatternSteps => overrun(Overrun::PatternSteps),
            End::Depth => overrun(Overrun::Depth),
            End::Overrun => matches!(ended, Err(CallError::Overrun { .. })),
            End::Error(part) => {
                matches!(ended, Err(CallError::Error(text)) if text.contains(part))
            }
            End::Harmless(result) => ended.as_deref() == Ok(result),
        }
    }
}

use End::{Depth, Error, Harmless, Instructions, PatternSteps};

/// Name, source, end.
pub fn scripts() -> Vec<(&'static str, String, End)> {
    let mut all: Vec<_> = SCRIPTS
        .iter()
        .map(|(name, source, end)| (*name, (*source).to_owned(), *end))
        .collect();
    let numbers = (0..40_000).map(|n| format!("{n}.5,")).collect::<String>();
    all.push((
        "huge constants",
        format!("return #{{{numbers}}}"),
        End::Overrun,
    ));
    all.push((
        "a megabyte of source",
        "x = 1\n".repeat(170_000),
        Error("longer than"),
    ));
    all.push((
        "half a megabyte of source",
        "x = 1\n".repeat(85_000),
        End::Overrun,
    ));
    let nested = "(".repeat(10_000) + "1" + &")".repeat(10_000);
    all.push((
        "deep nesting of source",
        format!("return {nested}"),
        Error("overflow"),
    ));
    all
}

const SCRIPTS: &[(&str, &str, End)] = &[
    // Endless loops.
    ("while loop", "while true do end", Instructions),
    ("repeat loop", "repeat until false", Instructions),
    ("numeric loop", "for i = 1, math.huge do end", Instructions),
    ("goto loop", "::again:: goto again", Instructions),
    (
        "tail calls",
        "local function f() return f() end return f()",
        Instructions,
    ),
    (
        "iterator without end",
        "for _ in function() return 1 end do end",
        Instructions,
    ),
    (
        "next on itself",
        "local t = { 1 } while true do next(t) end",
        Instructions,
    ),
    // Swallowing the error.
    (
        "pcall in a loop",
        "while true do pcall(function() while true do end end) end",
        Instructions,
    ),
    (
        "pcall of pcall",
        "while true do pcall(pcall, function() while true do end end) end",
        Instructions,
    ),
    (
        "recursive pcall",
        "local function f() pcall(f) pcall(f) end f()",
        Depth,
    ),
    (
        "deep pcall",
        "local function f() return pcall(f) end f() while true do end",
        Depth,
    ),
    (
        "xpcall whose handler loops",
        "while true do xpcall(error, function() while true do end end) end",
        Instructions,
    ),
    (
        "pcall and return",
        "pcall(function() while true do end end) return 'escaped'",
        Instructions,
    ),
    (
        "pcall of a pattern",
        "local s = ('a'):rep(200) while true do pcall(string.find, s, '.-.-.-.-b') end",
        PatternSteps,
    ),
    (
        "close handler loops",
        "while true do pcall(function() local x <close> = setmetatable({}, { __close = function() while true do end end }) end) end",
        Instructions,
    ),
    (
        "many close handlers",
        "local function f(n) local x <close> = setmetatable({}, { __close = function() pcall(f, n) while true do end end }) if n > 0 then f(n - 1) end error('x') end f(50)",
        End::Overrun,
    ),
    // Coroutines are not offered.
    (
        "coroutine with a loop",
        "coroutine.wrap(function() while true do end end)()",
        Error("coroutine"),
    ),
    (
        "coroutine by require",
        "require('coroutine').create(print)",
        Error("module 'coroutine' not found"),
    ),
    (
        "coroutine by package",
        "return tostring(package.loaded.coroutine)",
        Harmless("nil"),
    ),
    // Finalizers.
    (
        "gc finalizer",
        "setmetatable({}, { __gc = function() while true do end end })",
        Error("__gc"),
    ),
    (
        "gc finalizer that is no function",
        "setmetatable({}, { __gc = true })",
        Error("__gc"),
    ),
    (
        "gc finalizer added later",
        "local m = {} setmetatable({}, m) m.__gc = function() while true do end end",
        Error("test.lua:1: a metatable with '__gc' is not permitted"),
    ),
    (
        "gc finalizer added by rawset",
        "local m = {} setmetatable({}, m) rawset(m, '__gc', function() while true do end end)",
        Error("test.lua:1: a metatable with '__gc' is not permitted"),
    ),
    (
        "gc finalizer under a guard of its own",
        "local m, n = {}, {} setmetatable({}, m) setmetatable(m, n) n.__newindex = nil m.__gc = 1",
        Error("a metatable with '__gc' is not permitted"),
    ),
    (
        "gc finalizer by inheritance",
        "local m = setmetatable({}, { __index = { __gc = function() while true do end end } }) for i = 1, 3000 do setmetatable({}, m) end return 'no effect'",
        Harmless("no effect"),
    ),
    // Backtracking.
    (
        "pattern that backtracks",
        "return ('a'):rep(200):find('.-.-.-.-b')",
        PatternSteps,
    ),
    (
        "match that backtracks",
        "return ('a'):rep(250):match('a*a*a*a*a*b')",
        PatternSteps,
    ),
    (
        "gsub that backtracks",
        "return ('a'):rep(400):gsub('.-.-.-b', '')",
        PatternSteps,
    ),
    (
        "gsub by function that backtracks",
        "return ('a'):rep(400):gsub('.-.-.-b', print)",
        PatternSteps,
    ),
    (
        "gmatch that backtracks",
        "for _ in ('a'):rep(400):gmatch('.-.-.-b') do end",
        PatternSteps,
    ),
    (
        "balance over and over",
        "return ('('):rep(60000):find('%b()')",
        PatternSteps,
    ),
    (
        "back-references",
        "return ('a'):rep(20000):find('(.-)%1%1b')",
        PatternSteps,
    ),
    (
        "plain search that compares all",
        "local s = ('a'):rep(100000) return s:find(('a'):rep(50000) .. 'b', 1, true)",
        PatternSteps,
    ),
    (
        "pattern too deep",
        "return ('a'):rep(300):find(('a?'):rep(300) .. ('a'):rep(300))",
        Error("pattern too complex"),
    ),
    (
        "replacement that grows",
        "return ('a'):rep(60000):gsub('a', ('b'):rep(60000))",
        Error("resulting string too large"),
    ),
    // Memory.
    (
        "string.rep of a gigabyte",
        "return ('x'):rep(1e9)",
        Error("resulting string too large"),
    ),
    (
        "string.rep past the integers",
        "return ('xx'):rep(math.maxinteger)",
        Error("resulting string too large"),
    ),
    (
        "string.rep with a separator",
        "return (''):rep(1e9, 'x')",
        Error("resulting string too large"),
    ),
    (
        "string.rep in a loop",
        "while true do local s = ('x'):rep(400000) end",
        Instructions,
    ),
    (
        "doubling",
        "local s = 'x' while true do s = s .. s end",
        End::Overrun,
    ),
    (
        "doubling and catching",
        "while true do pcall(function() local s = 'x' while true do s = s .. s end end) end",
        End::Overrun,
    ),
    (
        "copying a long string",
        "local s = ('x'):rep(200000) while true do local t = s .. 'y' end",
        Instructions,
    ),
    (
        "a table that grows",
        "local t = {} while true do t[#t + 1] = {} end",
        End::Overrun,
    ),
    (
        "keeping garbage at the limit",
        "local keep = {} while true do pcall(function() while true do keep[#keep + 1] = {} end end) end",
        End::Overrun,
    ),
    (
        "table.concat bomb",
        "local t = {} for i = 1, 1000 do t[i] = ('x'):rep(1000) end return #table.concat(t, ('y'):rep(1000))",
        End::Overrun,
    ),
    (
        "table.concat of nothing",
        "return table.concat(setmetatable({}, { __len = function() return 1e9 // 1 | 0 end, __index = function() return '' end }))",
        Instructions,
    ),
    (
        "table.move of nothing",
        "table.move({}, 1, 1e9, 1, {})",
        Instructions,
    ),
    (
        "table.insert with a false length",
        "table.insert(setmetatable({}, { __len = function() return 1 << 40 end }), 1, 'x')",
        Instructions,
    ),
    (
        "table.remove with a false length",
        "table.remove(setmetatable({}, { __len = function() return 1 << 40 end }), 1)",
        Instructions,
    ),
    (
        "table.unpack of a million",
        "while true do local t = { table.unpack({}, 1, 999999) } end",
        Error("too many results"),
    ),
    (
        "table.unpack all over",
        "local t = table.pack(table.unpack({}, 1, 8000)) while true do select('#', table.unpack(t, 1, t.n)) end",
        Instructions,
    ),
    (
        "arguments by the thousand",
        "local function f(...) return f(1, ...) end f()",
        End::Overrun,
    ),
    (
        "string.byte of everything",
        "local s = ('x'):rep(500000) while true do local t = { s:byte(1, -1) } end",
        End::Overrun,
    ),
    // Sorting.
    (
        "sort with a lying comparator",
        "local t = {} for i = 1, 500 do t[i] = i % 7 end while true do pcall(table.sort, t, function() return true end) end",
        Instructions,
    ),
    (
        "sort with a random comparator",
        "local t = {} for i = 1, 1000 do t[i] = i end while true do pcall(table.sort, t, function() return math.random() < 0.5 end) end",
        Instructions,
    ),
    (
        "sort with a false length",
        "table.sort(setmetatable({}, { __len = function() return 1 << 30 end }))",
        Instructions,
    ),
    (
        "sort whose comparator sorts",
        "local t = { 3, 2, 1 } local function cmp(a, b) table.sort({ 2, 1 }, cmp) return a < b end local cmp2 cmp2 = function(a, b) table.sort({ 2, 1 }, cmp2) return a < b end table.sort(t, cmp2)",
        Error("overflow"),
    ),
    // Formats and utf8.
    (
        "string.format with a wide field",
        "return ('%999d'):format(1)",
        Error("invalid conversion"),
    ),
    (
        "string.format of a long string",
        "local s = ('x'):rep(300000) while true do local t = ('%s%s'):format(s, s) end",
        End::Overrun,
    ),
    (
        "string.format %q in a loop",
        "local s = ('\\0'):rep(50000) while true do local t = ('%q'):format(s) end",
        Instructions,
    ),
    (
        "string.pack padded",
        "return #string.pack('c1000000000', '')",
        End::Overrun,
    ),
    (
        "utf8.char of too much",
        "return utf8.char(0x7FFFFFFF + 1)",
        Error("value out of range"),
    ),
    (
        "utf8.codepoint of everything",
        "local s = ('x'):rep(500000) while true do local t = { utf8.codepoint(s, 1, -1) } end",
        End::Overrun,
    ),
    (
        "utf8.len in a loop",
        "local s = ('x'):rep(100000) while true do utf8.len(s) end",
        Instructions,
    ),
    // Recursion and metamethods.
    (
        "recursion without end",
        "local function f() return 1 + f() end return f()",
        End::Overrun,
    ),
    (
        "__index without end",
        "local t = {} setmetatable(t, { __index = function(t, k) return t[k] end }) return t.x",
        Error("overflow"),
    ),
    (
        "__index chain in a loop",
        "local t = {} setmetatable(t, { __index = t }) return t.x",
        Error("loop"),
    ),
    (
        "__tostring that loops",
        "return tostring(setmetatable({}, { __tostring = function() while true do end end }))",
        Instructions,
    ),
    (
        "__tostring of itself",
        "local t t = setmetatable({}, { __tostring = function() return tostring(t) end }) print(t)",
        Error("overflow"),
    ),
    (
        "error object whose __tostring loops",
        "error(setmetatable({}, { __tostring = function() while true do end end }))",
        Instructions,
    ),
    (
        "error object whose __tostring raises",
        "error(setmetatable({}, { __tostring = function() error({}) end }))",
        Error(""),
    ),
    (
        "__concat without end",
        "local m = {} m.__concat = function(a, b) return a .. b end return setmetatable({}, m) .. 'x'",
        Error("overflow"),
    ),
    (
        "__eq that loops",
        "local m = { __eq = function() while true do end end } return setmetatable({}, m) == setmetatable({}, m)",
        Instructions,
    ),
    (
        "__pairs that never ends",
        "for _ in pairs(setmetatable({}, { __pairs = function() return function() return 1 end end })) do end",
        Instructions,
    ),
    (
        "require in a circle",
        "local function f() return require(setmetatable({}, {})) end return f()",
        Error("string expected"),
    ),
    // Weak tables that take long to collect.
    (
        "weak keys",
        "local k, m = {}, { __mode = 'k' } local t = setmetatable({ [k] = {} }, m) k = nil return tostring(m.__mode)",
        Harmless("nil"),
    ),
    (
        "weak keys set later",
        "local m = {} local t = setmetatable({}, m) m.__mode = 'k' rawset(m, '__mode', 'k') return tostring(m.__mode)",
        Harmless("nil"),
    ),
    (
        "weak keys past the guard",
        "local m, n = {}, {} setmetatable({}, m) setmetatable(m, n) n.__newindex = nil m.__mode = 'k' return tostring(m.__mode)",
        Harmless("nil"),
    ),
    (
        "chain of weak keys",
        "local mode, key, hold = { __mode = 'k' }, {}, {} for i = 1, 1500 do local k = {} hold[i] = setmetatable({ [k] = key }, mode) key = k end while true do local t = {} end",
        Instructions,
    ),
    (
        "load of bytes",
        "return load('\\27Lua', 'x', 'b')()",
        Error("attempt to call a nil value"),
    ),
    (
        "load of text",
        "return load('while true do end')()",
        Error("attempt to call a nil value"),
    ),
    (
        "corrupt bytecode",
        "\u{1b}LuaS\0\u{19}\r\n\u{1a}\n",
        Error("binary chunk"),
    ),
    (
        "string.dump",
        "return string.dump(function() end)",
        Error("dump"),
    ),
    ("dofile", "dofile('/etc/passwd')", Error("not permitted")),
    (
        "loadfile",
        "return tostring(loadfile('/etc/passwd'))",
        Harmless("nil"),
    ),
    // Reaching out.
    (
        "os.execute",
        "return select(2, os.execute('reboot'))",
        Harmless("os.execute is not permitted to scripts"),
    ),
    (
        "io.open",
        "return select(2, io.open('/etc/shadow'))",
        Harmless("io.open is not permitted to scripts"),
    ),
    (
        "io.popen",
        "return select(2, io.popen('reboot'))",
        Harmless("io.popen is not permitted to scripts"),
    ),
    ("os.exit", "os.exit(1) return 'alive'", Harmless("alive")),
    (
        "os.getenv",
        "return tostring(os.getenv('PATH'))",
        Harmless("nil"),
    ),
    (
        "package.loadlib",
        "return package.loadlib('libc.so', '*')",
        Error("loadlib"),
    ),
    (
        "debug.getupvalue",
        "return debug.getupvalue(print, 1)",
        Error("getupvalue"),
    ),
    (
        "debug.getregistry",
        "return debug.getregistry()",
        Error("getregistry"),
    ),
    (
        "debug.sethook",
        "debug.sethook() while true do end",
        Error("sethook"),
    ),
    (
        "getinfo without its function",
        "return tostring(debug.getinfo(1, 'f').func)",
        Harmless("nil"),
    ),
    (
        "printing without end",
        "while true do print(('x'):rep(1000)) end",
        Instructions,
    ),
    // Changing what others see.
    (
        "string metatable",
        "getmetatable('').__index = nil",
        Error("attempt to index a boolean value"),
    ),
    (
        "string metatable replaced",
        "setmetatable('', {})",
        Error("table expected"),
    ),
    (
        "string functions",
        "for name in pairs(string) do string[name] = nil end string.rep = error return 'done'",
        Harmless("done"),
    ),
    (
        "base functions",
        "local g = _G for name in pairs(g) do g[name] = error end return 1",
        Harmless("1"),
    ),
    (
        "globals as nil",
        "pairs, next, pcall, setmetatable, table, string, _G = nil return 'done'",
        Harmless("done"),
    ),
    (
        "rawset on globals",
        "rawset(_G, 'print', error) rawset(table, 'sort', error) rawset(string, 'match', error) return 'done'",
        Harmless("done"),
    ),
    (
        "metatable of globals",
        "setmetatable(_G, { __index = error })",
        Error("protected metatable"),
    ),
    (
        "metatable of a library",
        "setmetatable(string, { __index = error })",
        Error("protected metatable"),
    ),
    (
        "package.loaded",
        "local all = package.loaded for name, lib in pairs(all) do if name ~= '_G' then for key in pairs(lib) do lib[key] = error end end all[name] = nil end return 'done'",
        Harmless("done"),
    ),
    (
        "libraries by require",
        "require('string').match = error require('table').concat = error require('_G').type = error return 'done'",
        Harmless("done"),
    ),
    (
        "seed of the random numbers",
        "math.randomseed(os.time()) return 'done'",
        Harmless("done"),
    ),
];
