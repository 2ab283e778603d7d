//! Scripts on the packet path: one Lua state a packet thread, its hooks, and what they may do to a flow.
//!
//! Loading is [`load`]'s, limits are the sandbox's, what scripts see is in `flow`, `ntop` and their kin. Here an
//! event runs: the scripts of a hook by priority, each on its own feet, then the alert.

pub mod catalog;
pub mod configset;
pub mod current;
pub mod definitions;
pub mod env;
pub mod flow;
pub mod form;
pub mod interface;
pub mod json;
pub mod locale;
pub mod ntop;
pub mod pattern;
pub mod plugin;
pub mod prelude;
pub mod sandbox;
pub mod spelling;
pub mod store;
pub mod user_script;

mod alert;
mod load;
mod needs;

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::rc::Rc;
use std::sync::Arc;

use mlua::{Function, Table, Value};

pub use load::Sources;

use crate::events::Alert;
use crate::flow::{Detail, Flow, flag};
use crate::score::{MAX_SCORE, ScoreMode};
use crate::script::catalog::{Catalog, Filter, State};
use crate::script::current::{Current, Hook, Slot};
use crate::script::env::Env;
use crate::script::load::Loaded;
use crate::script::locale::SharedLocales;
use crate::script::sandbox::{CallError, Limits, ModuleSource, Output, Sandbox, SandboxError};
use crate::time::Now;

/// Overruns after which a script is stopped until the next load.
pub const MAX_STRIKES: u32 = 10;
/// Kinds of errors of one script that are logged; more are only counted.
const MAX_LOGGED: usize = 8;
/// Seconds between two `periodicUpdate` of a flow (plugin contract 5.3).
pub const PERIOD_SECS: u32 = 60;

/// Which scripts of a hook a call of [`Scripts::run`] is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Those marked `early`: the request is known and has not left yet.
    Early,
    /// All others, and the early ones if they have not had their turn.
    Complete,
    /// All.
    All,
}

/// What a script has cost and done since it was loaded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Hook calls.
    pub calls: u64,
    /// Calls that ended with an error of the script.
    pub errors: u64,
    /// Calls that were stopped because they took too long or too much memory.
    pub overruns: u64,
    /// No longer called, because of its overruns.
    pub stopped: bool,
}

/// Why no script at all can run.
#[derive(Debug, thiserror::Error)]
pub enum ScriptsError {
    /// The Lua state could not be made ready: memory, or a mistake of ours.
    #[error("cannot make the Lua state for scripts: {0}")]
    State(String),
}

impl From<SandboxError> for ScriptsError {
    fn from(error: SandboxError) -> Self {
        let SandboxError::Prepare { source, .. } = &error;
        ScriptsError::State(format!("{error}: {source}"))
    }
}

impl From<mlua::Error> for ScriptsError {
    /// By its text: Lua's errors may not leave their thread.
    fn from(error: mlua::Error) -> Self {
        ScriptsError::State(error.to_string())
    }
}

/// How a state is made.
#[derive(Clone)]
pub struct Settings {
    /// What one script may use.
    pub limits: Limits,
    /// Where `print` goes.
    pub output: Output,
    /// How scores add up.
    pub score_mode: ScoreMode,
}

/// One script at one hook.
struct Call {
    script: u16,
    early: bool,
    filter: Filter,
    function: Function,
    conf: Table,
}

/// What is noted of a script while it runs.
#[derive(Default)]
struct Record {
    counters: Counters,
    logged: heapless::Vec<u64, MAX_LOGGED>,
}

/// The scripts of one packet thread.
pub struct Scripts {
    sandbox: Sandbox,
    current: Current,
    catalog: Arc<Catalog>,
    locales: SharedLocales,
    statuses: BTreeMap<u8, Table>,
    loaded: Vec<Loaded>,
    /// By hook; higher priority first, then by key.
    calls: [Vec<Call>; Hook::ALL.len()],
    /// By script.
    records: Box<[Record]>,
    alerts: bool,
}

