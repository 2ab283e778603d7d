//! What a script may reach and how long it may run.
//!
//! Scripts are bounded, not trusted: the libraries are an allow-list (`sandbox/base.lua`), chunks are
//! text, a call has a budget (`sandbox/meter.rs`), and what one script writes into a library stays its own.
//! What is left to others: the tables of the engine (`flow`, `ntop`, ...), which are globals set before
//! [`Sandbox::seal`]; which scripts there are; what happens to one that overruns.

mod host;
mod meter;
mod strings;

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use mlua::chunk::ChunkMode;
use mlua::{Error, FromLuaMulti, Function, IntoLuaMulti, Lua, LuaOptions, StdLib, Table, Value};

use crate::script::env::Charge;
use meter::Meter;

/// How full the heap may be after a call before it is collected by hand. One that stays fuller is collected
/// again when it has taken half of what was left.
const HEAP_FULL: f64 = 0.75;

/// What one call may use.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Lua instructions a call, and with them pattern steps, bytes copied and elements moved by library
    /// functions. Counted in hundreds; the fuller the heap, the faster they are spent.
    pub instructions: u64,
    /// Bytes of the whole Lua heap.
    pub memory_bytes: usize,
    /// Time a call, for what counting cannot see (collecting garbage, copying long strings). Looked at only
    /// every 100 instructions. It runs on while another process has the core, so keep it well above a time slice.
    /// `None`: counts alone decide, as replay needs it.
    pub wall: Option<Duration>,
    /// How deep `pcall` may nest.
    pub pcall_depth: u32,
    /// Bytes a call may print; what is beyond is lost.
    pub output_bytes: usize,
    /// Bytes of the text of an error; cut there.
    pub error_bytes: usize,
    /// Bytes of the text of a chunk.
    pub source_bytes: usize,
}

impl Default for Limits {
    /// 500,000 instructions as Suricata has it, 4 MiB, no clock.
    fn default() -> Self {
        Limits {
            instructions: 500_000,
            memory_bytes: 4 << 20,
            wall: None,
            pcall_depth: 32,
            output_bytes: 16 << 10,
            error_bytes: 500,
            source_bytes: 512 << 10,
        }
    }
}

/// What a call used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Overrun {
    /// [`Limits::instructions`].
    Instructions,
    /// [`Limits::memory_bytes`].
    Memory,
    /// [`Limits::instructions`], in the pattern matcher.
    PatternSteps,
    /// [`Limits::pcall_depth`].
    Depth,
    /// [`Limits::wall`].
    Time,
}

impl fmt::Display for Overrun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Overrun::Instructions => "instruction budget spent",
            Overrun::Memory => "memory limit reached",
            Overrun::PatternSteps => "instruction budget spent in a pattern",
            Overrun::Depth => "protected calls nested too deep",
            Overrun::Time => "time limit reached",
        })
    }
}

/// Why a call gave no result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The script's own error: file, line and what Lua says, without a traceback.
    #[error("{0}")]
    Error(String),
    /// It was stopped.
    #[error("{what}")]
    Overrun {
        /// By which limit.
        what: Overrun,
    },
}

impl CallError {
    /// It was stopped, whatever it had in mind.
    pub fn is_overrun(&self) -> bool {
        matches!(self, CallError::Overrun { .. })
    }
}

impl From<Error> for CallError {
    fn from(error: Error) -> Self {
        if is_memory(&error) {
            CallError::Overrun {
                what: Overrun::Memory,
            }
        } else {
            CallError::Error(message(&error))
        }
    }
}

/// Why there is no sandbox.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// Lua refused, most likely for want of memory.
    #[error("cannot prepare the Lua state within {memory_bytes} bytes")]
    Prepare {
        /// The limit it had.
        memory_bytes: usize,
        /// What Lua says.
        #[source]
        source: Error,
    },
}

/// Where `print` and `io.write` go: called with whole pieces as they come.
pub type Output = Rc<dyn Fn(&[u8])>;

/// Makes the value of a module.
pub type ModuleBuilder = Rc<dyn Fn(&Lua) -> mlua::Result<Value>>;

/// What `require` runs for a module, once a state.
#[derive(Clone)]
pub enum ModuleSource {
    /// Lua text; runs in the engine's own globals, within the budget of the call that requires it.
    Text {
        /// The text.
        source: Cow<'static, [u8]>,
        /// Lua's name for it: `@file.lua`.
        chunk_name: String,
    },
    /// A Rust function.
    Build(ModuleBuilder),
}

