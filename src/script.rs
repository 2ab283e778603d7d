//! Scripts on the packet path: one Lua state a packet thread, its hooks, and what they may do to a flow.

pub mod catalog;
pub mod configset;
pub mod current;
pub mod definitions;
pub mod env;
pub mod flow;
pub mod interface;
pub mod json;
pub mod locale;
pub mod ntop;
pub mod plugin;
pub mod prelude;
pub mod spelling;
pub mod store;
pub mod user_script;
