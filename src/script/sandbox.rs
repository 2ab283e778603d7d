//! The seam to a Lua state: what the loader and the runner need of it. Limits are not held here.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use mlua::{FromLuaMulti, Function, IntoLuaMulti, Lua, LuaOptions, StdLib, Value};

/// Limits.
#[derive(Clone, Copy, Debug, Default)]
pub struct Limits {}

/// Output.
#[derive(Clone, Default)]
pub struct Output {}

/// Why a call failed.
#[derive(Debug)]
pub enum CallError {
    /// Script error.
    Script(String),
    /// Over budget.
    Budget(String),
}

/// Stand-in.
pub struct Sandbox {
    lua: Lua,
    modules: Rc<RefCell<HashMap<String, String>>>,
    loaded: mlua::Table,
}

impl Sandbox {
    /// New.
    pub fn new(_: Limits, _: Output) -> mlua::Result<Sandbox> {
        let lua = Lua::new_with(
            StdLib::TABLE | StdLib::STRING | StdLib::MATH | StdLib::UTF8 | StdLib::OS | StdLib::IO,
            LuaOptions::default(),
        )?;
        let modules: Rc<RefCell<HashMap<String, String>>> = Rc::default();
        let loaded = lua.create_table()?;
        let keep = loaded.clone();
        let shared = Rc::clone(&modules);
        let require = lua.create_function(move |lua, name: String| {
            if let Some(value) = loaded.raw_get::<Option<Value>>(name.as_str())? {
                return Ok(value);
            }
            let source = shared.borrow().get(&name).cloned();
            let source =
                source.ok_or_else(|| mlua::Error::runtime(format!("module '{name}' not found")))?;
            let value: Value = lua.load(source).set_name(format!("={name}")).call(())?;
            loaded.raw_set(name, &value)?;
            Ok(value)
        })?;
        lua.globals().set("require", require)?;
        Ok(Sandbox {
            lua,
            modules,
            loaded: keep,
        })
    }
    /// The state.
    pub fn lua(&self) -> &Lua {
        &self.lua
    }
    /// Module.
    pub fn register_module(&self, name: &str, source: &str) -> mlua::Result<()> {
        self.modules.borrow_mut().insert(name.into(), source.into());
        Ok(())
    }
    /// Module.
    pub fn register_value(&self, name: &str, value: Value) -> mlua::Result<()> {
        self.loaded.raw_set(name, value)
    }
    /// Whether there is such a module.
    pub fn has_module(&self, name: &str) -> bool {
        self.modules.borrow().contains_key(name) || self.loaded.contains_key(name).unwrap_or(false)
    }
    /// The clock.
    pub fn set_wall_secs(&self, _: u64) {}
    /// Load.
    pub fn load_text(&self, name: &str, source: &str) -> Result<Function, CallError> {
        let chunk = self.lua.load(source).set_name(format!("@{name}"));
        chunk
            .into_function()
            .map_err(|e| CallError::Script(e.to_string()))
    }
    /// Call.
    pub fn call<A: IntoLuaMulti, R: FromLuaMulti>(
        &self,
        f: &Function,
        args: A,
    ) -> Result<R, CallError> {
        f.call(args).map_err(|e| {
            let text = e.to_string();
            if text.contains("over budget") {
                CallError::Budget(text)
            } else {
                CallError::Script(text)
            }
        })
    }
}

impl std::fmt::Display for CallError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            CallError::Script(text) | CallError::Budget(text) => f.write_str(text),
        }
    }
}
impl CallError {
    /// Over budget.
    pub fn is_overrun(&self) -> bool {
        matches!(self, CallError::Budget(_))
    }
}
impl From<mlua::Error> for CallError {
    fn from(e: mlua::Error) -> Self {
        CallError::Script(e.to_string())
    }
}
