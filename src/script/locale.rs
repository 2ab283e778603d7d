//! Texts of plugins in the owner's language: `i18n` as scripts call it.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use mlua::{Function, Lua, Table, Value};

/// Deepest nesting of a locale table.
const MAX_DEPTH: usize = 8;
/// Texts of all plugins together; a plugin that goes beyond is cut.
const MAX_TEXTS: usize = 50_000;

enum Text {
    Plain(String),
    /// Chosen by the parameter `count`.
    Plural {
        one: String,
        other: String,
    },
}

/// The texts, by key, for the current language and for English.
#[derive(Default)]
pub struct Locales {
    current: HashMap<String, Text>,
    english: HashMap<String, Text>,
    /// `string.format` of the state.
    string_format: Option<Function>,
}

/// Shared with the `i18n` functions of one Lua state.
pub type SharedLocales = Rc<RefCell<Locales>>;

impl Locales {
    /// Takes the table of one `locales/<lang>.lua` in under the namespace of its plugin. False if some of it
    /// was left out because it is too deep or too much.
    pub fn add(&mut self, namespace: &str, table: &Table, english: bool) -> bool {
        let texts = if english {
            &mut self.english
        } else {
            &mut self.current
        };
        collect(texts, namespace, table, 0)
    }

    fn find(&self, key: &str) -> Option<&Text> {
        self.current.get(key).or_else(|| self.english.get(key))
    }

    /// The text of `key` without parameters put in.
    pub fn text(&self, key: &str) -> Option<&str> {
        self.find(key).map(|text| match text {
            Text::Plain(text) => text.as_str(),
            Text::Plural { other, .. } => other,
        })
    }

    /// What is shown for a value called `i18n_*`: the text of that key, else the value itself.
    pub fn shown(&self, value: &str) -> String {
        self.text(value).unwrap_or(value).to_owned()
    }

    /// The text of `key` with parameters put in; `None` on a miss.
    pub fn format(&self, key: &str, params: Option<&Table>) -> mlua::Result<Option<String>> {
        let Some(text) = self.find(key) else {
            return Ok(None);
        };
        let text = match text {
            Text::Plain(text) => text,
            Text::Plural { one, other } => {
                let count = params
                    .map(|p| p.raw_get::<Option<f64>>("count"))
                    .transpose()?;
                if count.flatten() == Some(1.0) {
                    one
                } else {
                    other
                }
            }
        };
        interpolate(text, params, self.string_format.as_ref()).map(Some)
    }
}

fn collect(texts: &mut HashMap<String, Text>, prefix: &str, table: &Table, depth: usize) -> bool {
    let mut whole = true;
    for pair in table.pairs::<String, Value>() {
        let Ok((key, value)) = pair else {
            continue;
        };
        let key = format!("{prefix}.{key}");
        if texts.len() >= MAX_TEXTS {
            return false;
        }
        match value {
            Value::String(text) => {
                texts.insert(key, Text::Plain(text.to_string_lossy()));
            }
            Value::Table(inner) => {
                let form = |name: &str| inner.raw_get::<Option<String>>(name).ok().flatten();
                if let (Some(one), Some(other)) = (form("one"), form("other")) {
                    texts.insert(key, Text::Plural { one, other });
                } else if depth < MAX_DEPTH {
                    whole &= collect(texts, &key, &inner, depth + 1);
                } else {
                    whole = false;
                }
            }
            _ => {}
        }
    }
    whole
}

/// Puts parameters into `%{name}` and `%<name>.format`; `%%` is a percent sign.
fn interpolate(
    text: &str,
    params: Option<&Table>,
    format: Option<&Function>,
) -> mlua::Result<String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('%') {
        out.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        if let Some(tail) = after.strip_prefix('%') {
            out.push('%');
            rest = tail;
        } else if let Some((name, tail)) = bracketed(after, '{', '}') {
            out.push_str(&shown(&parameter(params, name)?)?);
            rest = tail;
        } else if let Some((name, tail)) = bracketed(after, '<', '>')
            && let Some((spec, tail)) = conversion(tail)
        {
            out.push_str(&formatted(&parameter(params, name)?, spec, format)?);
            rest = tail;
        } else {
            out.push('%');
            rest = after;
        }
    }
    out.push_str(rest);
    Ok(out)
}

fn bracketed(text: &str, open: char, close: char) -> Option<(&str, &str)> {
    text.strip_prefix(open)?.split_once(close)
}

/// `5d` of `.5d seconds`: flags, width and precision, and one letter.
fn conversion(text: &str) -> Option<(&str, &str)> {
    let text = text.strip_prefix('.')?;
    let end = text.find(|c: char| c.is_ascii_alphabetic())?;
    let spec = &text[..end];
    let plain = spec.len() <= 5
        && spec
            .chars()
            .all(|c| c.is_ascii_digit() || ".-+ #0".contains(c));
    plain.then(|| text.split_at(end + 1))
}

fn parameter(params: Option<&Table>, name: &str) -> mlua::Result<Value> {
    params.map_or(Ok(Value::Nil), |params| params.raw_get(name))
}