impl Scripts {
    /// Makes a Lua state with all that `sources` names. A bad plugin is no error: it is in the catalogue's
    /// findings. Scripts find `now` on their clock while they load.
    pub fn load(
        sources: &Sources,
        settings: &Settings,
        env: &Rc<Env>,
        now: Now,
    ) -> Result<Scripts, ScriptsError> {
        let sandbox = Sandbox::new(settings.limits, settings.output.clone())?;
        let current = Current::default();
        current.borrow_mut().score_mode = settings.score_mode;
        set_clock(&sandbox, &current, now);
        let locales = SharedLocales::default();
        let i18n = locale::install(sandbox.lua(), &locales)?;
        sandbox.register_module("i18n", ModuleSource::value(Value::Table(i18n)));
        for (name, value) in prelude::install(sandbox.lua(), &current, env)? {
            sandbox.register_module(name, ModuleSource::value(value));
        }
        for (name, source) in definitions::MODULES {
            sandbox.register_module(name, ModuleSource::text(name, source));
        }
        let outcome = load::load(&sandbox, &locales, sources)?;
        sandbox.seal()?;
        let calls = Hook::ALL.map(|hook| calls_of(hook, &outcome.scripts, &outcome.catalog));
        let records = outcome
            .catalog
            .scripts
            .iter()
            .map(|_| Record::default())
            .collect();
        Ok(Scripts {
            sandbox,
            current,
            catalog: Arc::new(outcome.catalog),
            locales,
            statuses: outcome.statuses,
            loaded: outcome.scripts,
            calls,
            records,
            alerts: sources.alerts,
        })
    }

    /// What was loaded, for all threads.
    pub fn catalog(&self) -> &Arc<Catalog> {
        &self.catalog
    }

    /// Whether any script has this hook.
    pub fn has(&self, hook: Hook) -> bool {
        !self.calls[hook as usize].is_empty()
    }

    /// Whether any script runs early.
    pub fn has_early(&self) -> bool {
        self.calls[Hook::ProtocolDetected as usize]
            .iter()
            .any(|call| call.early)
    }

    /// Bytes of the Lua heap in use.
    pub fn heap_bytes(&self) -> usize {
        self.sandbox.used_memory()
    }

    /// What each script has cost, in the catalogue's order.
    pub fn counters(&self) -> impl ExactSizeIterator<Item = Counters> {
        self.records.iter().map(|record| record.counters)
    }

    /// One event of a flow: runs the scripts of `hook`, then `statusChanged` if the statuses have changed,
    /// and gives the alert if one is due. Scripts' statuses are in `detail` afterwards. [`Phase::Early`] notes
    /// in the flow that the early ones have run.
    pub fn run(
        &mut self,
        hook: Hook,
        phase: Phase,
        flow: &mut Flow,
        detail: &mut Detail,
        now: Now,
    ) -> Option<Alert> {
        let early_done = flow.has(flag::EARLY_DONE);
        if phase == Phase::Early {
            flow.flags |= flag::EARLY_DONE;
        }
        let wanted = |call: &Call| match phase {
            Phase::Early => call.early,
            Phase::Complete => !call.early || !early_done,
            Phase::All => true,
        };
        if !self.run_hook(hook, wanted, flow, detail, now, false) {
            return None;
        }
        let changed = self.current.borrow().detail.statuses.map() != detail.statuses.map();
        if changed {
            self.run_hook(Hook::StatusChanged, |_| true, flow, detail, now, true);
        }
        let alert = self.alert(flow);
        *detail = self.current.borrow().detail;
        alert
    }

    /// Calls the scripts of a hook. The slot is filled at the first that passes its filter, unless the event
    /// is `under_way`. False if none was called.
    fn run_hook(
        &mut self,
        hook: Hook,
        wanted: impl Fn(&Call) -> bool,
        flow: &Flow,
        detail: &Detail,
        now: Now,
        mut under_way: bool,
    ) -> bool {
        for call in &self.calls[hook as usize] {
            let record = &mut self.records[usize::from(call.script)];
            if record.counters.stopped || !wanted(call) || !call.filter.passes(hook, flow, now) {
                continue;
            }
            {
                let mut slot = self.current.borrow_mut();
                if !under_way {
                    under_way = true;
                    slot.begin(flow, detail, now);
                    self.sandbox.set_wall_secs(now.wall.as_secs());
                }
                slot.active = true;
                slot.script = call.script;
            }
            record.counters.calls += 1;
            let now_secs = now.wall.as_secs() as i64;
            let result: Result<(), CallError> =
                self.sandbox.call(&call.function, (now_secs, &call.conf));
            self.current.borrow_mut().active = false;
            if let Err(error) = result {
                record.note(
                    &error,
                    self.catalog.script_name(call.script),
                    hook.name(),
                    flow,
                );
            }
        }
        under_way
    }

