//! The sandbox against the scripts it is there for: hostile ones end, and end alone; real ones run.

#![allow(clippy::unwrap_used)]

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use flowreeve::script::sandbox::{CallError, Limits, ModuleSource, Overrun, Sandbox};
use mlua::{Function, Value};

#[path = "sandbox/alike.rs"]
mod alike;
#[path = "sandbox/hostile.rs"]
mod hostile;

const LIMITS: Limits = Limits {
    instructions: 200_000,
    memory_bytes: 1 << 20,
    wall: None,
    pcall_depth: 32,
    output_bytes: 4096,
    error_bytes: 500,
    source_bytes: 512 << 10,
};

/// A sandbox and what was printed in it.
fn sandbox(limits: Limits) -> (Sandbox, Rc<RefCell<Vec<u8>>>) {
    let printed = Rc::new(RefCell::new(Vec::new()));
    let sink = Rc::clone(&printed);
    let output = Rc::new(move |bytes: &[u8]| sink.borrow_mut().extend_from_slice(bytes));
    let sandbox = Sandbox::new(limits, output).unwrap();
    sandbox.seal().unwrap();
    (sandbox, printed)
}

fn load(sandbox: &Sandbox, source: &str) -> Result<Function, CallError> {
    sandbox.load(source.as_bytes(), "@test.lua", &sandbox.script_env()?)
}

/// Runs `source` as a script of its own and gives what it returns, as text.
fn run_in(sandbox: &Sandbox, source: &str) -> Result<String, CallError> {
    let chunk = load(sandbox, source)?;
    let value: Value = sandbox.call(&chunk, ())?;
    Ok(value.to_string().unwrap())
}

fn run(source: &str) -> Result<String, CallError> {
    run_in(&sandbox(LIMITS).0, source)
}

