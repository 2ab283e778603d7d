//! Packets, conversations and capture files for tests, made by hand: nothing here comes from the code
//! under test. Every checksum is right unless a test breaks it.
#![allow(dead_code, reason = "each test crate uses a part of it")]

pub mod files;
pub mod packets;
pub mod talk;
