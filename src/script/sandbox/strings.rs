//! `find`, `match`, and what `gmatch` and `gsub` are made of, over the counted matcher.

use std::rc::Rc;

use mlua::{Error, Function, IntoLua, Lua, LuaString, MultiValue, Result, Table, Value};

use super::Overrun;
use super::meter::Meter;
use crate::script::pattern::{self, Capture, Match, PatternError};

/// Puts the functions into the table that `base.lua` takes ours from.
pub(super) fn install(lua: &Lua, host: &Table, meter: &Rc<Meter>) -> Result<()> {
    host.set("find", finder(lua, meter, true)?)?;
    host.set("match", finder(lua, meter, false)?)?;
    host.set("search", search(lua, meter)?)?;
    host.set("gsub", gsub(lua, meter)?)
}

/// `string.find` and `string.match`.
fn finder(lua: &Lua, meter: &Rc<Meter>, find: bool) -> Result<Function> {
    let meter = Rc::clone(meter);
    let name = if find { "find" } else { "match" };
    lua.create_function(
        move |lua, (s, p, init, plain): (Value, Value, Value, Value)| {
            let subject = text(lua, &meter, s, 1, name)?;
            let pattern = text(lua, &meter, p, 2, name)?;
            let (subject, pattern) = (&*subject.as_bytes(), &*pattern.as_bytes());
            let Some(from) = start(lua, &meter, init, subject.len(), name)? else {
                return Value::Nil
                    .into_lua(lua)
                    .map(|nil| MultiValue::from_iter([nil]));
            };
            let told_plain = !matches!(plain, Value::Nil | Value::Boolean(false));
            if find && (told_plain || pattern::is_plain(pattern)) {
                let found = meter.steps(|steps| pattern::find_plain(subject, pattern, from, steps));
                let found = found.map_err(|error| refusal(lua, &meter, error, 1))?;
                return Ok(match found {
                    Some(at) => {
                        MultiValue::from_iter([integer(at + 1), integer(at + pattern.len())])
                    }
                    None => MultiValue::from_iter([Value::Nil]),
                });
            }
            let (anchored, pattern) = anchor(pattern);
            let found =
                meter.steps(|steps| pattern::find(subject, pattern, from, anchored, None, steps));
            let Some(found) = found.map_err(|error| refusal(lua, &meter, error, 1))? else {
                return Ok(MultiValue::from_iter([Value::Nil]));
            };
            let mut values = MultiValue::new();
            let captures = if find {
                values.push_back(integer(found.range.start + 1));
                values.push_back(integer(found.range.end));
                found.captures()
            } else {
                found.captures().max(1)
            };
            push(lua, &meter, &mut values, subject, &found, captures, 1)?;
            Ok(values)
        },
    )
}

/// One step of `gmatch` and `gsub`: `(s, pattern, from, not_ending_at, captures, anchored)` to `start, stop`
/// and captures; offsets from 0; nothing if there is no match. With `captures` given the whole match stands
/// before them, and no more than that many of them are given (-1: all).
fn search(lua: &Lua, meter: &Rc<Meter>) -> Result<Function> {
    let meter = Rc::clone(meter);
    type Arguments = (
        LuaString,
        LuaString,
        usize,
        Option<usize>,
        Option<i64>,
        Option<bool>,
    );
    lua.create_function(move |lua, (s, p, from, last, most, anchored): Arguments| {
        let (subject, pattern) = (&*s.as_bytes(), &*p.as_bytes());
        let mut values = MultiValue::new();
        if from > subject.len() {
            return Ok(values);
        }
        let found = meter.steps(|steps| {
            pattern::find(subject, pattern, from, anchored == Some(true), last, steps)
        });
        if let Some(found) = found.map_err(|error| refusal(lua, &meter, error, 2))? {
            values.push_back(integer(found.range.start));
            values.push_back(integer(found.range.end));
            if most.is_some() {
                values.push_back(Value::String(
                    lua.create_string(&subject[found.range.clone()])?,
                ));
            }
            let most = most
                .and_then(|most| usize::try_from(most).ok())
                .unwrap_or(usize::MAX);
            let count = found.captures().max(1).min(most);
            push(lua, &meter, &mut values, subject, &found, count, 2)?;
        }
        Ok(values)
    })
}

/// `string.gsub` with a text as replacement: `(s, pattern, replacement, most)`.
fn gsub(lua: &Lua, meter: &Rc<Meter>) -> Result<Function> {
    let meter = Rc::clone(meter);
    lua.create_function(
        move |lua, (s, p, replacement, most): (LuaString, LuaString, LuaString, f64)| {
            let (subject, replacement) = (&*s.as_bytes(), &*replacement.as_bytes());
            let pattern = p.as_bytes();
            let (anchored, pattern) = anchor(&pattern);
            let mut out = Vec::new();
            let (mut from, mut last, mut count) = (0, None, 0_u32);
            while f64::from(count) < most {
                let found = meter
                    .steps(|steps| pattern::find(subject, pattern, from, anchored, last, steps));
                let Some(found) = found.map_err(|error| refusal(lua, &meter, error, 2))? else {
                    break;
                };
                let before = out.len();
                out.extend_from_slice(&subject[from..found.range.start]);
                replace(lua, &meter, &mut out, subject, &found, replacement)?;
                // What grows here is Rust's memory, so it has the bound of Lua's.
                if out.len() > meter.limits().memory_bytes {
                    return Err(fault(lua, &meter, 2, "resulting string too large"));
                }
                meter.charge(
                    lua,
                    ((out.len() - before) / 16) as u64,
                    Overrun::Instructions,
                )?;
                (from, last) = (found.range.end, Some(found.range.end));
                count += 1;
                if anchored {
                    break;
                }
            }
            if count == 0 {
                return Ok((s, 0));
            }
            out.extend_from_slice(&subject[from..]);
            Ok((lua.create_string(&out)?, count))
        },
    )
}

