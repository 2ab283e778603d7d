//! Flowreeve: inline flow inspection for routers.
#![doc = ""]

pub mod events;
pub mod cli;
pub mod flow;
pub mod l7;
pub mod policy;
pub mod score;
pub mod script;
pub mod time;
pub mod verdict;