fn shown(value: &Value) -> mlua::Result<String> {
    match value {
        // A text may hold any bytes; `__tostring` of a table is a script's own code and stays out.
        Value::String(text) => Ok(text.to_string_lossy()),
        Value::Table(_) => Ok("table".into()),
        other => other.to_string(),
    }
}

fn formatted(value: &Value, spec: &str, format: Option<&Function>) -> mlua::Result<String> {
    // A value the format is not for is shown as it is: a text with a slip is better than none.
    match format.map(|f| f.call::<mlua::LuaString>((format!("%{spec}"), value))) {
        Some(Ok(text)) => Ok(text.to_string_lossy()),
        _ => shown(value),
    }
}

/// Puts the callable table `i18n` into the globals and gives it back (it is also a module).
/// `i18n(key [, params])` gives the text or nil; an argument that is no text is an error.
pub fn install(lua: &Lua, locales: &SharedLocales) -> mlua::Result<Table> {
    let string: Table = lua.globals().get("string")?;
    locales.borrow_mut().string_format = Some(string.get("format")?);
    let shared = Rc::clone(locales);
    let call: Function =
        lua.create_function(move |_, (_, key, params): (Value, Value, Value)| {
            let Value::String(key) = key else {
                let kind = key.type_name();
                return Err(mlua::Error::runtime(format!(
                    "i18n: a text is expected, got {kind}"
                )));
            };
            let Ok(key) = key.to_str() else {
                return Ok(None);
            };
            shared.borrow().format(&key, params.as_table())
        })?;
    let meta = lua.create_table()?;
    meta.set("__call", call)?;
    meta.set("__metatable", false)?;
    let i18n = lua.create_table()?;
    i18n.set_metatable(Some(meta))?;
    lua.globals().set("i18n", &i18n)?;
    Ok(i18n)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // a test that cannot go on shall stop
mod tests {
    use super::*;
    use mlua::{LuaOptions, StdLib};

    fn state(current: &str, english: &str) -> Lua {
        let lua = Lua::new_with(StdLib::STRING | StdLib::TABLE, LuaOptions::default()).unwrap();
        let locales = SharedLocales::default();
        for (source, is_english) in [(current, false), (english, true)] {
            let table: Table = lua.load(source).eval().unwrap();
            assert!(locales.borrow_mut().add("p", &table, is_english));
        }
        install(&lua, &locales).unwrap();
        lua
    }

    fn eval(lua: &Lua, code: &str) -> Option<String> {
        lua.load(code).eval().unwrap()
    }

    #[test]
    fn a_text_is_found_in_the_language_then_in_english_then_not_at_all() {
        let lua = state("{ a = 'ciao' }", "{ a = 'hello', sub = { b = 'deep' } }");

        assert_eq!(eval(&lua, "return i18n('p.a')").as_deref(), Some("ciao"));
        assert_eq!(
            eval(&lua, "return i18n('p.sub.b')").as_deref(),
            Some("deep")
        );
        assert_eq!(eval(&lua, "return i18n('p.sub')"), None);
        assert_eq!(eval(&lua, "return i18n('p.none')"), None);
        assert_eq!(eval(&lua, "return type(i18n)").as_deref(), Some("table"));
    }

    #[test]
    fn parameters_are_put_in() {
        let lua = state(
            "{}",
            "{ a = '%{n} of 100%%, %{gone}', f = '%<x>..2f s', w = '[%<x>.5d]', n = { one = '%{count} flow', other = '%{count} flows' } }",
        );

        for (code, text) in [
            ("return i18n('p.a', {n = 7})", "7 of 100%, nil"),
            ("return i18n('p.f', {x = 1.25})", "1.25 s"),
            ("return i18n('p.f', {x = {}})", "table s"),
            ("return i18n('p.w', {x = 42})", "[   42]"),
            ("return i18n('p.n', {count = 1})", "1 flow"),
            ("return i18n('p.n', {count = 3})", "3 flows"),
            ("return i18n('p.n')", "nil flows"),
        ] {
            assert_eq!(eval(&lua, code).as_deref(), Some(text), "{code}");
        }
    }

    #[test]
    fn what_is_no_text_is_an_error_and_nothing_else_is() {
        let lua = state("{}", "{}");

        assert!(lua.load("i18n(nil)").exec().is_err());
        assert!(lua.load("i18n({})").exec().is_err());
        assert_eq!(eval(&lua, "return i18n('')"), None);
        assert_eq!(eval(&lua, "return i18n('\\xff')"), None);
    }

    #[test]
    fn strange_formats_stay_as_they_are() {
        let lua = state("{}", "{ a = '100% %x %{open %<x', b = '%<x>.999999999f' }");

        let odd = eval(&lua, "return i18n('p.a', {x = 1})");
        assert_eq!(odd.as_deref(), Some("100% %x %{open %<x"));
        assert!(eval(&lua, "return i18n('p.b', {x = 1})").is_some());
    }
}