    /// The event's alert, if its score is more than that of the flow's last.
    fn alert(&mut self, flow: &Flow) -> Option<Alert> {
        let candidate = self.current.borrow_mut().candidate.take()?;
        let statuses = self.current.borrow().detail.statuses;
        let score = candidate.score.clamp(0, i64::from(MAX_SCORE)) as u16;
        if !self.alerts || score <= statuses.alerted_score {
            return None;
        }
        let alerts = alert::Alerts {
            sandbox: &self.sandbox,
            catalog: &self.catalog,
            locales: &self.locales.borrow(),
            statuses: &self.statuses,
        };
        let (alert, error) = alerts.build(&candidate, score, statuses.alerted != 0, flow);
        if let Some(error) = error
            && let Some(record) = self.records.get_mut(usize::from(candidate.script))
        {
            record.note(
                &error,
                self.catalog.script_name(candidate.script),
                "i18n_description",
                flow,
            );
        }
        let mut slot = self.current.borrow_mut();
        slot.detail.statuses.alerted = candidate.status;
        slot.detail.statuses.alerted_score = score;
        Some(alert)
    }

    /// Tells scripts that they are loaded and, with the catalogue of the state before this one, what the
    /// configuration has changed: `onLoad`, `onEnable`, `onDisable`, `onUpdateConfig`.
    pub fn start(&mut self, before: Option<&Catalog>, now: Now) {
        set_clock(&self.sandbox, &self.current, now);
        for at in 0..self.loaded.len() {
            let script = &self.catalog.scripts[usize::from(self.loaded[at].script)];
            let callbacks = &self.loaded[at].callbacks;
            let was = before.and_then(|before| {
                Some(&before.scripts[usize::from(before.script("flow", &script.key)?)])
            });
            let applies = !matches!(script.state, State::NotApplicable(_));
            let load = callbacks
                .on_load
                .clone()
                .filter(|_| applies && script.enabled);
            let change = match was {
                Some(was) if !was.enabled && script.enabled => callbacks.on_enable.clone(),
                Some(was) if was.enabled && !script.enabled => callbacks.on_disable.clone(),
                Some(was) if was.conf != script.conf => callbacks.on_update_config.clone(),
                _ => None,
            };
            let change = change.filter(|_| applies);
            self.tell(at, "onLoad", load);
            self.tell(at, "onEnable, onDisable or onUpdateConfig", change);
        }
    }

    /// Tells scripts that the state ends: `onUnload`, `teardown`.
    pub fn stop(&mut self, now: Now) {
        set_clock(&self.sandbox, &self.current, now);
        for at in 0..self.loaded.len() {
            let script = &self.catalog.scripts[usize::from(self.loaded[at].script)];
            let unload = self.loaded[at].callbacks.on_unload.clone();
            let unload = unload.filter(|_| script.state == State::Running);
            self.tell(at, "onUnload", unload);
            let teardown = self.loaded[at].teardown.clone();
            self.tell(at, "teardown", teardown);
        }
    }

    /// Calls a life-cycle callback: the hook's name, which is `all` for flow scripts, and its entry.
    fn tell(&mut self, at: usize, what: &str, callback: Option<Function>) {
        let Some(callback) = callback else {
            return;
        };
        let index = self.loaded[at].script;
        let script = &self.catalog.scripts[usize::from(index)];
        let result = self
            .sandbox
            .lua()
            .create_table()
            .and_then(|entry| {
                entry.raw_set("enabled", script.enabled)?;
                entry.raw_set("script_conf", &self.loaded[at].conf)?;
                Ok(entry)
            })
            .map_err(CallError::from)
            .and_then(|entry| self.sandbox.call::<()>(&callback, ("all", entry)));
        if let Err(error) = result {
            self.records[usize::from(index)].counters.errors += 1;
            log::warn!("script {}: {what}: {}", script.key, load::blame(&error).1);
        }
    }
}

