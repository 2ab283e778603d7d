//! The table `ntop` that scripts see: the key-value store, where things are, what program this is. What this
//! leaves to others: anything that touches files, the network or the clock, which no script may from here.

use std::rc::Rc;

use md5::{Digest, Md5};
use mlua::{FromLuaMulti, IntoLua, IntoLuaMulti, Lua, LuaString, Table, Value};

use crate::script::current::Current;
use crate::script::env::{BYTES_PER_UNIT, ELEMENT_UNITS, Env, charge};
use crate::script::store::{Side, Store};
use crate::time::Micros;

/// Longest log line of a script, in bytes.
const MAX_LOG_LINE: usize = 512;
/// Elements one `lrangeCache` may give.
const MAX_RANGE: usize = 4096;

/// Makes the global `ntop`. Time is that of the slot: the event's inside a hook, the latest outside.
pub fn install(lua: &Lua, current: &Current, env: &Rc<Env>) -> mlua::Result<()> {
    let api = Api {
        lua,
        table: lua.create_table()?,
        current,
        env,
    };
    texts(&api)?;
    collections(&api)?;
    lists(&api)?;
    product(&api)?;
    system(&api)?;
    lua.globals().set("ntop", api.table)
}

struct Api<'a> {
    lua: &'a Lua,
    table: Table,
    current: &'a Current,
    env: &'a Rc<Env>,
}

impl Api<'_> {
    fn function<A, R>(
        &self,
        name: &str,
        call: impl Fn(&Lua, A) -> mlua::Result<R> + 'static,
    ) -> mlua::Result<()>
    where
        A: FromLuaMulti,
        R: IntoLuaMulti,
    {
        self.table.raw_set(name, self.lua.create_function(call)?)
    }

    /// A function on the store.
    fn stored<A, R>(
        &self,
        name: &str,
        call: impl Fn(&Lua, &mut Store, Micros, A) -> mlua::Result<R> + 'static,
    ) -> mlua::Result<()>
    where
        A: FromLuaMulti,
        R: IntoLuaMulti,
    {
        let (current, env) = (Rc::clone(self.current), Rc::clone(self.env));
        self.function(name, move |lua, arguments| {
            let now = current.borrow().now.mono;
            let mut store = env
                .store
                .try_borrow_mut()
                .map_err(|_| mlua::Error::runtime("the store is being read"))?;
            call(lua, &mut store, now, arguments)
        })
    }

    fn constant(&self, name: &str, value: impl IntoLua + Copy + 'static) -> mlua::Result<()> {
        self.function(name, move |_, ()| Ok(value))
    }
}

/// Text or nothing, as the store has it: nothing is `""`.
fn or_empty(lua: &Lua, text: Option<&[u8]>) -> mlua::Result<LuaString> {
    lua.create_string(text.unwrap_or_default())
}

