//! One flow: who talks to whom, how much, where it stands, what was decided.

pub mod key;
pub mod stream;
pub mod table;
pub mod tcp;

use std::net::IpAddr;

use crate::flow::key::{Dir, FlowKey};
use crate::l7::{Category, Facts, Proto};
use crate::score::Statuses;
use crate::time::Micros;
use crate::verdict::{Reason, Verdict};

/// Where a flow stands. The order is the order in which a full set gives flows up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Stage {
    /// Slot not in use.
    #[default]
    Free,
    /// Over; kept only for late packets.
    Closed,
    /// Passed: the kernel carries it, or would.
    Decided,
    /// One direction seen, nothing known.
    New,
    /// Under detection.
    Probing,
    /// Dropped: forgetting it would let a retry be looked at again.
    Dropped,
}

/// Packets and bytes of one direction. `bytes` counts from the IP header on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// IP bytes.
    pub bytes: u64,
    /// Bytes above TCP or UDP.
    pub payload: u64,
    /// Packets.
    pub packets: u32,
    /// TCP: sequence number of this direction's first byte of data, once [`flag::FIRST_SEQ_TO_SERVER`]
    /// or [`flag::FIRST_SEQ_TO_CLIENT`] is set. It stands here because the record has no other room.
    pub first_seq: u32,
}

/// What the flow is, as far as it is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct L7 {
    /// Protocol on the wire (TLS).
    pub master: Proto,
    /// What it carries (Netflix); the same as `master`, or Unknown, when nothing more is known.
    pub app: Proto,
    /// By port only: detection gave up and this is a guess.
    pub guessed: bool,
}

impl L7 {
    /// `Master.App`, a single name, or `Unknown`.
    pub fn name(self) -> heapless::String<64> {
        let mut name = heapless::String::new();
        let _ = match (self.master, self.app) {
            (Proto::UNKNOWN, app) => name.push_str(app.name()),
            (master, app) if app == Proto::UNKNOWN || app == master => name.push_str(master.name()),
            (master, app) => {
                let pushed = name.push_str(master.name());
                pushed
                    .and_then(|()| name.push('.'))
                    .and_then(|()| name.push_str(app.name()))
            }
        };
        name
    }

    /// The more telling of the two.
    pub fn most_specific(self) -> Proto {
        if self.app == Proto::UNKNOWN {
            self.master
        } else {
            self.app
        }
    }

    /// Category of the more telling of the two.
    pub fn category(self) -> Category {
        self.most_specific().category()
    }
}

/// Bits of [`Flow::flags`].
pub mod flag {
    /// The client is the key's lower endpoint.
    pub const CLIENT_IS_LOW: u16 = 1;
    /// SYN, SYN+ACK and ACK were seen in order.
    pub const HANDSHAKE: u16 = 1 << 1;
    /// `early` scripts have run.
    pub const EARLY_DONE: u16 = 1 << 2;
    /// `protocolDetected` has run.
    pub const DETECTED: u16 = 1 << 3;
    /// Verdict has been told to whoever listens for drops.
    pub const DROP_TOLD: u16 = 1 << 4;
    /// A segment came that overlaps earlier ones with other bytes.
    pub const AMBIGUOUS: u16 = 1 << 5;
    /// The first bytes did not fit a stream buffer, or none was free.
    pub const STREAM_LOST: u16 = 1 << 6;
    /// The client's MAC address is known.
    pub const HAS_MAC: u16 = 1 << 7;
    /// `first_seq` of client to server is known.
    pub const FIRST_SEQ_TO_SERVER: u16 = 1 << 8;
    /// `first_seq` of server to client is known.
    pub const FIRST_SEQ_TO_CLIENT: u16 = 1 << 9;
    /// Detection knows what the client asks for.
    pub const L7_REQUEST: u16 = 1 << 10;
    /// Detection is complete or has given up.
    pub const L7_DONE: u16 = 1 << 11;
}

/// A flow's record. Fixed size: see the assertion below.
#[derive(Clone, Copy, Debug, Default)]
pub struct Flow {
    /// Whose packets these are.
    pub key: FlowKey,
    /// Sequence number of the flow since start, from 1; `flow_id` of events.
    pub id: u64,
    /// First packet, engine time.
    pub first_seen: Micros,
    /// Latest packet, engine time.
    pub last_seen: Micros,
    /// Client to server, server to client.
    pub counters: [Counters; 2],
    /// Dissectors not ruled out yet, a bit each, in the order of `DISSECTORS`.
    pub candidates: u128,
    /// Next TCP sequence number expected, a direction.
    pub next_seq: [u32; 2],
    /// Seconds of engine time at which `periodicUpdate` is due.
    pub periodic_due_secs: u32,
    /// Packets dropped by us.
    pub packets_dropped: u32,
    /// Flags above.
    pub flags: u16,
    /// Packets of both directions at which the verdict fell.
    pub decided_at: u16,
    /// TCP retransmissions, a direction.
    pub retransmitted: [u16; 2],
    /// TCP segments out of order, a direction.
    pub out_of_order: [u16; 2],
    /// Stream buffers lent, by index in the pool plus one; 0 is none, `stream::FINISHED` says that
    /// this direction has told all it can.
    pub streams: [u16; 2],
    /// What it is.
    pub l7: L7,
    /// TCP flags seen, a direction.
    pub tcp_flags: [u8; 2],
    /// TCP state.
    pub tcp: tcp::State,
    /// Where it stands.
    pub stage: Stage,
    /// Index of the settled dissector plus one; 0 while none has said yes.
    pub dissector: u8,
    /// MAC address of the client's side as the queue saw it.
    pub client_mac: [u8; 6],
    /// ICMP type and code of the first message.
    pub icmp: [u8; 2],
    /// The answer that holds.
    pub verdict: Verdict,
    /// What enforcement would answer; differs from `verdict` in monitor mode only.
    pub would: Verdict,
    /// Why.
    pub reason: Reason,
}

/// What is kept beside a flow's record: statuses and facts. A slot's detail lives at the slot's index.
#[derive(Clone, Copy, Default)]
pub struct Detail {
    /// Statuses scripts set, with scores.
    pub statuses: Statuses,
    /// What dissectors learned.
    pub facts: Facts,
}

const _: () = assert!(size_of::<Flow>() <= 192);
const _: () = assert!(size_of::<Detail>() <= 512);

impl Flow {
    /// Whether `bits` of [`flag`] are all set.
    pub fn has(&self, bits: u16) -> bool {
        self.flags & bits == bits
    }

    /// Client address and port (host order).
    pub fn client(&self) -> (IpAddr, u16) {
        if self.has(flag::CLIENT_IS_LOW) {
            self.key.low()
        } else {
            self.key.high()
        }
    }

    /// Server address and port (host order).
    pub fn server(&self) -> (IpAddr, u16) {
        if self.has(flag::CLIENT_IS_LOW) {
            self.key.high()
        } else {
            self.key.low()
        }
    }

    /// Way of a packet whose sender is (or is not) the key's lower endpoint.
    pub fn dir(&self, from_low: bool) -> Dir {
        if from_low == self.has(flag::CLIENT_IS_LOW) {
            Dir::ToServer
        } else {
            Dir::ToClient
        }
    }

    /// Counters of one direction.
    pub fn count(&self, dir: Dir) -> &Counters {
        &self.counters[dir as usize]
    }

    /// Packets both ways.
    pub fn packets(&self) -> u32 {
        self.counters[0]
            .packets
            .saturating_add(self.counters[1].packets)
    }

    /// Whether this slot holds a flow.
    pub fn in_use(&self) -> bool {
        self.stage != Stage::Free
    }
}
