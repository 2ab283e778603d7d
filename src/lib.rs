//! Flowreeve: inline flow inspection for routers.
#![doc = ""]

pub mod alerts;
pub mod budget;
pub mod config;
pub mod counters;
pub mod events;
pub mod flow;
pub mod l7;
pub mod logging;
pub mod score;
pub mod script;
pub mod time;
pub mod verdict;