fn texts(api: &Api) -> mlua::Result<()> {
    for name in ["getCache", "getPref"] {
        api.stored(name, |lua, store, now, key: LuaString| {
            or_empty(lua, store.text(&key.as_bytes(), now))
        })?;
    }
    type Set = (LuaString, LuaString, Option<f64>);
    for name in ["setCache", "setPref"] {
        api.stored(name, |_, store, now, (key, value, expire_s): Set| {
            store.set_text(
                &key.as_bytes(),
                &value.as_bytes(),
                expiry(now, expire_s),
                now,
            );
            Ok(())
        })?;
    }
    for name in ["delCache", "delPref"] {
        api.stored(name, |_, store, _, key: LuaString| {
            store.remove(&key.as_bytes());
            Ok(())
        })?;
    }
    api.stored(
        "setnxCache",
        |_, store, now, (key, value, expire_s): Set| {
            let new = !store.contains(&key.as_bytes(), now);
            Ok(new
                && store.set_text(
                    &key.as_bytes(),
                    &value.as_bytes(),
                    expiry(now, expire_s),
                    now,
                ))
        },
    )?;
    api.stored(
        "incrCache",
        |_, store, now, (key, by): (LuaString, Option<i64>)| {
            let key = key.as_bytes();
            let held = store
                .text(&key, now)
                .and_then(|text| std::str::from_utf8(text).ok());
            let held: i64 = held.and_then(|text| text.parse().ok()).unwrap_or(0);
            let sum = held.saturating_add(by.unwrap_or(1));
            store.set_text(&key, sum.to_string().as_bytes(), None, now);
            Ok(sum)
        },
    )?;
    api.stored("existsCache", |_, store, now, key: LuaString| {
        Ok(store.contains(&key.as_bytes(), now))
    })?;
    api.stored("getCacheStats", |lua, store, _, ()| {
        let stats = lua.create_table()?;
        stats.raw_set("keys", store.len())?;
        stats.raw_set("bytes", store.used_bytes())?;
        stats.raw_set("limit_bytes", store.limit_bytes())?;
        stats.raw_set("refused", store.refused)?;
        Ok(stats)
    })?;
    let stats: mlua::Function = api.table.raw_get("getCacheStats")?;
    api.table.raw_set("getCacheStatus", stats)
}

/// When a key set at `now` for `seconds` is over; never for none, 0 or less.
fn expiry(now: Micros, seconds: Option<f64>) -> Option<Micros> {
    let seconds = seconds.filter(|seconds| *seconds > 0.0)?;
    Some(now + Micros((seconds * 1e6) as u64))
}

fn collections(api: &Api) -> mlua::Result<()> {
    type Two = (LuaString, LuaString);
    type Three = (LuaString, LuaString, LuaString);
    api.stored("getHashCache", |lua, store, now, (key, field): Two| {
        or_empty(lua, store.field(&key.as_bytes(), &field.as_bytes(), now))
    })?;
    api.stored(
        "setHashCache",
        |_, store, now, (key, field, value): Three| {
            store.set_field(&key.as_bytes(), &field.as_bytes(), &value.as_bytes(), now);
            Ok(())
        },
    )?;
    api.stored("delHashCache", |_, store, _, (key, field): Two| {
        store.remove_field(&key.as_bytes(), &field.as_bytes());
        Ok(())
    })?;
    api.stored("getHashAllCache", |lua, store, now, key: LuaString| {
        let key = key.as_bytes();
        let Some(fields) = store.fields(&key, now) else {
            return Ok(None);
        };
        let table = lua.create_table()?;
        let mut made = 0;
        for (field, text) in fields {
            made += 1;
            table.raw_set(lua.create_string(field)?, lua.create_string(text)?)?;
        }
        charge(lua, made * ELEMENT_UNITS)?;
        Ok(Some(table))
    })?;
    api.stored("getHashKeysCache", |lua, store, now, key: LuaString| {
        let key = key.as_bytes();
        let Some(fields) = store.fields(&key, now) else {
            return Ok(None);
        };
        let table = lua.create_table()?;
        let mut made = 0;
        for (field, _) in fields {
            made += 1;
            table.raw_set(lua.create_string(field)?, "")?;
        }
        charge(lua, made * ELEMENT_UNITS)?;
        Ok(Some(table))
    })?;
    api.stored("getMembersCache", |lua, store, now, key: LuaString| {
        let key = key.as_bytes();
        let Some(members) = store.members(&key, now) else {
            return Ok(None);
        };
        let table = lua.create_table()?;
        let mut made = 0;
        for member in members {
            made += 1;
            table.raw_push(lua.create_string(member)?)?;
        }
        charge(lua, made * ELEMENT_UNITS)?;
        Ok(Some(table))
    })?;
    api.stored("setMembersCache", |_, store, now, (key, member): Two| {
        store.add_member(&key.as_bytes(), &member.as_bytes(), now);
        Ok(())
    })?;
    api.stored("delMembersCache", |_, store, _, (key, member): Two| {
        store.remove_member(&key.as_bytes(), &member.as_bytes());
        Ok(())
    })
}