/// What scripts find on their clock from here on.
fn set_clock(sandbox: &Sandbox, current: &Current, now: Now) {
    sandbox.set_wall_secs(now.wall.as_secs());
    current.borrow_mut().now = now;
}

/// The calls of a hook in the order they are made.
fn calls_of(hook: Hook, scripts: &[Loaded], catalog: &Catalog) -> Vec<Call> {
    let mut calls: Vec<Call> = scripts
        .iter()
        .filter_map(|loaded| {
            let (_, function) = loaded.hooks.iter().find(|(has, _)| *has == hook)?;
            let script = &catalog.scripts[usize::from(loaded.script)];
            Some(Call {
                script: loaded.script,
                early: script.early,
                filter: script.filter,
                function: function.clone(),
                conf: loaded.conf.clone(),
            })
        })
        .collect();
    let rank = |call: &Call| {
        let script = &catalog.scripts[usize::from(call.script)];
        (Reverse(script.prio), &script.key)
    };
    calls.sort_by(|a, b| rank(a).cmp(&rank(b)));
    calls
}

impl Filter {
    /// Whether a hook of a script with this filter is called for `flow`.
    fn passes(&self, hook: Hook, flow: &Flow, now: Now) -> bool {
        let is_tcp = flow.key.proto == 6;
        self.l4.is_none_or(|l4| l4 == i16::from(flow.key.proto))
            && self
                .l7
                .is_none_or(|l7| flow.l7.master.0 == l7 || flow.l7.app.0 == l7)
            && !(self.handshake && is_tcp && !flow.has(flag::HANDSHAKE))
            && !(hook == Hook::PeriodicUpdate && self.too_soon(flow, now))
    }

    /// Whether the flow's last `periodicUpdate` was in the same of the script's own periods. Judged by the
    /// flow's age, so that nothing need be kept a flow and script.
    fn too_soon(&self, flow: &Flow, now: Now) -> bool {
        if self.period_secs <= PERIOD_SECS {
            return false;
        }
        let age = now.mono.since(flow.first_seen).as_secs();
        let period = u64::from(self.period_secs);
        age / period == age.saturating_sub(u64::from(PERIOD_SECS)) / period
    }
}

impl Slot {
    /// A new event of `flow`.
    fn begin(&mut self, flow: &Flow, detail: &Detail, now: Now) {
        self.flow = *flow;
        self.detail = *detail;
        self.detail.statuses.begin_event();
        self.now = now;
        self.candidate = None;
    }
}

impl Record {
    /// Counts a failed call, logs it if it is the first of its kind, and stops a script that has had its
    /// overruns.
    fn note(&mut self, error: &CallError, script: &str, place: &str, flow: &Flow) {
        if error.is_overrun() {
            self.counters.overruns += 1;
            if self.counters.overruns >= u64::from(MAX_STRIKES) && !self.counters.stopped {
                self.counters.stopped = true;
                log::warn!(
                    "script {script} is stopped until the next reload after {MAX_STRIKES} overruns: {error}"
                );
            }
            return;
        }
        self.counters.errors += 1;
        let (line, reason) = load::blame(error);
        let mut kind = DefaultHasher::new();
        (place, line).hash(&mut kind);
        // Numbers differ from flow to flow, the kind of error does not.
        reason
            .chars()
            .filter(|c| !c.is_ascii_digit())
            .take(64)
            .for_each(|c| c.hash(&mut kind));
        let kind = kind.finish();
        if self.logged.contains(&kind) || self.logged.push(kind).is_err() {
            return;
        }
        let line = line.map_or_else(String::new, |line| format!(" line {line}"));
        log::warn!(
            "script {script}, {place}{line}: {reason:?}, for flow {}",
            alert::Label(flow)
        );
    }
}
