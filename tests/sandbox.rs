//! The sandbox against the scripts it is there for: hostile ones end, and end alone; real ones run.

#![allow(clippy::unwrap_used)]

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use flowreeve::script::sandbox::{CallError, Limits, ModuleSource, Overrun, Sandbox};
use mlua::{Function, Table, Value};

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