fn lists(api: &Api) -> mlua::Result<()> {
    type Two = (LuaString, LuaString);
    for (name, side) in [("lpushCache", Side::Left), ("rpushCache", Side::Right)] {
        api.stored(name, move |_, store, now, (key, value): Two| {
            store.push(&key.as_bytes(), side, &value.as_bytes(), now);
            Ok(())
        })?;
    }
    for (name, side) in [("lpopCache", Side::Left), ("rpopCache", Side::Right)] {
        api.stored(name, move |lua, store, now, key: LuaString| {
            let text = store.pop(&key.as_bytes(), side, now);
            text.map(|text| lua.create_string(text)).transpose()
        })?;
    }
    api.stored("llenCache", |_, store, now, key: LuaString| {
        Ok(store
            .list(&key.as_bytes(), now)
            .map_or(0, |list| list.len()))
    })?;
    type Range = (LuaString, Option<i64>, Option<i64>);
    api.stored(
        "lrangeCache",
        |lua, store, now, (key, first, last): Range| {
            let Some(list) = store.list(&key.as_bytes(), now) else {
                return Ok(None);
            };
            let table = lua.create_table()?;
            let (first, end) = range(list.len(), first, last);
            for text in list.iter().take(end).skip(first).take(MAX_RANGE) {
                table.raw_push(lua.create_string(text)?)?;
            }
            charge(lua, table.raw_len() * ELEMENT_UNITS)?;
            Ok(Some(table))
        },
    )?;
    api.stored("ltrimCache", |_, store, now, (key, first, last): Range| {
        let key = key.as_bytes();
        let len = store.list(&key, now).map_or(0, |list| list.len());
        let (first, end) = range(len, first, last);
        for _ in end.max(first)..len {
            store.pop(&key, Side::Right, now);
        }
        for _ in 0..first {
            store.pop(&key, Side::Left, now);
        }
        Ok(())
    })
}

/// Elements `first` to `last` of a list as Redis counts them (from 0, from -1 backwards, both included):
/// index of the first, and of the first no longer meant.
fn range(len: usize, first: Option<i64>, last: Option<i64>) -> (usize, usize) {
    let at = |index: i64| {
        let index = if index < 0 {
            index.saturating_add(len as i64)
        } else {
            index
        };
        index.clamp(-1, len as i64)
    };
    let first = at(first.unwrap_or(0)).max(0) as usize;
    let end = (at(last.unwrap_or(-1)) + 1).min(len as i64) as usize;
    (first.min(len), end)
}

fn product(api: &Api) -> mlua::Result<()> {
    let env = Rc::clone(api.env);
    api.function("getDirs", move |lua, ()| {
        let (install, working) = (&env.install_dir, &env.working_dir);
        let dirs = lua.create_table()?;
        dirs.raw_set("installdir", install.as_str())?;
        dirs.raw_set("workingdir", working.as_str())?;
        dirs.raw_set("scriptdir", format!("{install}/scripts"))?;
        dirs.raw_set("httpdocsdir", format!("{install}/httpdocs"))?;
        dirs.raw_set("callbacksdir", format!("{install}/scripts/callbacks"))?;
        dirs.raw_set("pcapdir", format!("{working}/pcap"))?;
        Ok(dirs)
    })?;
    api.function("getInfo", |lua, ()| {
        let info = lua.create_table()?;
        info.raw_set("product", "Flowreeve")?;
        info.raw_set("version", env!("CARGO_PKG_VERSION"))?;
        info.raw_set("platform", std::env::consts::ARCH)?;
        info.raw_set("OS", std::env::consts::OS)?;
        info.raw_set("pid", std::process::id())?;
        Ok(info)
    })?;
    api.constant("isnEdge", true)?;
    for name in ["isPro", "isEnterprise", "isEnterpriseM", "isEnterpriseL"] {
        api.constant(name, false)?;
    }
    for name in ["isWindows", "isShutdown", "isAdministrator"] {
        api.constant(name, false)?;
    }
    api.constant("getHttpPrefix", "")?;
    api.constant("getDeadline", 0)
}

