//! JSON to Lua values and back, as scripts know it from `dkjson`: an empty table is `[]`, object keys become
//! text, nil values vanish, errors of `decode` are values. Written objects are sorted by key, so that equal
//! tables give equal text. Both ways are bounded in size and depth.

use std::fmt;

use mlua::{Lua, MultiValue, Table, Value};
use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use thiserror::Error;

use crate::script::env::{BYTES_PER_UNIT, charge};

/// Longest text a script may encode or decode.
pub const MAX_SCRIPT_TEXT: usize = 256 * 1024;
/// Entries of one table that are written.
const MAX_ENTRIES: usize = 16 * 1024;
/// Tables within tables that are written; reading stops at serde_json's 128.
const MAX_DEPTH: usize = 32;

/// Why a value has no JSON text, or a text no value.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum JsonError {
    /// The text would be, or is, too long.
    #[error("JSON text exceeds {limit_bytes} bytes")]
    TooLong {
        /// The limit.
        limit_bytes: usize,
    },
    /// A value JSON does not have; only when asked to be strict.
    #[error("type '{0}' is not supported by JSON")]
    Unsupported(&'static str),
    /// A table within itself, or too many within each other; only when asked to be strict.
    #[error("reference cycle, or more than {MAX_DEPTH} tables within each other")]
    TooDeep,
    /// Not JSON.
    #[error("{message} at position {position}")]
    Syntax {
        /// Byte where reading stopped, from 1.
        position: usize,
        /// What is wrong there.
        message: String,
    },
}

/// JSON of `value` in at most `limit_bytes`. What JSON cannot hold (functions, cycles, tables too deep) is
/// left out of objects and `null` elsewhere. Metamethods are not called.
pub fn to_json(value: &Value, limit_bytes: usize) -> Result<String, JsonError> {
    write(value, limit_bytes, false)
}

/// The value of a whole text; `null` is nil.
pub fn from_json(lua: &Lua, text: &str) -> Result<Value, JsonError> {
    let (value, end) = read(lua, text.as_bytes(), 0, &Value::Nil)?;
    match text.as_bytes()[end..]
        .iter()
        .position(|byte| !byte.is_ascii_whitespace())
    {
        None => Ok(value),
        Some(at) => Err(JsonError::Syntax {
            position: end + at + 1,
            message: "unexpected text after the value".to_owned(),
        }),
    }
}

/// The module `dkjson`, also known as `json`.
pub fn module(lua: &Lua) -> mlua::Result<Table> {
    let module = lua.create_table()?;
    let null = lua.create_table()?;
    let marks = lua.create_table()?;
    marks.raw_set(NULL_MARK, "null")?;
    null.set_metatable(Some(marks))?;
    module.raw_set("null", null)?;
    module.raw_set(
        "encode",
        lua.create_function(|lua, value: Value| {
            let json = write(&value, MAX_SCRIPT_TEXT, true);
            let bytes = json.as_ref().map_or(MAX_SCRIPT_TEXT, String::len);
            charge(lua, bytes / BYTES_PER_UNIT)?;
            json.map_err(mlua::Error::external)
        })?,
    )?;
    module.raw_set("decode", lua.create_function(decode)?)?;
    Ok(module)
}

/// Field of a metatable that makes its table `null`.
const NULL_MARK: &str = "__tojson";

/// `decode(text [, position [, null]])`: value and next position, or nil, position and message.
fn decode(
    lua: &Lua,
    (text, position, null): (Value, Option<i64>, Value),
) -> mlua::Result<MultiValue> {
    let found = match &text {
        Value::String(text) => {
            let bytes = text.as_bytes();
            charge(lua, bytes.len().min(MAX_SCRIPT_TEXT) / BYTES_PER_UNIT)?;
            let start = usize::try_from(position.unwrap_or(1))
                .unwrap_or(1)
                .saturating_sub(1);
            read(lua, &bytes, start.min(bytes.len()), &null)
        }
        other => Err(JsonError::Syntax {
            position: 1,
            message: format!("text expected, got {}", other.type_name()),
        }),
    };
    let answer = match found {
        Ok((value, end)) => vec![value, Value::Integer(end as i64 + 1)],
        Err(error) => {
            let position = match error {
                JsonError::Syntax { position, .. } => position,
                _ => 1,
            };
            let message = lua.create_string(error.to_string())?;
            vec![
                Value::Nil,
                Value::Integer(position as i64),
                Value::String(message),
            ]
        }
    };
    Ok(MultiValue::from_vec(answer))
}

