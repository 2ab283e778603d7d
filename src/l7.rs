//! What a flow is: protocols by nDPI's numbers, and the dissectors that tell them apart.
//!
//! A dissector is a file under `l7/` and a line in [`DISSECTORS`]. It is a pure function of the first
//! bytes of one direction; what it learns it writes into [`Facts`]. [`Detector`] calls it again with more
//! bytes (TCP: always from the first byte of that direction; UDP: one datagram a call) until it has told
//! what there is to tell, or runs into its limit.

pub mod detector;
pub mod dns;
pub mod facts;
pub mod http;
pub mod protocols;
mod reader;
#[cfg(test)]
mod testing;
pub mod tls;

pub use detector::{Detector, Progress, Seen, Segment};
pub use facts::{Fact, Facts};
pub use protocols::{Category, Proto};

use crate::flow::key::Dir;

/// What one look at the bytes says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probe {
    /// It is not this protocol, whatever follows. Final, unless the other direction has said yes already.
    No,
    /// It may be; more bytes or the other direction will tell.
    NeedMore,
    /// It is this protocol. Never taken back.
    Yes(Step),
}

/// How far the reading of a recognised protocol has come, in the direction looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// Recognised; this direction has more to tell.
    Begun,
    /// What the client asks for is known (query, URL with host, server name): `early` scripts run now.
    /// This direction has told all; the other one is waited for.
    Request,
    /// Nothing more is to be learned from either direction.
    Done,
}

/// Transport a dissector reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// In-order bytes of one direction, from its first byte.
    Tcp,
    /// One datagram.
    Udp,
}

/// The bytes a dissector may look at.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    /// Direction of `data`.
    pub dir: Dir,
    /// TCP: all bytes of this direction so far, in order, from its first, at most the dissector's limit.
    /// Which end is the client is a guess on a connection picked up in the middle.
    /// UDP: the payload of the datagram in hand.
    pub data: &'a [u8],
    /// Client port, host order.
    pub client_port: u16,
    /// Server port, host order.
    pub server_port: u16,
    /// What follows `data` will not come: the rest of the datagram was not copied to us, or no more of the
    /// stream can be kept. Settle with what is there.
    pub cut: bool,
}

/// One protocol and how to tell it.
pub struct Dissector {
    /// Master protocol it finds.
    pub proto: Proto,
    /// Where it looks.
    pub transport: Transport,
    /// Bytes of one direction it may ask for; beyond, the flow settles with what is known. What comes in
    /// pieces is kept up to [`STREAM_BYTES`](crate::flow::stream::STREAM_BYTES) only.
    pub limit_bytes: usize,
    /// One look. Called again with more bytes it must come to the same or a better answer; facts
    /// already set stay as they are.
    pub probe: fn(&Input, &mut Facts) -> Probe,
}

/// All dissectors, the cheapest to rule out first. At most 128 (a flow keeps one bit for each).
pub const DISSECTORS: &[Dissector] = &[http::HTTP, tls::TLS, dns::DNS_UDP, dns::DNS_TCP];

const _: () = assert!(DISSECTORS.len() <= 128);
