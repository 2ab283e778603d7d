//! Scripts on the packet path: one Lua state a packet thread, its hooks, and what they may do to a flow.

pub mod current;
pub mod pattern;
pub mod sandbox;