fn system(api: &Api) -> mlua::Result<()> {
    let current = Rc::clone(api.current);
    api.function("gettimemsec", move |_, ()| {
        Ok(current.borrow().now.wall.0 as f64 / 1e6)
    })?;
    let current = Rc::clone(api.current);
    api.function("getticks", move |_, ()| Ok(current.borrow().now.mono.0))?;
    api.constant("getticksfreq", 1_000_000)?;
    api.function("msleep", |_, _: Value| -> mlua::Result<()> {
        Err(mlua::Error::runtime(
            "msleep is refused: packets wait for this script",
        ))
    })?;
    api.function("md5", |lua, text: LuaString| {
        charge(lua, text.as_bytes().len() / BYTES_PER_UNIT)?;
        let digest = Md5::digest(&*text.as_bytes());
        Ok(digest
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect::<String>())
    })?;
    api.function("isIPv6", |_, text: Value| {
        let text = text.as_string().and_then(|text| text.to_str().ok());
        Ok(text.is_some_and(|text| text.parse::<std::net::Ipv6Addr>().is_ok()))
    })?;
    api.function("getTLSVersionName", |_, version: i64| {
        Ok(match version {
            0x0002 => "SSLv2".to_owned(),
            0x0300 => "SSLv3".to_owned(),
            0x0301..=0x0304 => format!("TLSv1.{}", version - 0x0301).replace("1.0", "1"),
            _ => format!("{version}"),
        })
    })?;
    // Files are out of reach: none exists, none can be made.
    for name in ["exists", "isdir", "mkdir", "rmdir"] {
        api.constant(name, false)?;
    }
    api.function("readdir", |lua, _: Value| lua.create_table())?;
    let (current, env) = (Rc::clone(api.current), Rc::clone(api.env));
    type Trace = (
        Option<i64>,
        Option<LuaString>,
        Option<i64>,
        Option<LuaString>,
    );
    api.function("traceEvent", move |_, (level, file, line, text): Trace| {
        let level = match level.unwrap_or(2) {
            i64::MIN..=0 => log::Level::Error,
            1 => log::Level::Warn,
            2 => log::Level::Info,
            3 => log::Level::Debug,
            4.. => log::Level::Trace,
        };
        if log::log_enabled!(target: "script", level) && env.may_log(current.borrow().now.mono) {
            let file = file
                .map(|file| printable(&file.as_bytes()))
                .unwrap_or_default();
            let text = text
                .map(|text| printable(&text.as_bytes()))
                .unwrap_or_default();
            log::log!(target: "script", level, "{file}:{} {text}", line.unwrap_or(0));
        }
        Ok(())
    })
}

/// A script's text for the log: one line, of bounded length, without control characters.
fn printable(bytes: &[u8]) -> String {
    let cut = &bytes[..bytes.len().min(MAX_LOG_LINE)];
    String::from_utf8_lossy(cut)
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_counted_as_redis_does() {
        for (first, last, expected) in [
            (0, -1, (0, 3)),
            (1, 1, (1, 2)),
            (-2, -1, (1, 3)),
            (0, 99, (0, 3)),
            (2, 0, (2, 1)),
            (5, 9, (3, 3)),
            (-99, -99, (0, 0)),
            (i64::MIN, i64::MAX, (0, 3)),
        ] {
            assert_eq!(
                range(3, Some(first), Some(last)),
                expected,
                "{first} {last}"
            );
        }
    }

    #[test]
    fn a_log_line_is_one_line() {
        assert_eq!(printable(b"a\nb\x1b[31m\xff"), "a b [31m\u{fffd}");
        assert_eq!(printable(&[b'x'; 10_000]).len(), MAX_LOG_LINE);
    }
}