impl ModuleSource {
    /// A module of ours, in Lua; `name` without `.lua`.
    pub fn text(name: &str, source: &str) -> ModuleSource {
        ModuleSource::Text {
            source: Cow::Owned(source.as_bytes().to_vec()),
            chunk_name: format!("@{name}.lua"),
        }
    }

    /// A module that is there already.
    pub fn value(value: Value) -> ModuleSource {
        ModuleSource::Build(Rc::new(move |_| Ok(value.clone())))
    }
}

type Modules = Rc<RefCell<HashMap<String, ModuleSource>>>;

/// One Lua state, shared by the scripts of one thread.
///
/// Shared among scripts by contract: globals they make themselves, tables that carry a metatable, the
/// sequence of `math.random`. All else each script sees through views of its own.
pub struct Sandbox {
    lua: Lua,
    meter: Rc<Meter>,
    modules: Modules,
    wall_secs: Rc<Cell<u64>>,
    new_env: Function,
    collect_above: Cell<usize>,
}

impl Sandbox {
    /// A fresh state with the libraries and nothing else.
    pub fn new(limits: Limits, output: Output) -> Result<Sandbox, SandboxError> {
        Self::prepare(limits, output).map_err(|source| SandboxError::Prepare {
            memory_bytes: limits.memory_bytes,
            source,
        })
    }

    fn prepare(limits: Limits, output: Output) -> mlua::Result<Sandbox> {
        let libraries = StdLib::TABLE | StdLib::STRING | StdLib::MATH | StdLib::UTF8 | StdLib::OS;
        let lua = Lua::new_with(libraries, LuaOptions::default())?;
        lua.set_memory_limit(limits.memory_bytes)?;
        let meter = Rc::new(Meter::new(limits));
        let modules = Modules::default();
        let wall_secs = Rc::new(Cell::new(0));

        let given = lua.create_table()?;
        let globals = lua.globals();
        for pair in globals.pairs::<Value, Value>() {
            let (name, value) = pair?;
            given.raw_set(name, value)?;
        }
        globals.clear()?;
        let host = host::functions(&lua, &meter, &modules, &wall_secs, output)?;
        let new_env = lua
            .load(include_str!("sandbox/base.lua"))
            .set_name("=[sandbox]")
            .set_mode(ChunkMode::Text)
            .call((given, host, globals))?;

        let payer = Rc::clone(&meter);
        let weak = lua.weak();
        lua.set_app_data(Charge(Box::new(move |units| match weak.try_upgrade() {
            Some(lua) => payer.charge(&lua, units, Overrun::Instructions),
            None => Ok(()),
        })));
        meter.arm(&lua, meter::TICK);
        Ok(Sandbox {
            lua,
            meter,
            modules,
            wall_secs,
            new_env,
            collect_above: Cell::new((limits.memory_bytes as f64 * HEAP_FULL) as usize),
        })
    }

    /// The state, for the engine's own tables and values. What is called through it directly has no budget.
    pub fn lua(&self) -> &Lua {
        &self.lua
    }

    /// What `require(name)` gives from now on; a module already required stays as it is.
    pub fn register_module(&self, name: &str, source: ModuleSource) {
        self.modules.borrow_mut().insert(name.to_owned(), source);
    }

    /// Whether `require(name)` would find a module.
    pub fn has_module(&self, name: &str) -> bool {
        const LIBRARIES: [&str; 8] = ["_G", "string", "table", "math", "utf8", "io", "os", "debug"];
        LIBRARIES.contains(&name) || self.modules.borrow().contains_key(name)
    }

    /// To be called when the engine's globals and the scripts are loaded, before the first hook: collects what
    /// loading left behind. From then on a heap larger than this one makes instructions dearer.
    pub fn seal(&self) -> mlua::Result<()> {
        self.lua.gc_collect()?;
        self.meter.mark_heap(&self.lua);
        Ok(())
    }

    /// The globals of one script: reads find the engine's globals, then those other scripts made; a write to
    /// a name or library of the engine stays in this environment, a write to any other name is seen by all.
    pub fn script_env(&self) -> Result<Table, CallError> {
        self.new_env.call(()).map_err(|error| self.told(&error))
    }

