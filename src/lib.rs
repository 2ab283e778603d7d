//! Flowreeve: inline flow inspection for routers.
//!
//! ```text
//!  kernel queue ─┐                                                        ┌─ marks: the kernel carries
//!                ├─► packet ─► flow ─► l7 ─► script ─► policy ─► verdict ─┤  or drops the rest of the flow
//!  capture file ─┘     engine.rs: one function, no allocation, no I/O     └─ or nothing, in replay
//!                                       │
//!                                       └─► events ─► worker: EVE lines, alerts, log
//! ```
//!
//! Start at [`engine::Engine::handle`]. Everything left of it makes packets, everything right of it carries
//! verdicts out.

pub mod alerts;
pub mod budget;
pub mod cli;
pub mod config;
pub mod counters;
pub mod daemon;
pub mod engine;
pub mod events;
pub mod flow;
pub mod geo;
pub mod l7;
pub mod logging;
pub mod nft;
pub mod packet;
pub mod policy;
pub mod queue;
pub mod replay;
pub mod score;
pub mod script;
pub mod setup;
pub mod time;
pub mod verdict;
pub mod worker;

#[cfg(test)]
#[path = "../tests/support/mod.rs"]
mod support;