/// The value that begins at `start`, and where it ends.
fn read(lua: &Lua, text: &[u8], start: usize, null: &Value) -> Result<(Value, usize), JsonError> {
    if text.len() > MAX_SCRIPT_TEXT {
        return Err(JsonError::TooLong {
            limit_bytes: MAX_SCRIPT_TEXT,
        });
    }
    let rest = &text[start..];
    let mut stream = serde_json::Deserializer::from_slice(rest);
    match (Build { lua, null }).deserialize(&mut stream) {
        Ok(value) => {
            let end = end_of_first(rest);
            Ok((value, start + end))
        }
        Err(error) => {
            let line_start: usize = rest
                .split_inclusive(|byte| *byte == b'\n')
                .take(error.line().saturating_sub(1))
                .map(<[u8]>::len)
                .sum();
            let text = error.to_string();
            let message = text.split(" at line ").next().unwrap_or(&text);
            Err(JsonError::Syntax {
                position: start + line_start + error.column().max(1),
                message: message.to_owned(),
            })
        }
    }
}

/// Where the first value of `text`, which is known to be sound, ends.
fn end_of_first(text: &[u8]) -> usize {
    let mut stream = serde_json::Deserializer::from_slice(text).into_iter::<de::IgnoredAny>();
    let _ = stream.next();
    stream.byte_offset()
}

/// Makes a Lua value of what is read.
#[derive(Clone, Copy)]
struct Build<'a> {
    lua: &'a Lua,
    null: &'a Value,
}

