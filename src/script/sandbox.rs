//! The Lua state scripts run in, as the loader and the runner need it: text chunks only, few libraries, a bound
//! on the instructions of one call and on memory. A loop that catches its own errors, and one inside a pattern
//! match, are not stopped here.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fmt;
use std::rc::Rc;

use mlua::chunk::ChunkMode;
use mlua::debug::HookTriggers;
use mlua::{FromLuaMulti, Function, IntoLuaMulti, Lua, LuaOptions, StdLib, Table, Value, VmState};

/// Instructions between two looks at the budget.
const STEP: u32 = 1_000;

/// What one state may use.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Lua instructions of one call.
    pub instructions: u64,
    /// Heap of the state, bytes.
    pub memory_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            instructions: 500_000,
            memory_bytes: 16 * 1024 * 1024,
        }
    }
}

/// Where what scripts print goes.
#[derive(Clone, Debug, Default)]
pub enum Output {
    /// Standard output.
    #[default]
    Stdout,
}

/// Why a call failed.
#[derive(Clone, Debug)]
pub enum CallError {
    /// The script raised an error.
    Script(String),
    /// It took too long, or too much memory.
    Overrun(String),
}

impl CallError {
    /// Whether a limit was reached.
    pub fn is_overrun(&self) -> bool {
        matches!(self, CallError::Overrun(_))
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CallError::Script(text) | CallError::Overrun(text) => f.write_str(text),
        }
    }
}

impl From<mlua::Error> for CallError {
    fn from(error: mlua::Error) -> Self {
        match error {
            mlua::Error::MemoryError(text) => CallError::Overrun(text),
            other => CallError::Script(other.to_string()),
        }
    }
}

/// A state with its limits.
pub struct Sandbox {
    lua: Lua,
    sources: Rc<RefCell<HashMap<String, String>>>,
    modules: Table,
    limits: Limits,
    left: Rc<Cell<u64>>,
}

impl Sandbox {
    /// A state with `require` and the libraries `table`, `string`, `math`, `utf8`, and the harmless
    /// part of `os` and `io`.
    pub fn new(limits: Limits, _output: Output) -> mlua::Result<Sandbox> {
        let libraries = StdLib::TABLE | StdLib::STRING | StdLib::MATH | StdLib::UTF8;
        let lua = Lua::new_with(libraries | StdLib::OS | StdLib::IO, LuaOptions::default())?;
        for (library, harmless) in [
            ("os", &["time", "date", "clock", "difftime"][..]),
            ("io", &["write"]),
        ] {
            let all: Table = lua.globals().get(library)?;
            let kept = lua.create_table()?;
            for name in harmless {
                kept.raw_set(*name, all.raw_get::<Value>(*name)?)?;
            }
            lua.globals().set(library, kept)?;
        }
        for name in ["load", "loadfile", "dofile", "collectgarbage"] {
            lua.globals().set(name, Value::Nil)?;
        }
        lua.set_memory_limit(limits.memory_bytes)?;
        let left = Rc::new(Cell::new(u64::MAX));
        let counter = Rc::clone(&left);
        lua.set_hook(
            HookTriggers::new().every_nth_instruction(STEP),
            move |_, _| {
                counter.set(counter.get().saturating_sub(u64::from(STEP)));
                if counter.get() == 0 {
                    return Err(mlua::Error::runtime("instruction budget exceeded"));
                }
                Ok(VmState::Continue)
            },
        )?;
        let sources: Rc<RefCell<HashMap<String, String>>> = Rc::default();
        let modules = lua.create_table()?;
        let (known, loaded) = (Rc::clone(&sources), modules.clone());
        let require = lua.create_function(move |lua, name: String| {
            let present: Value = loaded.raw_get(name.as_str())?;
            if !present.is_nil() {
                return Ok(present);
            }
            let source = known.borrow().get(&name).cloned();
            let source =
                source.ok_or_else(|| mlua::Error::runtime(format!("module '{name}' not found")))?;
            let chunk = lua.load(source).set_name(format!("={name}"));
            let value: Value = chunk.set_mode(ChunkMode::Text).call(())?;
            loaded.raw_set(name, &value)?;
            Ok(value)
        })?;
        lua.globals().set("require", require)?;
        Ok(Sandbox {
            lua,
            sources,
            modules,
            limits,
            left,
        })
    }

    /// The state.
    pub fn lua(&self) -> &Lua {
        &self.lua
    }

    /// A module that is run when first required.
    pub fn register_module(&self, name: &str, source: &str) -> mlua::Result<()> {
        self.sources.borrow_mut().insert(name.into(), source.into());
        Ok(())
    }

    /// A module that is there already.
    pub fn register_value(&self, name: &str, value: Value) -> mlua::Result<()> {
        self.modules.raw_set(name, value)
    }

    /// Whether `require` knows `name`.
    pub fn has_module(&self, name: &str) -> bool {
        self.sources.borrow().contains_key(name) || self.modules.contains_key(name).unwrap_or(false)
    }

    /// Sets the clock of `os.time` and its kin. Here they follow the system's.
    pub fn set_wall_secs(&self, _secs: u64) {}

    /// Compiles Lua text; `name` is what errors call it.
    pub fn load_text(&self, name: &str, text: &str) -> Result<Function, CallError> {
        let chunk = self.lua.load(text).set_name(format!("@{name}"));
        Ok(chunk.set_mode(ChunkMode::Text).into_function()?)
    }

    /// Calls a function within the limits.
    pub fn call<A, R>(&self, function: &Function, args: A) -> Result<R, CallError>
    where
        A: IntoLuaMulti,
        R: FromLuaMulti,
    {
        self.left.set(self.limits.instructions);
        let result = function.call(args);
        let spent = self.left.replace(u64::MAX) == 0;
        result.map_err(|error| {
            if spent {
                CallError::Overrun(error.to_string())
            } else {
                error.into()
            }
        })
    }
}
