//! What one call into a script may still spend, and the hook that counts it.
//!
//! Lua stops only where a hook fires or a function refuses. So there is a standing hook every
//! [`TICK`] instructions, and every function of ours whose work grows with its arguments asks
//! here first. Once something is spent the hook fires at every instruction, until the call is over: a
//! script may catch the error, but can do nothing with it.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Instant;

use mlua::{Error, HookTriggers, Lua, Result, VmState};

use super::{Limits, Overrun};

/// Instructions between two firings of the hook: what a budget is rounded to. As Suricata has it.
pub(super) const TICK: u32 = 100;
/// The same on a heap that has grown by [`FULL_BYTES`]: there a single instruction may take long, and
/// the clock must be seen in time.
const TICK_FULL: u32 = 10;
const FULL_BYTES: usize = 256 * 1024;
/// What an error raised by one of our functions costs: it holds memory Lua does not count.
const ERROR_UNITS: u64 = 200;
/// A heap this much larger than after loading makes instructions once more as dear. One instruction
/// can copy a string or collect garbage as large as the heap, so the budget must know its size.
const DEAR_BYTES: usize = 64 * 1024;

/// The budget of the running call. One unit is one Lua instruction on a heap as small as after
/// loading, about 16 bytes copied, or one step of the pattern matcher.
pub(super) struct Meter {
    limits: Limits,
    active: Cell<bool>,
    every: Cell<u32>,
    allowed: Cell<u64>,
    left: Cell<u64>,
    spent: Cell<Option<Overrun>>,
    depth: Cell<u32>,
    output: Cell<usize>,
    since: Cell<Option<Instant>>,
    heap_mark: Cell<usize>,
}

impl Meter {
    pub(super) fn new(limits: Limits) -> Self {
        Meter {
            limits,
            active: Cell::new(false),
            every: Cell::new(TICK),
            allowed: Cell::new(limits.instructions),
            left: Cell::new(limits.instructions),
            spent: Cell::new(None),
            depth: Cell::new(0),
            output: Cell::new(limits.output_bytes),
            since: Cell::new(None),
            heap_mark: Cell::new(usize::MAX),
        }
    }

    pub(super) fn limits(&self) -> &Limits {
        &self.limits
    }

    pub(super) fn allow(&self, instructions: u64) {
        self.allowed.set(instructions);
    }

    /// Takes the heap as it is for what the scripts themselves need.
    pub(super) fn mark_heap(&self, lua: &Lua) {
        self.heap_mark.set(lua.used_memory());
    }

    /// Starts a call's budget; false if one runs already, whose budget then holds on.
    pub(super) fn begin(&self) -> bool {
        if self.active.replace(true) {
            return false;
        }
        self.left.set(self.allowed.get());
        self.depth.set(0);
        self.output.set(self.limits.output_bytes);
        self.since.set(None);
        true
    }

    /// Ends what a true `begin` started, with what was overrun.
    pub(super) fn end(self: &Rc<Self>, lua: &Lua) -> Option<Overrun> {
        self.active.set(false);
        let spent = self.spent.take();
        if spent.is_some() {
            self.arm(lua, TICK);
        }
        spent
    }

    pub(super) fn spent(&self) -> Option<Overrun> {
        self.spent.get()
    }

    /// Sets the standing hook to fire `every` so many instructions.
    pub(super) fn arm(self: &Rc<Self>, lua: &Lua, every: u32) {
        self.every.set(every);
        let meter = Rc::clone(self);
        let triggers = HookTriggers::new().every_nth_instruction(every);
        lua.set_global_hook(triggers, move |lua, _| meter.tick(lua))
            .expect("setting a global hook allocates nothing in Lua");
    }

    fn tick(self: &Rc<Self>, lua: &Lua) -> Result<VmState> {
        if self.active.get() {
            let grown = lua.used_memory().saturating_sub(self.heap_mark.get());
            let dear = 1 + (grown / DEAR_BYTES) as u64;
            self.charge(
                lua,
                u64::from(self.every.get()) * dear,
                Overrun::Instructions,
            )?;
            self.look_at_the_clock(lua)?;
            let every = if grown < FULL_BYTES { TICK } else { TICK_FULL };
            if every != self.every.get() {
                self.arm(lua, every);
            }
        }
        Ok(VmState::Continue)
    }

    fn look_at_the_clock(self: &Rc<Self>, lua: &Lua) -> Result<()> {
        let Some(wall) = self.limits.wall else {
            return Ok(());
        };
        // The first tick starts the clock: most calls end before it and never read one.
        match self.since.get() {
            Some(since) if since.elapsed() >= wall => Err(self.overrun(lua, Overrun::Time)),
            Some(_) => Ok(()),
            None => {
                self.since.set(Some(Instant::now()));
                Ok(())
            }
        }
    }

    /// Takes `units` from the budget; an error if it had fewer or something is spent already.
    pub(super) fn charge(self: &Rc<Self>, lua: &Lua, units: u64, what: Overrun) -> Result<()> {
        if !self.active.get() {
            return Ok(());
        }
        match self.left.get().checked_sub(units) {
            Some(left) if self.spent.get().is_none() => {
                self.left.set(left);
                Ok(())
            }
            _ => Err(self.overrun(lua, what)),
        }
    }

    /// Runs a matcher on the budget.
    pub(super) fn steps<T>(&self, run: impl FnOnce(&mut u64) -> T) -> T {
        let mut left = self.left.get();
        let result = run(&mut left);
        if self.active.get() {
            self.left.set(left);
        }
        result
    }

    /// Gives up the call, for the first reason there was; the error to raise.
    pub(super) fn overrun(self: &Rc<Self>, lua: &Lua, what: Overrun) -> Error {
        if self.spent.get().is_none() {
            self.spent.set(Some(what));
            self.arm(lua, 1);
        }
        self.as_error()
    }

    /// The error that stops a call that is spent.
    fn as_error(&self) -> Error {
        Error::runtime(self.spent.get().unwrap_or(Overrun::Instructions))
    }

    /// A protected call begins.
    pub(super) fn enter(self: &Rc<Self>, lua: &Lua) -> Result<()> {
        self.depth.set(self.depth.get() + 1);
        if self.active.get() && self.depth.get() > self.limits.pcall_depth {
            return Err(self.overrun(lua, Overrun::Depth));
        }
        Ok(())
    }

    /// A protected call has ended; raises again what it cannot have swallowed for good.
    pub(super) fn leave(&self) -> Result<()> {
        self.depth.set(self.depth.get().saturating_sub(1));
        match self.spent.get() {
            Some(_) => Err(self.as_error()),
            None => Ok(()),
        }
    }

    /// Pays for an error one of our functions is about to raise.
    pub(super) fn pay_for_error(&self) {
        self.left.set(self.left.get().saturating_sub(ERROR_UNITS));
    }

    /// How many of `wanted` bytes may still be printed.
    pub(super) fn output(&self, wanted: usize) -> usize {
        if !self.active.get() {
            return wanted;
        }
        let given = wanted.min(self.output.get());
        self.output.set(self.output.get() - given);
        given
    }
}
