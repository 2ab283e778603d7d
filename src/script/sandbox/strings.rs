//! `find`, `match`, and what `gmatch` and `gsub` are made of, over the counted matcher.

use std::rc::Rc;

use mlua::{Error, Function, Lua, LuaString, MultiValue, Result, Table, Value};

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
            let caller = Caller {
                lua,
                meter: &meter,
                name,
                level: 2,
            };
            let (subject, pattern) = (caller.text(s, 1)?, caller.text(p, 2)?);
            let (subject, pattern) = (&*subject.as_bytes(), &*pattern.as_bytes());
            let mut values = MultiValue::new();
            let Some(from) = caller.start(init, subject.len())? else {
                values.push_back(Value::Nil);
                return Ok(values);
            };
            let told_plain = !matches!(plain, Value::Nil | Value::Boolean(false));
            if find && (told_plain || pattern::is_plain(pattern)) {
                let found = meter.steps(|steps| pattern::find_plain(subject, pattern, from, steps));
                match found.map_err(|error| caller.refusal(error))? {
                    Some(at) => values.extend([integer(at + 1), integer(at + pattern.len())]),
                    None => values.push_back(Value::Nil),
                }
                return Ok(values);
            }
            let (anchored, pattern) = anchor(pattern);
            let found =
                meter.steps(|steps| pattern::find(subject, pattern, from, anchored, None, steps));
            match found.map_err(|error| caller.refusal(error))? {
                Some(found) if find => {
                    values.extend([integer(found.range.start + 1), integer(found.range.end)]);
                    caller.push(&mut values, subject, &found, found.captures())?;
                }
                Some(found) => {
                    caller.push(&mut values, subject, &found, found.captures().max(1))?
                }
                None => values.push_back(Value::Nil),
            }
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
        let caller = Caller {
            lua,
            meter: &meter,
            name: "gsub",
            level: 2,
        };
        let (subject, pattern) = (&*s.as_bytes(), &*p.as_bytes());
        let mut values = MultiValue::new();
        if from > subject.len() {
            return Ok(values);
        }
        let anchored = anchored == Some(true);
        let found =
            meter.steps(|steps| pattern::find(subject, pattern, from, anchored, last, steps));
        if let Some(found) = found.map_err(|error| caller.refusal(error))? {
            values.extend([integer(found.range.start), integer(found.range.end)]);
            if most.is_some() {
                values.push_back(Value::String(
                    lua.create_string(&subject[found.range.clone()])?,
                ));
            }
            let most = most
                .and_then(|most| usize::try_from(most).ok())
                .unwrap_or(usize::MAX);
            caller.push(
                &mut values,
                subject,
                &found,
                found.captures().max(1).min(most),
            )?;
        }
        Ok(values)
    })
}

