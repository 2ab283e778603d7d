//! The table `interface` that scripts see: there is one, the inline queue, and it knows nDPI's names.

use std::rc::Rc;

use mlua::{FromLuaMulti, IntoLuaMulti, Lua, Table, Value};

use crate::l7::{Category, Proto};
use crate::script::env::Env;

/// Number of the one interface.
const ID: i64 = 0;

/// Makes the global `interface`.
pub fn install(lua: &Lua, env: &Rc<Env>) -> mlua::Result<()> {
    let table = lua.create_table()?;
    set(lua, &table, "getId", |_, ()| Ok(ID))?;
    set(lua, &table, "select", |_, _: Value| Ok(()))?;
    set(lua, &table, "isPacketInterface", |_, ()| Ok(true))?;
    set(lua, &table, "isView", |_, ()| Ok(false))?;
    set(lua, &table, "isViewed", |_, ()| Ok(false))?;
    let names = Rc::clone(env);
    set(lua, &table, "getIfNames", move |lua, ()| {
        let table = lua.create_table()?;
        table.raw_set(ID.to_string(), names.interface_name.as_str())?;
        Ok(table)
    })?;
    let names = Rc::clone(env);
    set(lua, &table, "getStats", move |lua, ()| {
        let table = lua.create_table()?;
        table.raw_set("id", ID)?;
        table.raw_set("name", names.interface_name.as_str())?;
        table.raw_set("description", names.interface_name.as_str())?;
        table.raw_set("type", "nfqueue")?;
        for counted in [
            "stats",
            "stats_since_reset",
            "anomalies",
            "ndpi",
            "ndpi_categories",
        ] {
            table.raw_set(counted, lua.create_table()?)?;
        }
        Ok(table)
    })?;
    set(lua, &table, "getnDPIProtoId", |_, name: Value| {
        Ok(text(&name)
            .and_then(|name| Proto::by_name(&name))
            .map_or(-1, |proto| i64::from(proto.0)))
    })?;
    set(lua, &table, "getnDPIProtoName", |_, id: Value| {
        Ok(number(&id).map_or(Proto::UNKNOWN, Proto).name())
    })?;
    set(lua, &table, "getnDPICategoryId", |_, name: Value| {
        Ok(text(&name)
            .and_then(|name| Category::by_name(&name))
            .map_or(-1, |category| i64::from(category.0)))
    })?;
    set(lua, &table, "getnDPICategoryName", |_, id: Value| {
        Ok(number(&id).map_or(Category(0), Category).name())
    })?;
    lua.globals().set("interface", table)
}

fn set<A, R>(
    lua: &Lua,
    table: &Table,
    name: &str,
    call: impl Fn(&Lua, A) -> mlua::Result<R> + 'static,
) -> mlua::Result<()>
where
    A: FromLuaMulti,
    R: IntoLuaMulti,
{
    table.raw_set(name, lua.create_function(call)?)
}

fn text(value: &Value) -> Option<String> {
    value.as_string().map(|text| text.to_string_lossy())
}

fn number<T: TryFrom<i64>>(value: &Value) -> Option<T> {
    let whole = match value {
        Value::Integer(number) => *number,
        Value::Number(number) if number.fract() == 0.0 => *number as i64,
        _ => return None,
    };
    T::try_from(whole).ok()
}
