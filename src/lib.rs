//! Flowreeve: inline flow inspection for routers.
#![doc = ""]

pub mod events;
pub mod flow;
pub mod l7;
pub mod packet;
pub mod replay;
pub mod score;
pub mod script;
pub mod time;
pub mod verdict;

#[cfg(test)]
#[path = "../tests/support/mod.rs"]
mod support;