/// Appends `replacement` with its `%0` to `%9` filled in.
fn replace(
    lua: &Lua,
    meter: &Rc<Meter>,
    out: &mut Vec<u8>,
    subject: &[u8],
    found: &Match,
    replacement: &[u8],
) -> Result<()> {
    let mut bytes = replacement.iter();
    while let Some(&byte) = bytes.next() {
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        match bytes.next() {
            Some(b'%') => out.push(b'%'),
            Some(b'0') => out.extend_from_slice(&subject[found.range.clone()]),
            Some(digit @ b'1'..=b'9') => {
                let capture = found.capture(usize::from(digit - b'1'));
                match capture.map_err(|error| refusal(lua, meter, error, 2))? {
                    Capture::Bytes(start, end) => out.extend_from_slice(&subject[start..end]),
                    Capture::Position(at) | Capture::Open(at) => {
                        out.extend_from_slice((at + 1).to_string().as_bytes());
                    }
                }
            }
            _ => {
                return Err(fault(
                    lua,
                    meter,
                    2,
                    "invalid use of '%' in replacement string",
                ));
            }
        }
    }
    Ok(())
}

/// Appends the first `count` captures as Lua values.
fn push(
    lua: &Lua,
    meter: &Rc<Meter>,
    values: &mut MultiValue,
    subject: &[u8],
    found: &Match,
    count: usize,
    level: usize,
) -> Result<()> {
    for index in 0..count {
        let capture = found
            .capture(index)
            .map_err(|error| refusal(lua, meter, error, level))?;
        values.push_back(match capture {
            Capture::Bytes(start, end) => Value::String(lua.create_string(&subject[start..end])?),
            Capture::Position(at) | Capture::Open(at) => integer(at + 1),
        });
    }
    Ok(())
}

fn anchor(pattern: &[u8]) -> (bool, &[u8]) {
    match pattern {
        [b'^', rest @ ..] => (true, rest),
        _ => (false, pattern),
    }
}

/// Offset a search starts at; none if `init` lies behind the end.
fn start(
    lua: &Lua,
    meter: &Rc<Meter>,
    init: Value,
    len: usize,
    name: &str,
) -> Result<Option<usize>> {
    let init = match init {
        Value::Nil => return Ok(Some(0)),
        Value::Integer(init) => init,
        other => {
            let kind = other.type_name();
            match lua.coerce_integer(other)? {
                Some(init) => init,
                None => return Err(bad_argument(lua, meter, 3, name, "number", kind)),
            }
        }
    };
    let len = len as i64;
    let from = match init {
        1.. => init - 1,
        0 => 0,
        _ => init.saturating_add(len).max(0),
    };
    Ok((from <= len).then_some(from as usize))
}

fn text(lua: &Lua, meter: &Rc<Meter>, value: Value, index: usize, name: &str) -> Result<LuaString> {
    match value {
        Value::String(text) => Ok(text),
        other => {
            let kind = other.type_name();
            let text = match other {
                Value::Integer(_) | Value::Number(_) => lua.coerce_string(other)?,
                _ => None,
            };
            text.ok_or_else(|| bad_argument(lua, meter, index, name, "string", kind))
        }
    }
}

fn integer(place: usize) -> Value {
    Value::Integer(place as i64)
}

pub(super) fn bad_argument(
    lua: &Lua,
    meter: &Meter,
    index: usize,
    name: &str,
    wanted: &str,
    kind: &str,
) -> Error {
    let message = format!("bad argument #{index} to '{name}' ({wanted} expected, got {kind})");
    fault(lua, meter, 1, &message)
}

/// A matcher's error as a Lua error; where its steps are spent, the call is.
fn refusal(lua: &Lua, meter: &Rc<Meter>, error: PatternError, level: usize) -> Error {
    match error {
        PatternError::OutOfSteps => match meter.overrun(lua, Overrun::PatternSteps) {
            Err(spent) => spent,
            Ok(()) => fault(lua, meter, level, &error.to_string()),
        },
        _ => fault(lua, meter, level, &error.to_string()),
    }
}

/// An ordinary error, with file and line of the function `level` above ours.
pub(super) fn fault(lua: &Lua, meter: &Meter, level: usize, message: &str) -> Error {
    meter.pay_for_error();
    let place = lua.inspect_stack(level, |caller| {
        let line = caller.current_line()?;
        Some(format!("{}:{line}: ", caller.source().short_src?))
    });
    Error::runtime(place.flatten().unwrap_or_default() + message)
}
