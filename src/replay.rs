//! A capture file in the queue's place.

pub mod capture;
pub mod link;