    /// Compiles `source`, text only, to run in `env`. A first line that starts with `#` is skipped, as is a byte
    /// order mark. `chunk_name` is Lua's: `@file.lua`.
    pub fn load(
        &self,
        source: &[u8],
        chunk_name: &str,
        env: &Table,
    ) -> Result<Function, CallError> {
        let limit = self.meter.limits().source_bytes;
        if source.len() > limit {
            let name = chunk_name.trim_start_matches(['@', '=']);
            return Err(CallError::Error(format!(
                "{name}: longer than {limit} bytes"
            )));
        }
        let loaded = self
            .lua
            .load(text_of(source))
            .set_name(chunk_name)
            .set_mode(ChunkMode::Text)
            .set_environment(env.clone())
            .into_function();
        loaded.map_err(|error| self.told(&error))
    }

    /// Instructions for each call from now on; loading a script may need more than a hook.
    pub fn allow_instructions(&self, instructions: u64) {
        self.meter.allow(instructions);
    }

    /// The time that `os.time()` and `os.date()` tell, seconds since 1970.
    pub fn set_wall_secs(&self, secs: u64) {
        self.wall_secs.set(secs);
    }

    /// Bytes of the Lua heap in use.
    pub fn used_memory(&self) -> usize {
        self.lua.used_memory()
    }

    /// Runs `f` within the limits. A call made while another runs shares that one's budget.
    ///
    /// The state stays usable whatever the error.
    pub fn call<R: FromLuaMulti>(
        &self,
        f: &Function,
        args: impl IntoLuaMulti,
    ) -> Result<R, CallError> {
        let outermost = self.meter.begin();
        let result = f.call::<R>(args);
        let spent = if outermost {
            self.meter.end(&self.lua)
        } else {
            self.meter.spent()
        };
        let result = match (result, spent) {
            (_, Some(what)) => Err(CallError::Overrun { what }),
            (Ok(value), None) => Ok(value),
            (Err(error), None) => Err(self.told(&error)),
        };
        if outermost {
            self.tidy(result.is_err());
        }
        result
    }

    /// Collects where Lua itself would not in time: its emergency collection runs no destructor.
    fn tidy(&self, failed: bool) {
        let limit = self.meter.limits().memory_bytes;
        if self.lua.used_memory() > self.collect_above.get()
            || failed && self.lua.used_memory() > limit / 2
        {
            // A finalizer of ours cannot fail; were it to, the heap is as before.
            let _ = self.lua.gc_collect();
            let full = (limit as f64 * HEAP_FULL) as usize;
            self.collect_above
                .set(full.max(self.lua.used_memory().midpoint(limit)));
        }
    }

    fn told(&self, error: &Error) -> CallError {
        if is_memory(error) {
            return CallError::Overrun {
                what: Overrun::Memory,
            };
        }
        let mut text = message(error);
        text.truncate(text.floor_char_boundary(self.meter.limits().error_bytes));
        CallError::Error(text)
    }
}

fn is_memory(error: &Error) -> bool {
    match error {
        Error::MemoryError(_) => true,
        Error::CallbackError { cause, .. } => is_memory(cause),
        _ => false,
    }
}

/// What Lua says, without the traceback. Where it names a line of ours, the script's line that led there.
fn message(error: &Error) -> String {
    let text = match error {
        Error::CallbackError { cause, .. } => return message(cause),
        Error::SyntaxError { message, .. } => message,
        Error::RuntimeError(text) | Error::MemoryError(text) => text,
        other => return other.to_string(),
    };
    let (text, trace) = text.split_once("\nstack traceback:").unwrap_or((text, ""));
    let Some(rest) = host::without_our_place(text.as_bytes()) else {
        return text.to_owned();
    };
    // A frame reads "<file>:<line>: in <function>".
    let frames = trace.lines().map(str::trim_start);
    let places = frames
        .filter_map(|frame| frame.split_once(": in "))
        .map(|(place, _)| place);
    let place = places.into_iter().find(|place| !place.starts_with('['));
    let rest = String::from_utf8_lossy(rest);
    place.map_or(rest.to_string(), |place| format!("{place}: {rest}"))
}

/// A file's text as Lua's own loader takes it: without byte order mark and `#` line, lines counted alike.
fn text_of(source: &[u8]) -> &[u8] {
    let text = source.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(source);
    if !text.starts_with(b"#") {
        return text;
    }
    let end = text
        .iter()
        .position(|byte| *byte == b'\n')
        .unwrap_or(text.len());
    &text[end..]
}