impl<'de> DeserializeSeed<'de> for Build<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Build<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Value, E> {
        Ok(self.null.clone())
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Boolean(value))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Integer(value))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Value, E> {
        Ok(i64::try_from(value).map_or(Value::Number(value as f64), Value::Integer))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Number(value))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Value, E> {
        self.lua
            .create_string(value)
            .map(Value::String)
            .map_err(E::custom)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Value, A::Error> {
        let table = self.lua.create_table().map_err(de::Error::custom)?;
        let mut at = 1;
        while let Some(element) = elements.next_element_seed(self)? {
            table.raw_set(at, element).map_err(de::Error::custom)?;
            at += 1;
        }
        Ok(Value::Table(table))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Value, A::Error> {
        let table = self.lua.create_table().map_err(de::Error::custom)?;
        while let Some(key) = fields.next_key::<String>()? {
            let value = fields.next_value_seed(self)?;
            table.raw_set(key, value).map_err(de::Error::custom)?;
        }
        Ok(Value::Table(table))
    }
}

fn write(value: &Value, limit_bytes: usize, strict: bool) -> Result<String, JsonError> {
    let mut writer = Writer {
        out: String::new(),
        limit_bytes,
        strict,
        within: Vec::new(),
    };
    writer.value(value)?;
    Ok(writer.out)
}

struct Writer {
    out: String,
    limit_bytes: usize,
    strict: bool,
    /// Tables that are being written, outermost first.
    within: Vec<*const std::ffi::c_void>,
}

impl Writer {
    fn value(&mut self, value: &Value) -> Result<(), JsonError> {
        match value {
            Value::Nil => self.push("null"),
            Value::Boolean(true) => self.push("true"),
            Value::Boolean(false) => self.push("false"),
            Value::Integer(number) => self.push(&number.to_string()),
            Value::Number(number) if !number.is_finite() => self.push("null"),
            Value::Number(number) => self.push(&format!("{number:?}")),
            Value::String(text) => self.text(&text.as_bytes()),
            Value::Table(table) if is_null(table) => self.push("null"),
            Value::Table(table) => self.table(table),
            other => self.unsupported(other.type_name()),
        }
    }

    fn table(&mut self, table: &Table) -> Result<(), JsonError> {
        let this = table.to_pointer();
        if self.within.len() == MAX_DEPTH || self.within.contains(&this) {
            return if self.strict {
                Err(JsonError::TooDeep)
            } else {
                self.push("null")
            };
        }
        self.within.push(this);
        match self.array_len(table)? {
            Some(len) => {
                self.push("[")?;
                for at in 1..=len {
                    self.push(if at > 1 { "," } else { "" })?;
                    self.value(&table.raw_get(at).unwrap_or(Value::Nil))?;
                }
                self.push("]")?;
            }
            None => self.object(table)?,
        }
        self.within.pop();
        Ok(())
    }

    fn object(&mut self, table: &Table) -> Result<(), JsonError> {
        let mut fields = Vec::new();
        for (key, value) in table.pairs::<Value, Value>().flatten() {
            let key = match key {
                Value::String(key) => key.as_bytes().to_vec(),
                Value::Integer(key) => key.to_string().into_bytes(),
                Value::Number(key) => format!("{key:?}").into_bytes(),
                other if self.strict => return Err(JsonError::Unsupported(other.type_name())),
                _ => continue,
            };
            if !self.strict && !is_json(&value) {
                continue;
            }
            fields.push((key, value));
        }
        fields.sort_by(|(a, _), (b, _)| a.cmp(b));
        self.push("{")?;
        for (at, (key, value)) in fields.iter().enumerate() {
            self.push(if at > 0 { "," } else { "" })?;
            self.text(key)?;
            self.push(":")?;
            self.value(value)?;
        }
        self.push("}")
    }

    /// Length of the array `table` is, if it is one: all keys are whole numbers from 1 on, and at least half
    /// of the places are taken once there are more than ten. An empty table is an empty array.
    fn array_len(&self, table: &Table) -> Result<Option<i64>, JsonError> {
        let (mut count, mut last) = (0, 0);
        let mut whole = true;
        for (key, _) in table.pairs::<Value, Value>().flatten() {
            count += 1;
            if count as usize > self.limit_bytes.min(MAX_ENTRIES) {
                return Err(self.too_long()); // no entry is shorter than a byte
            }
            match key {
                Value::Integer(key) if key > 0 => last = last.max(key),
                _ => whole = false,
            }
        }
        Ok((whole && (last <= 10 || last <= count * 2)).then_some(last))
    }

    /// A string; what is no UTF-8 becomes U+FFFD.
    fn text(&mut self, bytes: &[u8]) -> Result<(), JsonError> {
        if bytes.len() > self.limit_bytes {
            return Err(self.too_long());
        }
        let text = String::from_utf8_lossy(bytes);
        let quoted = serde_json::to_string(&text).expect("a text always has a JSON form");
        self.push(&quoted)
    }

    fn unsupported(&mut self, kind: &'static str) -> Result<(), JsonError> {
        if self.strict {
            return Err(JsonError::Unsupported(kind));
        }
        self.push("null")
    }

    fn push(&mut self, text: &str) -> Result<(), JsonError> {
        if self.out.len() + text.len() > self.limit_bytes {
            return Err(self.too_long());
        }
        self.out.push_str(text);
        Ok(())
    }

    fn too_long(&self) -> JsonError {
        JsonError::TooLong {
            limit_bytes: self.limit_bytes,
        }
    }
}

fn is_json(value: &Value) -> bool {
    matches!(
        value,
        Value::Boolean(_)
            | Value::Integer(_)
            | Value::Number(_)
            | Value::String(_)
            | Value::Table(_)
    )
}

fn is_null(table: &Table) -> bool {
    table
        .metatable()
        .is_some_and(|marks| marks.contains_key(NULL_MARK).unwrap_or(false))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn encoded(lua: &Lua, chunk: &str) -> Result<String, JsonError> {
        to_json(&lua.load(chunk).eval().expect("a test's chunk"), 1000)
    }

    #[test]
    fn values_are_written_as_scripts_expect_them() {
        let lua = Lua::new();
        for (chunk, json) in [
            ("{}", "[]"),
            ("{1, 'two', true}", r#"[1,"two",true]"#),
            ("{b = 1, a = {x = 1.5}}", r#"{"a":{"x":1.5},"b":1}"#),
            ("{[5] = 'x'}", r#"[null,null,null,null,"x"]"#),
            ("{[50] = 'x'}", r#"{"50":"x"}"#),
            ("2.0", "2.0"),
            ("1/0", "null"),
            (r#"'a"\n\xff'"#, "\"a\\\"\\n\u{fffd}\""),
        ] {
            assert_eq!(encoded(&lua, chunk).as_deref(), Ok(json), "{chunk}");
        }
    }

    #[test]
    fn what_json_cannot_hold_is_left_out_and_does_no_harm() {
        let lua = Lua::new();

        assert_eq!(
            encoded(&lua, "{a = print, b = 1}").as_deref(),
            Ok(r#"{"b":1}"#)
        );
        assert_eq!(encoded(&lua, "{print, 1}").as_deref(), Ok("[null,1]"));
        let cycle = "(function() local t = {a = 1}; t.t = t; return t end)()";
        assert_eq!(encoded(&lua, cycle).as_deref(), Ok(r#"{"a":1,"t":null}"#));
        let deep = "(function() local t = {} for i = 1, 1000 do t = {t} end return t end)()";
        assert!(encoded(&lua, deep).is_ok_and(|json| json.contains("null")));
    }

    #[test]
    fn a_text_beyond_the_limit_is_refused() {
        let lua = Lua::new();

        let refused = Err(JsonError::TooLong { limit_bytes: 1000 });
        assert_eq!(encoded(&lua, "('x'):rep(999)"), refused);
        assert_eq!(
            encoded(
                &lua,
                "(function() local t = {} for i = 1, 600 do t[i] = 1 end return t end)()"
            ),
            refused
        );
    }

    #[test]
    fn a_whole_text_is_read_and_anything_after_it_is_an_error() {
        let lua = Lua::new();

        let value = from_json(
            &lua,
            r#" {"items":["59",2.5,null,{"a":[]}],"n":9007199254740993} "#,
        );
        let value = value.expect("this is JSON");
        assert_eq!(
            to_json(&value, 1000).as_deref(),
            Ok(r#"{"items":["59",2.5,null,{"a":[]}],"n":9007199254740993}"#)
        );
        for (text, position) in [("{} x", 4), ("[1,]", 4), ("", 1), ("{\n\"a\":x}", 7)] {
            match from_json(&lua, text) {
                Err(JsonError::Syntax { position: at, .. }) => assert_eq!(at, position, "{text}"),
                other => panic!("{text}: {other:?}"),
            }
        }
    }

    #[test]
    fn brackets_without_end_are_an_error_and_no_overflow() {
        let lua = Lua::new();

        assert!(matches!(
            from_json(&lua, &"[".repeat(100_000)),
            Err(JsonError::Syntax { .. })
        ));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(text in ".*") {
            let lua = Lua::new();

            if let Ok(value) = from_json(&lua, &text) {
                prop_assert!(to_json(&value, MAX_SCRIPT_TEXT).is_ok());
            }
        }

        #[test]
        fn any_text_comes_back_as_it_was(text in ".*") {
            let lua = Lua::new();
            let value = Value::String(lua.create_string(&text).expect("small"));

            let json = to_json(&value, MAX_SCRIPT_TEXT).expect("a text has JSON");

            prop_assert_eq!(from_json(&lua, &json), Ok(value));
        }
    }
}