/// A script that uses what hostile ones would like to break, and reports on it.
const WITNESS: &str = r##"
    local keep = {}
    return function()
        local t = { 5, 3, 9, 1 }
        table.sort(t)
        table.insert(t, 1, 0)
        keep[#keep % 8 + 1] = #keep
        local host, port = ("example.org:8443"):match("^([%w.]+):(%d+)$")
        local out = {}
        for word in string.gmatch("one two three", "%a+") do out[#out + 1] = word:upper() end
        local ok, err = pcall(error, "x", 0)
        local object = setmetatable({}, { __index = { kind = "object" } })
        return table.concat({ table.concat(t, ","), host, math.tointeger(tonumber(port)), table.concat(out, "+"),
            tostring(ok), err, object.kind, string.format("%05d", 42), ("x"):rep(3), select("#", 1, 2, 3),
            (("a.b"):gsub("%.", "/")), type(print), tostring(_VERSION), tostring(next({})), math.max(1, 2),
            utf8.char(228), os.date("!%Y", 0), tostring(rawequal(t, t)), tostring(getmetatable("")) }, "|")
    end
"##;

fn witness(sandbox: &Sandbox) -> impl Fn() -> String + '_ {
    let chunk = load(sandbox, WITNESS).unwrap();
    let script: Function = sandbox.call(&chunk, ()).unwrap();
    move || sandbox.call(&script, ()).unwrap()
}

#[test]
fn every_hostile_script_ends_and_leaves_the_others_as_they_were() {
    let (sandbox, _) = sandbox(LIMITS);
    let witness = witness(&sandbox);
    let before = witness();
    let mut wrong = Vec::new();

    for (name, source, expected) in hostile::scripts() {
        let began = std::time::Instant::now();
        let ended = run_in(&sandbox, &source);
        println!(
            "{:>9.3} ms {name}: {ended:?}",
            began.elapsed().as_secs_f64() * 1e3
        );
        if !expected.fits(&ended) {
            wrong.push(format!("{name}: {ended:?}, not {expected:?}"));
        }
        if witness() != before {
            wrong.push(format!("{name}: changed the witness to {}", witness()));
        }
    }

    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn hostile_scripts_number_sixty_at_least_and_no_two_are_alike() {
    let mut sources: Vec<_> = hostile::scripts()
        .into_iter()
        .map(|(_, source, _)| source)
        .collect();
    let count = sources.len();

    sources.sort();
    sources.dedup();

    assert!(
        count >= 60 && sources.len() == count,
        "{count} scripts, {} of them different",
        sources.len()
    );
}

#[test]
fn a_write_to_everything_reachable_changes_nothing_for_another_script() {
    let (sandbox, _) = sandbox(LIMITS);
    sandbox.allow_instructions(10_000_000);
    let consts =
        "return { max = 5, nested = { deeper = { value = 1 } }, f = function() return 'f' end }";
    sandbox.register_module("consts", text(consts));
    let witness = witness(&sandbox);
    let reads_module =
        "local c = require 'consts' return c.max .. c.nested.deeper.value .. c.f() .. #c.nested";
    let before = (
        witness(),
        run_in(&sandbox, reads_module).unwrap(),
        globals_of(&sandbox),
    );

    let vandal = r##"
        local pairs, type, rawset, pcall, next = pairs, type, rawset, pcall, next
        local consts, seen, written = require "consts", {}, 0
        local function wreck(t)
            if seen[t] then return end
            seen[t] = true
            local keys = {}
            for key, value in pairs(t) do
                keys[#keys + 1] = key
                if type(value) == "table" then wreck(value) end
            end
            for _, key in next, keys do
                t[key] = "wrecked"
                rawset(t, key, false)
                written = written + 2
            end
            t.one_more = "wrecked"
            t[1] = "wrecked"
        end
        wreck(consts)
        wreck(_G)
        return written
    "##;
    let written: usize = run_in(&sandbox, vandal).unwrap().parse().unwrap();
    let after = (witness(), run_in(&sandbox, reads_module).unwrap());

    assert!(written > 200, "only {written} writes");
    assert_eq!(after, (before.0, before.1));
    // Stray globals are shared by contract; nothing else may have changed.
    let strays = ["string 1", "string one_more"];
    let after: Vec<_> = globals_of(&sandbox)
        .into_iter()
        .filter(|name| !strays.contains(&&**name))
        .collect();
    assert_eq!(after, before.2);
}

/// Every name a script can reach, with its type, sorted; one a line.
fn globals_of(sandbox: &Sandbox) -> Vec<String> {
    let walk = r##"
        local seen, out = { [_G] = true }, {}
        local function sorted(t)
            local keys = {}
            for key in pairs(t) do keys[#keys + 1] = key end
            table.sort(keys, function(a, b) return tostring(a) < tostring(b) end)
            return ipairs(keys)
        end
        local function walk(t, path)
            for _, key in sorted(t) do
                local value = t[key]
                local name = path .. (type(key) == "string" and key or tostring(key))
                out[#out + 1] = type(value) .. " " .. name
                if type(value) == "table" and not seen[value] then
                    seen[value] = true
                    walk(value, name .. ".")
                end
            end
        end
        -- Names of libraries first, so that a table reached twice has its shortest name.
        local libraries = {}
        for _, key in sorted(_G) do
            local value = _G[key]
            out[#out + 1] = type(value) .. " " .. key
            if type(value) == "table" and not seen[value] then
                seen[value] = true
                libraries[key] = value
            end
        end
        for _, key in sorted(libraries) do walk(libraries[key], key .. ".") end
        table.sort(out)
        return table.concat(out, "\n")
    "##;
    run_in(sandbox, walk)
        .unwrap()
        .lines()
        .map(str::to_owned)
        .collect()
}

#[test]
fn scripts_reach_the_golden_list_of_names_and_nothing_else() {
    let (sandbox, _) = sandbox(LIMITS);
    sandbox.allow_instructions(10_000_000);

    let reached = globals_of(&sandbox).join("\n") + "\n";

    assert_eq!(
        reached,
        include_str!("lua/globals.txt"),
        "tests/lua/globals.txt holds another list"
    );
}

#[test]
fn a_hundred_thousand_calls_under_one_mebibyte_leave_the_memory_flat() {
    let (sandbox, _) = sandbox(LIMITS);
    let script = r##"
        local seen = {}
        return function(n)
            local host = ("host-%d.example.org"):format(n)
            local name = host:match("^(%w+%-%d+)%.")
            local _, err = pcall(string.find, nil)
            seen[n % 64] = { name = name, err = err }
            return #name
        end
    "##;
    let chunk = load(&sandbox, script).unwrap();
    let hook: Function = sandbox.call(&chunk, ()).unwrap();
    let mut used = Vec::new();

    for n in 0..100_000 {
        let length: usize = sandbox.call(&hook, n).unwrap();
        assert_eq!(length, 5 + n.to_string().len());
        if n % 10_000 == 9_999 {
            sandbox.lua().gc_collect().unwrap(); // finds what has a destructor
            sandbox.lua().gc_collect().unwrap(); // and frees it
            used.push(sandbox.used_memory());
        }
    }

    assert!(
        used.iter().all(|now| now.abs_diff(used[0]) < 4096),
        "{used:?}"
    );
}

#[test]
fn the_state_works_on_after_the_memory_was_full() {
    let (sandbox, _) = sandbox(LIMITS);
    let witness = witness(&sandbox);
    let before = (witness(), sandbox.used_memory());

    for _ in 0..50 {
        let ended = run_in(&sandbox, "local s = 'x' while true do s = s .. s end");
        assert_eq!(
            ended,
            Err(CallError::Overrun {
                what: Overrun::Memory
            })
        );
    }
    sandbox.lua().gc_collect().unwrap();

    assert_eq!(witness(), before.0);
    assert!(
        sandbox.used_memory() < before.1 + 16_384,
        "{} of {}",
        sandbox.used_memory(),
        before.1
    );
}

#[test]
fn bytecode_is_refused_whole_and_corrupt() {
    let (sandbox, _) = sandbox(LIMITS);
    let lua = mlua::Lua::new();
    let function = lua.load("return 1").into_function().unwrap();
    let bytecode = function.dump(false);
    let mut corrupt = bytecode.clone();
    corrupt.iter_mut().skip(20).for_each(|byte| *byte ^= 0xA5);
    let env = sandbox.script_env().unwrap();

    for code in [&bytecode, &corrupt] {
        let refused = sandbox.load(code, "@test.lua", &env).unwrap_err();

        assert_eq!(
            refused,
            CallError::Error("attempt to load a binary chunk (mode is 't')".into())
        );
    }
}

#[test]
fn a_clock_stops_what_counting_would_let_run() {
    let limits = Limits {
        wall: Some(Duration::ZERO),
        instructions: u64::MAX,
        ..LIMITS
    };
    let (sandbox, _) = sandbox(limits);

    let ended = run_in(
        &sandbox,
        "while true do pcall(function() while true do end end) end",
    );

    assert_eq!(
        ended,
        Err(CallError::Overrun {
            what: Overrun::Time
        })
    );
    assert_eq!(run_in(&sandbox, "return 'short'").unwrap(), "short");
}

#[test]
fn each_call_has_the_whole_budget_and_nested_calls_share_one() {
    let (sandbox, _) = sandbox(LIMITS);
    let sandbox = Rc::new(sandbox);
    let half = "return function() for i = 1, 130000 do end return 'done' end";
    let chunk = load(&sandbox, half).unwrap();
    let half: Function = sandbox.call(&chunk, ()).unwrap();
    let (inner, inner_call) = (Rc::clone(&sandbox), half.clone());
    let nested = sandbox.lua().create_function(move |_, ()| {
        Ok(inner
            .call::<String>(&inner_call, ())
            .unwrap_or_else(|error| error.to_string()))
    });
    sandbox
        .lua()
        .globals()
        .set("nested", nested.unwrap())
        .unwrap();

    for _ in 0..10 {
        assert_eq!(sandbox.call::<String>(&half, ()).unwrap(), "done");
    }
    let twice = run_in(&sandbox, "nested() return nested()");

    assert_eq!(
        twice,
        Err(CallError::Overrun {
            what: Overrun::Instructions
        })
    );
}

fn text(source: &'static str) -> ModuleSource {
    ModuleSource::Text {
        source: source.as_bytes().into(),
        chunk_name: "@module.lua".into(),
    }
}

#[test]
fn modules_come_by_name_once_and_the_rest_is_not_found_in_luas_words() {
    let (sandbox, _) = sandbox(LIMITS);
    let built = Rc::new(RefCell::new(0));
    let count = Rc::clone(&built);
    let build = move |lua: &mlua::Lua| {
        *count.borrow_mut() += 1;
        let table = lua.create_table()?;
        table.set("kind", "rust")?;
        Ok(Value::Table(table))
    };
    sandbox.register_module("built", ModuleSource::Build(Rc::new(build)));
    sandbox.register_module(
        "written",
        text("greeting = 'hello' return { name = ..., other = require 'built' }"),
    );
    sandbox.register_module("silent", text("local x = 1"));

    let first = "local w = require('written') return w.name .. w.other.kind .. greeting .. tostring(require 'silent')";
    assert_eq!(run_in(&sandbox, first).unwrap(), "writtenrusthellotrue");
    assert_eq!(run_in(&sandbox, first).unwrap(), "writtenrusthellotrue");
    assert_eq!(*built.borrow(), 1);
    let same = "return tostring(require 'built' == require 'built' and require 'string' == string)";
    assert_eq!(run_in(&sandbox, same).unwrap(), "true");
    let missing = run_in(&sandbox, "\nlocal x = require('absent')")
        .unwrap_err()
        .to_string();
    assert!(
        missing.starts_with("test.lua:2: module 'absent' not found:"),
        "{missing}"
    );
    let caught = run_in(&sandbox, "local ok, e = pcall(require, 'absent') return e").unwrap();
    assert!(caught.starts_with("module 'absent' not found:"), "{caught}");
}

#[test]
fn a_script_shadows_libraries_for_itself_and_shares_its_stray_globals() {
    let (sandbox, _) = sandbox(LIMITS);
    let first = r##"
        function table.len(t) local n = 0 for _ in pairs(t) do n = n + 1 end return n end
        print = function() return "mine" end
        package.path = "/plugins/?.lua;" .. package.path
        server_ip = "192.0.2.1"
        return table.len({ 1, 2, x = 3 }) .. print() .. _G.server_ip
    "##;

    assert_eq!(run_in(&sandbox, first).unwrap(), "3mine192.0.2.1");
    let second = "return tostring(table.len) .. server_ip .. package.path .. tostring(undefined)";
    assert_eq!(run_in(&sandbox, second).unwrap(), "nil192.0.2.1./?.luanil");
}

#[test]
fn libraries_the_engine_adds_to_are_seen_by_all_scripts() {
    let (sandbox, _) = sandbox(LIMITS);
    let prelude = "function string.starts(s, p) return s:sub(1, #p) == p end flow = { port = function() return 53 end }";
    sandbox.lua().load(prelude).exec().unwrap();
    sandbox.seal().unwrap();

    let uses = "return tostring(('abc'):starts('ab')) .. tostring(string.starts('abc', 'b')) .. flow.port()";

    assert_eq!(run_in(&sandbox, uses).unwrap(), "truefalse53");
    assert_eq!(
        run_in(&sandbox, "flow.port = nil flow = nil return flow.port()").unwrap(),
        "53"
    );
    assert_eq!(run_in(&sandbox, uses).unwrap(), "truefalse53");
}

#[test]
fn errors_name_file_and_line_of_the_script_and_are_cut() {
    let cases = [
        (
            "\nlocal x = nil + 1",
            "test.lua:2: attempt to perform arithmetic on a nil value",
        ),
        (
            "\nlocal x = string.find(nil, 'a')",
            "test.lua:2: bad argument #1 to 'find' (string expected, got nil)",
        ),
        (
            "\nlocal x = ('a'):find('[')",
            "test.lua:2: malformed pattern (missing ']')",
        ),
        (
            "\nlocal x = ('a'):gsub('a', '%2')",
            "test.lua:2: invalid capture index %2",
        ),
        (
            "\nlocal x = ('a'):gsub('a', true)",
            "test.lua:2: bad argument #3 to 'gsub' (string/function/table expected, got boolean)",
        ),
        (
            "\nlocal x = ('a'):gsub('a', function() return {} end)",
            "test.lua:2: invalid replacement value (a table)",
        ),
        (
            "\nfor w in ('a'):gmatch('%') do end",
            "test.lua:2: malformed pattern (ends with '%')",
        ),
        (
            "\nlocal x = string.format('%d', 1.5)",
            "test.lua:2: bad argument #2 to 'format' (number has no integer representation)",
        ),
        (
            "\ntable.insert(nil, 1)",
            "test.lua:2: bad argument #1 to 'insert' (table expected, got nil)",
        ),
        (
            "\nlocal x = table.concat({ {} })",
            "test.lua:2: invalid value (table) at index 1 in table for 'concat'",
        ),
        ("error({ code = 1 })", "table: 0x"),
        ("syntax error here", "test.lua:1: syntax error near 'error'"),
    ];
    for (source, expected) in cases {
        let text = run(source).unwrap_err().to_string();
        assert!(text.starts_with(expected), "{source}: {text}");
    }
    let long = run("error(('ä'):rep(10000), 0)").unwrap_err().to_string();
    assert_eq!((long.len(), long.chars().all(|c| c == 'ä')), (500, true));
}

#[test]
fn protected_calls_give_what_lua_gives() {
    let script = r##"
        local out = {}
        local function note(...) out[#out + 1] = table.concat({ ... }, " ") end
        note(select("#", pcall(function() return nil, nil end)))
        local ok, err = pcall(error, { code = 7 })
        note(tostring(ok), err.code)
        local ok, err = pcall(string.rep)
        note(tostring(ok), err)
        local ok, err = pcall(function() return ("x"):find("[") end)
        note(type(err), err)
        note(tostring(select(2, pcall(error))))
        note(tostring(xpcall(function(a) return a end, print, 5)), select(2, xpcall(function(a) return a end, print, 5)))
        local ok, err = xpcall(error, function(e) return "handled " .. e end, "it")
        note(tostring(ok), err)
        local deep = 0
        local function nest(n) if n > 0 then pcall(nest, n - 1) end deep = deep + 1 end
        nest(20)
        note(deep)
        note(tostring(pcall(nil)))
        return table.concat(out, "; ")
    "##;

    let expected = "3; false 7; false bad argument #1 to 'rep' (string expected, got nil); string \
                    test.lua:9: malformed pattern (missing ']'); nil; true 5; false handled it; 21; false";
    assert_eq!(run(script).unwrap(), expected);
}

#[test]
fn printing_goes_to_the_output_up_to_its_bound() {
    let (sandbox, printed) = sandbox(LIMITS);
    let script = r##"
        print("a", 1, nil, true, 1.5)
        io.write("b", 2, "\n")
        io.stdout:write("c"):write("d\n")
        io.stderr:write("e\n")
        io.stdout:flush()
        return io.type(io.stdout)
    "##;

    assert_eq!(run_in(&sandbox, script).unwrap(), "file");
    assert_eq!(
        String::from_utf8_lossy(&printed.borrow()),
        "a\t1\tnil\ttrue\t1.5\nb2\ncd\ne\n"
    );
    printed.borrow_mut().clear();
    run_in(&sandbox, "for i = 1, 100 do print(('x'):rep(99)) end").unwrap();
    assert_eq!(printed.borrow().len(), LIMITS.output_bytes);
    run_in(&sandbox, "print('again')").unwrap();
    assert!(printed.borrow().ends_with(b"again\n"));
}

#[test]
fn clock_and_random_numbers_are_the_same_in_every_run() {
    let script = r##"
        math.randomseed()
        return table.concat({ os.time(), os.date("!%Y-%m-%d %H:%M:%S"), os.clock(), math.random(1 << 40),
            os.difftime(10, 4), os.date("!*t").hour }, " ")
    "##;
    let once = || {
        let (sandbox, _) = sandbox(LIMITS);
        sandbox.set_wall_secs(1_700_000_000);
        run_in(&sandbox, script).unwrap()
    };

    assert!(
        once().starts_with("1700000000 2023-11-14 22:13:20 0.0 "),
        "{}",
        once()
    );
    assert!(once().ends_with(" 6.0 22"), "{}", once());
    assert_eq!(once(), once());
}

#[test]
fn a_script_may_ask_where_it_stands() {
    let script = r##"
        local function f(a, b, c) end
        local here = debug.getinfo(1, "Sl")
        local info = debug.getinfo(f, "u")
        local trace = debug.traceback("why")
        return table.concat({ here.short_src, here.currentline, info.nparams, tostring(debug.getinfo(99)),
            trace:match("^why\nstack traceback:\n\ttest.lua:5:") and "traced" or trace }, " ")
    "##;

    assert_eq!(run(script).unwrap(), "test.lua 3 3 nil traced");
}

#[test]
fn a_byte_order_mark_and_a_first_line_for_the_shell_are_skipped() {
    assert_eq!(
        run("#!/usr/bin/lua\nreturn debug.getinfo(1).currentline").unwrap(),
        "2"
    );
    assert_eq!(run("\u{feff}return 'marked'").unwrap(), "marked");
}
