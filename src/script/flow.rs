//! The table `flow` that flow scripts see: ntopng's names, types and nils.
//!
//! Every function reads the flow its hook runs for (see [`Current`]); outside a hook it returns no value.
//! All functions are installed once a Lua state and bound to the slot, so that a call makes nothing but its
//! result. What this leaves to others: filling the slot and running hooks (the runner), choosing and
//! recording the alert at the end of an event (the loader).

mod fields;
mod full;
mod info;
mod protocol;
mod risk;
mod status;
mod view;

use std::rc::Rc;

use mlua::{IntoLua, IntoLuaMulti, Lua, MultiValue, Table};

pub use fields::key_hash;
pub use risk::RISKS;
pub use status::{CUSTOM_SCRIPT_ALERT, CUSTOM_SCRIPT_STATUS};

use crate::script::current::{Current, Slot};
use crate::script::env::Env;
use view::View;

/// Makes the global `flow`.
pub fn install(lua: &Lua, current: &Current, env: &Rc<Env>) -> mlua::Result<()> {
    let api = Api {
        lua,
        table: lua.create_table()?,
        current,
        env,
    };
    fields::install(&api)?;
    protocol::install(&api)?;
    info::install(&api)?;
    full::install(&api)?;
    status::install(&api)?;
    lua.globals().set("flow", api.table)
}

/// Where the functions go and what they are bound to.
struct Api<'a> {
    lua: &'a Lua,
    table: Table,
    current: &'a Current,
    env: &'a Rc<Env>,
}

impl Api<'_> {
    /// A function that reads the flow and always has an answer.
    fn get<T: IntoLua>(
        &self,
        name: &str,
        read: impl Fn(&View) -> mlua::Result<T> + 'static,
    ) -> mlua::Result<()> {
        self.find(name, move |view| read(view).map(Some))
    }

    /// A function that reads the flow; without an answer it returns no value.
    fn find<T: IntoLua>(
        &self,
        name: &str,
        read: impl Fn(&View) -> mlua::Result<Option<T>> + 'static,
    ) -> mlua::Result<()> {
        let (current, env) = (Rc::clone(self.current), Rc::clone(self.env));
        let function = self.lua.create_function(move |lua, ()| {
            let slot = current.borrow();
            if !slot.active {
                return Ok(Answer(None));
            }
            read(&View {
                lua,
                slot: &slot,
                env: &env,
            })
            .map(Answer)
        })?;
        self.table.raw_set(name, function)
    }

    /// A function with arguments. `parse` makes sense of them before the slot is taken (their metamethods
    /// are scripts too); `act` then reads or changes the slot and calls no Lua.
    fn act<A: 'static, T: IntoLua>(
        &self,
        name: &str,
        parse: impl Fn(&Lua, MultiValue) -> mlua::Result<A> + 'static,
        act: impl Fn(&mut Slot, A) -> Option<T> + 'static,
    ) -> mlua::Result<()> {
        let current = Rc::clone(self.current);
        let busy = || mlua::Error::runtime("the flow is being read");
        let function = self.lua.create_function(move |lua, values: MultiValue| {
            if !current.borrow().active {
                return Ok(Answer(None));
            }
            let arguments = parse(lua, values)?;
            let mut slot = current.try_borrow_mut().map_err(|_| busy())?;
            Ok(Answer(act(&mut slot, arguments)))
        })?;
        self.table.raw_set(name, function)
    }

    /// The same function under a second name.
    fn alias(&self, name: &str, of: &str) -> mlua::Result<()> {
        let function: mlua::Function = self.table.raw_get(of)?;
        self.table.raw_set(name, function)
    }
}

/// One value, or none at all (which `select('#', ...)` can tell from nil).
struct Answer<T>(Option<T>);

impl<T: IntoLua> IntoLuaMulti for Answer<T> {
    fn into_lua_multi(self, lua: &Lua) -> mlua::Result<MultiValue> {
        match self.0 {
            None => Ok(MultiValue::new()),
            Some(value) => (value,).into_lua_multi(lua),
        }
    }
}
