//! What the packet path tells the rest of the process: fixed-size records, and their EVE lines.

use crate::flow::{Detail, Flow};
use crate::time::Now;

/// Room for the text of an alert's parameters (JSON) and for its message.
pub const ALERT_TEXT: usize = 1024;

/// A flow as it was when something happened to it.
#[derive(Clone, Copy)]
pub struct Record {
    /// The flow.
    pub flow: Flow,
    /// Its statuses and facts.
    pub detail: Detail,
    /// When the record was taken.
    pub now: Now,
}

/// Why a flow ended, in EVE's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Silent for too long.
    Timeout,
    /// TCP closed or reset.
    Closed,
    /// Its slot was needed.
    Evicted,
    /// The engine stops.
    Shutdown,
}

/// An alert a script raised.
#[derive(Clone)]
pub struct Alert {
    /// Status definition that raised it.
    pub status: u8,
    /// Alert key (`alert_keys`), 32 bit.
    pub key: u32,
    /// ntopng severity id, 1 debug .. 8 emergency.
    pub severity: u8,
    /// Score as the script passed it, clamped.
    pub score: u16,
    /// Index of the script in the catalogue.
    pub script: u16,
    /// A lower alert of the same flow was recorded before.
    pub replaces: bool,
    /// `alert_type_params` as the contract stores them: JSON text, or the script's string verbatim.
    pub params: heapless::String<ALERT_TEXT>,
    /// Description in words, in the configured language; empty if the definition has none.
    pub message: heapless::String<256>,
}

/// One thing that happened.
#[allow(clippy::large_enum_variant)] // fixed-size on purpose: made without allocating
#[derive(Clone)]
pub enum Event {
    /// A flow is over.
    FlowEnd(Record, End),
    /// A script raised an alert.
    Alert(Record, Alert),
    /// A flow became dropped (or, in monitor mode, would have).
    Drop(Record),
    /// Detection is complete (protocol records: dns, http, tls).
    Detected(Record),
}
