//! The functions the sandbox has of its own against those of Lua.

use mlua::Value;
use proptest::prelude::*;

use crate::run;

/// Lua's own answer to `source`, or its error without the place.
fn luas_own(source: &str) -> Result<String, String> {
    let lua = mlua::Lua::new();
    let answer: Result<Value, _> = lua.load(source).set_name("@test.lua").eval();
    match answer {
        Ok(value) => Ok(value.to_string().unwrap()),
        Err(mlua::Error::RuntimeError(text)) => {
            Err(text.lines().next().unwrap_or_default().to_owned())
        }
        Err(error) => panic!("{error}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]

    /// `gsub` in all its forms, `gmatch`, `match` and `find` with a place to start.
    #[test]
    fn string_functions_answer_as_luas_own(
        subject in "[ab1 .]{0,10}",
        pattern in r"\^?([ab.]|%[adwsp1]|\(|\)|\(\)|\[ab\]|[a.]\*|[ab]-|b\+|%f\[%w\]){0,5}\$?",
        replacement in "([xy]|%[0-3%x]){0,3}",
        init in -12_i32..14,
        most in 0..4,
    ) {
        let source = format!(r##"
                local s, p, r, init, most = "{subject}", "{pattern}", "{replacement}", {init}, {most}
                local out = {{}}
                local function note(ok, ...)
                    out[#out + 1] = tostring(ok)
                    for i = 1, select("#", ...) do out[#out + 1] = tostring((select(i, ...))) end
                end
                local function guarded(f, ...)
                    local args = table.pack(...)
                    return pcall(function() return f(table.unpack(args, 1, args.n)) end)
                end
                note(guarded(string.gsub, s, p, r))
                note(guarded(string.gsub, s, p, r, most))
                note(guarded(string.gsub, s, p, {{ a = "A", b = false, ["1"] = 1 }}))
                note(guarded(string.gsub, s, p, function(...) return select("#", ...) > 1 and "many" or nil end, most))
                note(guarded(string.match, s, p, init))
                note(guarded(string.find, s, p, init))
                note(guarded(string.find, s, p, init, true))
                note(guarded(function()
                    local all = {{}}
                    for a, b in s:gmatch(p, init) do all[#all + 1] = tostring(a) .. tostring(b) end
                    return table.concat(all, ",")
                end))
                return (table.concat(out, "|"):gsub("test.lua:%d+: ", ""))
            "##);

        prop_assert_eq!(run(&source).map_err(|error| error.to_string()), luas_own(&source));
    }
}

#[test]
fn classes_work_as_in_lua() {
    let cases = [
        "local A = {} function A:new(o) o = o or {} setmetatable(o, self) self.__index = self return o end \
         function A:name() return 'a' .. self.x end local o = A:new { x = 1 } local B = A:new() \
         function B:name() return 'b' .. A.name(self) end function A:late() return 'late' end \
         return o:name() .. B:new({ x = 2 }):name() .. B:new({}):late()",
        "local A = { a = 1 } A.__index = A local B = setmetatable({ b = 2 }, A) B.__index = B \
         local o = setmetatable({}, B) B.c = 3 A.d = 4 \
         return o.a .. o.b .. o.c .. o.d .. tostring(getmetatable(o) == B) .. tostring(getmetatable(B) == A) .. tostring(getmetatable(A))",
        "local C = setmetatable({}, { __call = function(class, x) return setmetatable({ x = x }, class) end, __index = { kind = 'k' } }) \
         C.__index = C C.__tostring = function(o) return 'C' .. o.x end C.__add = function(a, b) return a.x + b.x end \
         return tostring(C(1)) .. C(2) + C(3) .. C(4).kind .. tostring(rawget(C, '__mode'))",
        "local M = {} local o = setmetatable({}, M) local seen = '' \
         setmetatable(M, { __newindex = function(t, k, v) seen = seen .. k rawset(t, k, v) end }) \
         M.__index = function(_, k) return k .. '!' end M.x = 1 setmetatable(M, nil) M.y = 2 \
         return seen .. o.z .. tostring(getmetatable(M)) .. M.y",
        "local o = setmetatable({}, { __metatable = 'locked' }) local ok, e = pcall(function() setmetatable(o, {}) end) \
         return getmetatable(o) .. (e:gsub('^test.lua:%d+: ', ''))",
        "local n = 0 for k in pairs(setmetatable({}, { __pairs = function() return next, { a = 1 }, nil end })) do n = n + #k end return n",
        "return #setmetatable({}, { __len = function() return 7 end }) .. tostring(setmetatable({}, { __eq = function() return true end }) == setmetatable({}, { __eq = function() return true end }))",
    ];
    for source in cases {
        assert_eq!(
            run(source).map_err(|error| error.to_string()),
            luas_own(source),
            "{source}"
        );
    }
}

#[test]
fn table_functions_answer_as_luas_own() {
    let cases = [
        "local t = { 1, 2, 3 } table.insert(t, 4) table.insert(t, 1, 0) table.insert(t, 6, 9) return table.concat(t, ',')",
        "local t = { 1, 2, 3 } return table.remove(t, 1) .. table.remove(t) .. #t",
        "return tostring(table.remove({})) .. tostring(table.remove({}, 0))",
        "return table.concat(table.move({ 1, 2, 3, 4 }, 2, 4, 1), ',')",
        "return table.concat(table.move({ 1, 2 }, 1, 2, 3, { 8, 9 }), ',')",
        "local t = { 'b', 'a', 'c' } table.sort(t, function(a, b) return a > b end) return table.concat(t)",
        "return select('#', table.unpack({ 1, nil, 3 }, 1, 3)) .. select('#', table.unpack({}))",
        "return table.concat({ 1, 2, 3 }, '-', 2) .. table.concat({ 1, 2, 3 }, '-', 3, 2) .. table.concat({})",
        "return table.pack(1, nil).n",
        "local t = setmetatable({}, { __index = function(_, i) return i * 2 end, __len = function() return 3 end }) return table.concat(t, ',') .. table.unpack(t)",
        "local _, e = pcall(function() table.insert({ 1 }, 5, 2) end) return (e:gsub('^test.lua:%d+: ', ''))",
        "local _, e = pcall(function() table.insert({ 1 }, 1, 2, 3) end) return (e:gsub('^test.lua:%d+: ', ''))",
        "local _, e = pcall(function() table.sort({ 1, 'a' }) end) return (e:gsub('^test.lua:%d+: ', ''))",
        "return ('x'):rep(3, ',') .. ('x'):rep(0) .. ('x'):rep(-1) .. string.rep(5, 2)",
        "return ('%5.1f|%s|%q|%d'):format(3.14159, nil, 'a\\n', 3.0) .. ('AbC'):lower() .. ('AbC'):upper() .. ('AbC'):reverse()",
        "return utf8.len('häß') .. utf8.codepoint('ä') .. utf8.offset('häß', 3) .. tostring(utf8.len('\\xff'))",
        "return string.pack('>I2s1', 258, 'ab') .. string.unpack('>I2', '\\1\\2')",
        "return math.type(1) .. math.type(1.0) .. tostring(math.type('1')) .. 7 // 2 .. 2^53 .. (1 << 62)",
        "goto done do return 'no' end ::done:: return 'goto'",
    ];
    for source in cases {
        assert_eq!(
            run(source).map_err(|error| error.to_string()),
            luas_own(source),
            "{source}"
        );
    }
}
