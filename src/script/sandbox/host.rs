//! The functions of `base.lua` that are Rust: budget, output, clock, modules, and the harmless part of `debug`.

use std::cell::Cell;
use std::rc::Rc;

use mlua::chunk::ChunkMode;
use mlua::{
    AnyUserData, Function, Lua, LuaString, Result, Table, UserData, UserDataMethods, Value,
    Variadic,
};

use super::meter::Meter;
use super::strings::Caller;
use super::{ModuleSource, Modules, Output, Overrun, message, strings};

/// The table `base.lua` takes them from; scripts never see it.
pub(super) fn functions(
    lua: &Lua,
    meter: &Rc<Meter>,
    modules: &Modules,
    wall_secs: &Rc<Cell<u64>>,
    output: Output,
) -> Result<Table> {
    let host = lua.create_table()?;
    host.set("memory_limit", meter.limits().memory_bytes)?;

    let charged = Rc::clone(meter);
    let charge = move |lua: &Lua, units: f64| {
        charged.charge(lua, units as u64, Overrun::Instructions) // saturates, and NaN is none
    };
    host.set("charge", lua.create_function(charge)?)?;
    let entered = Rc::clone(meter);
    host.set(
        "enter",
        lua.create_function(move |lua, ()| entered.enter(lua))?,
    )?;
    let left = Rc::clone(meter);
    host.set("leave", lua.create_function(move |_, ()| left.leave())?)?;
    host.set("plain", lua.create_function(plain)?)?;

    let stream = Stream {
        meter: Rc::clone(meter),
        output,
    };
    host.set("stdout", lua.create_userdata(stream)?)?;
    host.set(
        "used_memory",
        lua.create_function(|lua, ()| Ok(lua.used_memory()))?,
    )?;
    let clock = Rc::clone(wall_secs);
    host.set("now", lua.create_function(move |_, ()| Ok(clock.get()))?)?;

    let modules = Rc::clone(modules);
    host.set(
        "module",
        lua.create_function(move |lua, name| module(lua, &modules, name))?,
    )?;
    host.set("traceback", lua.create_function(traceback)?)?;
    host.set("getinfo", lua.create_function(info)?)?;
    strings::install(lua, &host, meter)?;
    Ok(host)
}

/// `io.stdout`. Not a table, so that no script can write into it.
struct Stream {
    meter: Rc<Meter>,
    output: Output,
}

impl UserData for Stream {
    fn add_methods<M: UserDataMethods<Self>>(methods: &mut M) {
        methods.add_function(
            "write",
            |lua, (this, values): (AnyUserData, Variadic<Value>)| {
                let stream = this.borrow::<Stream>()?;
                for (index, value) in values.into_iter().enumerate() {
                    stream.write(lua, index + 1, value)?;
                }
                drop(stream);
                Ok(this)
            },
        );
        methods.add_function("flush", |_, this: AnyUserData| Ok(this));
        methods.add_function("setvbuf", |_, _: AnyUserData| Ok(true));
        for name in ["close", "lines", "read", "seek"] {
            let refusal = format!("{name} is not permitted to scripts");
            methods.add_function(name, move |_, _: AnyUserData| {
                Ok((Value::Nil, refusal.clone()))
            });
        }
    }
}

impl Stream {
    fn write(&self, lua: &Lua, index: usize, value: Value) -> Result<()> {
        let caller = Caller {
            lua,
            meter: &self.meter,
            name: "write",
            level: 1,
        };
        let text = caller.text(value, index)?;
        let text = text.as_bytes();
        let shown = self.meter.output(text.len());
        if shown > 0 {
            (self.output)(&text[..shown]);
        }
        Ok(())
    }
}

