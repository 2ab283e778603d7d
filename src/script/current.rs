//! The flow a hook runs for: a copy the scripts read and write, taken over by the engine afterwards.

use std::cell::RefCell;
use std::rc::Rc;

use crate::flow::{Detail, Flow};
use crate::score::ScoreMode;
use crate::time::Now;

/// Flow hooks, in the order they can come for one flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Hook {
    /// Detection is complete or given up; once a flow.
    ProtocolDetected,
    /// The status map changed during an event.
    StatusChanged,
    /// Every minute of an active flow.
    PeriodicUpdate,
    /// The flow is over; once, last.
    FlowEnd,
}

impl Hook {
    /// All hooks.
    pub const ALL: [Hook; 4] = [
        Hook::ProtocolDetected,
        Hook::StatusChanged,
        Hook::PeriodicUpdate,
        Hook::FlowEnd,
    ];

    /// The name scripts use.
    pub fn name(self) -> &'static str {
        match self {
            Hook::ProtocolDetected => "protocolDetected",
            Hook::StatusChanged => "statusChanged",
            Hook::PeriodicUpdate => "periodicUpdate",
            Hook::FlowEnd => "flowEnd",
        }
    }
}

/// What a script asked to be alerted on, until the event is over.
pub struct Candidate {
    /// Status key.
    pub status: u8,
    /// Score as passed, before clamping (the comparison uses this).
    pub score: i64,
    /// Index of the script.
    pub script: u16,
    /// The table given to `flow.triggerStatus` (`status_type`, `alert_type`, `alert_type_params`, ...).
    pub info: mlua::Table,
}

/// State of the running event.
#[derive(Default)]
pub struct Slot {
    /// A hook is running; outside, `flow.*` has no flow.
    pub active: bool,
    /// Copy of the flow.
    pub flow: Flow,
    /// Copy of its statuses and facts.
    pub detail: Detail,
    /// When.
    pub now: Now,
    /// Index of the script that runs.
    pub script: u16,
    /// How scores add up.
    pub score_mode: ScoreMode,
    /// Best candidate so far: highest score, then lower status key.
    pub candidate: Option<Candidate>,
}

/// The slot shared by the functions of one Lua state.
pub type Current = Rc<RefCell<Slot>>;
