//! Flowreeve: inline flow inspection for routers.
#![doc = ""]

pub mod events;
pub mod flow;
pub mod l7;
pub mod nft;
pub mod queue;
pub mod score;
pub mod script;
pub mod time;
pub mod verdict;
