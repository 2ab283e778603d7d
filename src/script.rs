//! Scripts on the packet path: one Lua state a packet thread, its hooks, and what they may do to a flow.

pub mod current;
pub mod env;
pub mod flow;
pub mod interface;
pub mod json;
pub mod ntop;
pub mod prelude;
pub mod store;