/// An error as a script shall see it: ours become the text Lua's own would be, and no place in `base.lua`
/// is named.
fn plain(lua: &Lua, error: Value) -> Result<Value> {
    let text = match &error {
        Value::Error(error) => lua.create_string(message(error))?,
        Value::String(text) => match without_our_place(&text.as_bytes()) {
            Some(rest) => lua.create_string(rest)?,
            None => return Ok(error),
        },
        _ => return Ok(error),
    };
    Ok(Value::String(text))
}

/// The rest of an error text that names a line of `base.lua`, where Lua raised it for one of its functions.
pub(super) fn without_our_place(text: &[u8]) -> Option<&[u8]> {
    let rest = text.strip_prefix(b"[sandbox]:")?;
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    rest[digits..].strip_prefix(b": ")
}

/// `(known, value, chunk)` of a module: a value, or a chunk that makes it.
fn module(
    lua: &Lua,
    modules: &Modules,
    name: LuaString,
) -> Result<(bool, Value, Option<Function>)> {
    let source = name
        .to_str()
        .ok()
        .and_then(|name| modules.borrow().get(&*name).cloned());
    match source {
        None => Ok((false, Value::Nil, None)),
        Some(ModuleSource::Build(build)) => Ok((true, build(lua)?, None)),
        Some(ModuleSource::Text { source, chunk_name }) => {
            let chunk = lua
                .load(&*source)
                .set_name(chunk_name)
                .set_mode(ChunkMode::Text);
            Ok((true, Value::Nil, Some(chunk.into_function()?)))
        }
    }
}

/// `debug.traceback([message [, level]])`; what is neither text nor nil comes back as it is.
fn traceback(lua: &Lua, (text, level): (Value, Option<usize>)) -> Result<Value> {
    let text = match &text {
        Value::Nil => None,
        Value::String(text) => Some(text.to_string_lossy()),
        Value::Integer(_) | Value::Number(_) => Some(text.to_string()?),
        _ => return Ok(text),
    };
    let level = level.unwrap_or(1);
    Ok(Value::String(lua.traceback(text.as_deref(), level)?))
}

/// `debug.getinfo(function or level)` without what would let a script reach into another: no
/// function, no locals. Nil for a level that is not there.
fn info(lua: &Lua, (what, _): (Value, Value)) -> Result<Option<Table>> {
    let table = lua.create_table()?;
    if let Value::Function(function) = what {
        let info = function.info();
        table.set("source", info.source)?;
        table.set("short_src", info.short_src)?;
        table.set("what", info.what)?;
        table.set("currentline", -1)?;
        table.set("linedefined", line(info.line_defined))?;
        table.set("lastlinedefined", line(info.last_line_defined))?;
        table.set("namewhat", "")?;
        table.set("nups", info.num_upvalues)?;
        table.set("nparams", info.num_params)?;
        table.set("isvararg", info.is_vararg)?;
        return Ok(Some(table));
    }
    let Some(level) = lua
        .coerce_integer(what)?
        .and_then(|level| usize::try_from(level).ok())
    else {
        return Ok(None);
    };
    let filled = lua.inspect_stack(level, |frame| {
        let (source, names, stack) = (frame.source(), frame.names(), frame.stack());
        table.set("source", source.source.as_deref())?;
        table.set("short_src", source.short_src.as_deref())?;
        table.set("what", source.what)?;
        table.set("currentline", line(frame.current_line()))?;
        table.set("linedefined", line(source.line_defined))?;
        table.set("lastlinedefined", line(source.last_line_defined))?;
        table.set("name", names.name.as_deref())?;
        table.set("namewhat", names.name_what.unwrap_or(""))?;
        table.set("nups", stack.num_upvalues)?;
        table.set("nparams", stack.num_params)?;
        table.set("isvararg", stack.is_vararg)
    });
    filled.transpose().map(|filled| filled.map(|()| table))
}

/// A line as `getinfo` has it: -1 where there is none.
fn line(line: Option<usize>) -> i64 {
    line.and_then(|line| i64::try_from(line).ok()).unwrap_or(-1)
}