/// `string.gsub` with a text as replacement: `(s, pattern, replacement, most)`.
fn gsub(lua: &Lua, meter: &Rc<Meter>) -> Result<Function> {
    let meter = Rc::clone(meter);
    lua.create_function(
        move |lua, (s, p, replacement, most): (Value, Value, LuaString, Value)| {
            let caller = Caller {
                lua,
                meter: &meter,
                name: "gsub",
                level: 2,
            };
            let (s, p) = (caller.text(s, 1)?, caller.text(p, 2)?);
            let most = caller.integer(most, 4, i64::MAX)?;
            let (subject, pattern) = (&*s.as_bytes(), &*p.as_bytes());
            let (anchored, pattern) = anchor(pattern);
            let replacement = &*replacement.as_bytes();
            let mut out = Vec::new();
            let (mut from, mut last, mut count) = (0, None, 0);
            while count < most {
                let found = meter
                    .steps(|steps| pattern::find(subject, pattern, from, anchored, last, steps));
                let Some(found) = found.map_err(|error| caller.refusal(error))? else {
                    break;
                };
                let before = out.len();
                out.extend_from_slice(&subject[from..found.range.start]);
                caller.replace(&mut out, subject, &found, replacement)?;
                // What grows here is Rust's memory, so it has the bound of Lua's.
                if out.len() > meter.limits().memory_bytes {
                    return Err(caller.fault("resulting string too large"));
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

fn anchor(pattern: &[u8]) -> (bool, &[u8]) {
    match pattern {
        [b'^', rest @ ..] => (true, rest),
        _ => (false, pattern),
    }
}

fn integer(place: usize) -> Value {
    Value::Integer(place as i64)
}

/// Who called one of our functions, for what it takes, gives and complains of.
pub(super) struct Caller<'a> {
    pub(super) lua: &'a Lua,
    pub(super) meter: &'a Rc<Meter>,
    /// What the script calls us by.
    pub(super) name: &'static str,
    /// How many levels above us the script is: 2 if `base.lua` is between.
    pub(super) level: usize,
}

impl Caller<'_> {
    /// Argument `index` as Lua's own functions take a text: numbers are written out.
    pub(super) fn text(&self, value: Value, index: usize) -> Result<LuaString> {
        let kind = value.type_name();
        let text = match value {
            Value::String(text) => Some(text),
            Value::Integer(_) | Value::Number(_) => self.lua.coerce_string(value)?,
            _ => None,
        };
        text.ok_or_else(|| self.bad_argument(index, "string", kind))
    }

    fn integer(&self, value: Value, index: usize, default: i64) -> Result<i64> {
        let kind = value.type_name();
        match value {
            Value::Nil => Ok(default),
            Value::Integer(number) => Ok(number),
            other => {
                let number = self.lua.coerce_integer(other)?;
                number.ok_or_else(|| self.bad_argument(index, "number", kind))
            }
        }
    }

    /// Offset a search starts at; none if `init` lies behind the end.
    fn start(&self, init: Value, len: usize) -> Result<Option<usize>> {
        let len = len as i64;
        let from = match self.integer(init, 3, 1)? {
            init @ 1.. => init - 1,
            0 => 0,
            init => init.saturating_add(len).max(0),
        };
        Ok((from <= len).then_some(from as usize))
    }

    /// Appends the first `count` captures as Lua values.
    fn push(
        &self,
        values: &mut MultiValue,
        subject: &[u8],
        found: &Match,
        count: usize,
    ) -> Result<()> {
        for index in 0..count {
            values.push_back(
                match found.capture(index).map_err(|error| self.refusal(error))? {
                    Capture::Bytes(start, end) => {
                        Value::String(self.lua.create_string(&subject[start..end])?)
                    }
                    Capture::Position(at) | Capture::Open(at) => integer(at + 1),
                },
            );
        }
        Ok(())
    }

    /// Appends `replacement` with its `%0` to `%9` filled in.
    fn replace(
        &self,
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
                    match capture.map_err(|error| self.refusal(error))? {
                        Capture::Bytes(start, end) => out.extend_from_slice(&subject[start..end]),
                        Capture::Position(at) | Capture::Open(at) => {
                            out.extend_from_slice((at + 1).to_string().as_bytes());
                        }
                    }
                }
                _ => return Err(self.fault("invalid use of '%' in replacement string")),
            }
        }
        Ok(())
    }

    fn bad_argument(&self, index: usize, wanted: &str, kind: &str) -> Error {
        let name = self.name;
        self.fault(&format!(
            "bad argument #{index} to '{name}' ({wanted} expected, got {kind})"
        ))
    }

    /// A matcher's error as a Lua error; where its steps are spent, the call is.
    fn refusal(&self, error: PatternError) -> Error {
        match error {
            PatternError::OutOfSteps => self.meter.overrun(self.lua, Overrun::PatternSteps),
            _ => self.fault(&error.to_string()),
        }
    }

    /// An ordinary error, with the script's file and line: those of the nearest caller that has any, since one
    /// that calls us last leaves the stack.
    fn fault(&self, message: &str) -> Error {
        self.meter.pay_for_error();
        let place = (self.level..self.level + 5).find_map(|level| {
            let place = self.lua.inspect_stack(level, |caller| {
                let line = caller.current_line()?;
                let file = caller.source().short_src?;
                (!file.starts_with('[')).then(|| format!("{file}:{line}: "))
            });
            place.flatten()
        });
        Error::runtime(place.unwrap_or_default() + message)
    }
}
