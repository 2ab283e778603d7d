//! What the packet path tells the rest of the process: fixed-size records, and their EVE lines.

pub mod eve;
mod json;
pub mod output;

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::flow::{Detail, Flow};
use crate::l7::Proto;
use crate::time::Now;

/// Kinds of event lines, by the word in `event_type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)] // the names say it
pub enum Kind {
    Flow,
    Alert,
    Drop,
    Dns,
    Tls,
    Http,
    Stats,
}

impl Kind {
    /// All kinds, each at its own index.
    pub const ALL: [Kind; 7] = [
        Kind::Flow,
        Kind::Alert,
        Kind::Drop,
        Kind::Dns,
        Kind::Tls,
        Kind::Http,
        Kind::Stats,
    ];

    /// Kind of the record a protocol has of its own, if it has one.
    pub fn of(protocol: Proto) -> Option<Kind> {
        match protocol {
            Proto::DNS => Some(Kind::Dns),
            Proto::TLS => Some(Kind::Tls),
            Proto::HTTP => Some(Kind::Http),
            _ => None,
        }
    }

    /// The word in `event_type`.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Flow => "flow",
            Kind::Alert => "alert",
            Kind::Drop => "drop",
            Kind::Dns => "dns",
            Kind::Tls => "tls",
            Kind::Http => "http",
            Kind::Stats => "stats",
        }
    }
}

/// Room for the text of an alert's parameters (JSON) and for its message.
pub const ALERT_TEXT: usize = 1024;

/// A flow as it was when something happened to it.
#[derive(Clone, Copy)]
pub struct Record {
    /// The flow.
    pub flow: Flow,
    /// Its statuses and facts.
    pub detail: Detail,
    /// When the record was taken.
    pub now: Now,
}

/// Why a flow ended, in EVE's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Silent for too long.
    Timeout,
    /// TCP closed or reset.
    Closed,
    /// Its slot was needed.
    Evicted,
    /// The engine stops.
    Shutdown,
}

impl End {
    /// The word in `flow.reason`.
    pub fn word(self) -> &'static str {
        match self {
            End::Timeout => "timeout",
            End::Closed => "closed",
            End::Evicted => "evicted",
            End::Shutdown => "shutdown",
        }
    }
}

/// An alert a script raised.
#[derive(Clone)]
pub struct Alert {
    /// Status definition that raised it.
    pub status: u8,
    /// Alert key (`alert_keys`), 32 bit.
    pub key: u32,
    /// ntopng severity id, 1 debug .. 8 emergency.
    pub severity: u8,
    /// Score as the script passed it, clamped.
    pub score: u16,
    /// Index of the script in the catalogue.
    pub script: u16,
    /// A lower alert of the same flow was recorded before.
    pub replaces: bool,
    /// `alert_type_params` as the contract stores them: JSON text, or the script's string verbatim.
    pub params: heapless::String<ALERT_TEXT>,
    /// Description in words, in the configured language; empty if the definition has none.
    pub message: heapless::String<256>,
}

/// One thing that happened.
#[allow(clippy::large_enum_variant)] // fixed-size on purpose: made without allocating
#[derive(Clone)]
pub enum Event {
    /// A flow is over.
    FlowEnd(Record, End),
    /// A script raised an alert.
    Alert(Record, Alert),
    /// A flow became dropped (or, in monitor mode, would have).
    Drop(Record),
    /// Detection is complete (protocol records: dns, http, tls).
    Detected(Record),
}

/// Events on their way out of the packet path. Its memory is taken once; what finds no room is counted, and
/// nobody waits.
pub struct Outbox {
    waiting: VecDeque<Event>,
    most: usize,
    wanted: [bool; Kind::ALL.len()],
    /// Events handed on.
    pub taken: u64,
    /// Events that found no room, here or with the one they were handed to.
    pub lost: u64,
}

impl Outbox {
    /// Room for `most` events.
    pub fn new(most: usize) -> Outbox {
        Outbox {
            waiting: VecDeque::with_capacity(most),
            most,
            wanted: [true; Kind::ALL.len()],
            taken: 0,
            lost: 0,
        }
    }

    /// From here on, the kinds `wanted` says. At first all are.
    pub fn want_only(&mut self, wanted: impl Fn(Kind) -> bool) {
        self.wanted = Kind::ALL.map(wanted);
    }

    /// Whether somebody waits for events of this kind. A flood of flows is a flood of events, each a copy of its
    /// flow: what nobody waits for is not to be made.
    pub fn wants(&self, kind: Kind) -> bool {
        self.wanted[kind as usize]
    }

    /// Puts an event in, if there is room.
    pub fn push(&mut self, event: Event) {
        if self.waiting.len() < self.most {
            self.waiting.push_back(event);
        } else {
            self.lost += 1;
        }
    }

    /// Takes the oldest out.
    pub fn pop(&mut self) -> Option<Event> {
        let event = self.waiting.pop_front();
        self.taken += u64::from(event.is_some());
        event
    }
}

impl Event {
    /// Kind of its line; none for a detected protocol that has no record of its own.
    pub fn kind(&self) -> Option<Kind> {
        match self {
            Event::FlowEnd(..) => Some(Kind::Flow),
            Event::Alert(..) => Some(Kind::Alert),
            Event::Drop(_) => Some(Kind::Drop),
            Event::Detected(record) => Kind::of(record.flow.l7.master),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::net::IpAddr;

    use super::*;
    use crate::flow::key::FlowKey;
    use crate::flow::{Counters, L7, Stage, flag};
    use crate::l7::Fact;
    use crate::score::ScoreMode;
    use crate::time::Micros;
    use crate::verdict::{Reason, Verdict};

    /// A TLS flow that one script spoke against, dropped at its fourth packet.
    pub(crate) fn record() -> Record {
        let client = (IpAddr::from([192, 168, 1, 23]), 51_234);
        let server = (IpAddr::from([203, 0, 113, 7]), 443);
        let (key, client_is_low) = FlowKey::new(client, server, 6, 7);
        assert!(client_is_low);
        let mut detail = Detail::default();
        detail.facts.set(Fact::TlsServerName, b"www.netflix.com");
        detail
            .facts
            .set(Fact::Ja4, b"t13d1516h2_8daaf6152771_e5627efa2ab1");
        detail.statuses.set(59, 200, 3, ScoreMode::Event);
        Record {
            flow: Flow {
                key,
                id: 1_234_567_890_123,
                first_seen: Micros::from_secs(100),
                last_seen: Micros::from_millis(101_500),
                counters: [
                    Counters {
                        bytes: 2_310,
                        payload: 1_700,
                        packets: 12,
                        ..Counters::default()
                    },
                    Counters {
                        bytes: 8_121,
                        payload: 7_500,
                        packets: 10,
                        ..Counters::default()
                    },
                ],
                packets_dropped: 3,
                flags: flag::CLIENT_IS_LOW | flag::HAS_MAC | flag::DETECTED,
                decided_at: 4,
                l7: L7 {
                    master: Proto::TLS,
                    app: Proto(133),
                    guessed: false,
                },
                stage: Stage::Dropped,
                client_mac: [2, 0, 0, 0, 0, 1],
                verdict: Verdict::DropFlow,
                would: Verdict::DropFlow,
                reason: Reason::Exceeds {
                    score: 200,
                    threshold: 100,
                    status: 59,
                    script: 3,
                },
                ..Flow::default()
            },
            detail,
            now: Now {
                mono: Micros::from_secs(102),
                wall: Micros(1_767_323_045_678_901),
            },
        }
    }

    /// What script 3 said of it.
    pub(crate) fn alert() -> Alert {
        Alert {
            status: 59,
            key: 32_768,
            severity: 5,
            score: 200,
            script: 3,
            replaces: false,
            params: r#"{"url":"a\"b"}"#.parse().unwrap(),
            message: "EXE download from www.netflix.com".parse().unwrap(),
        }
    }

    #[test]
    fn an_outbox_wants_everything_until_it_is_told_otherwise() {
        let mut outbox = Outbox::new(1);
        assert!(Kind::ALL.iter().all(|&kind| outbox.wants(kind)));

        outbox.want_only(|kind| kind == Kind::Drop);

        let wanted = Kind::ALL.iter().filter(|&&kind| outbox.wants(kind));
        assert_eq!(wanted.collect::<Vec<_>>(), [&Kind::Drop]);
    }

    #[test]
    fn only_protocols_with_a_record_of_their_own_have_a_kind_when_detected() {
        let mut record = record();
        assert_eq!(Event::Detected(record).kind(), Some(Kind::Tls));

        record.flow.l7.master = Proto::SSH;

        assert_eq!(Event::Detected(record).kind(), None);
        assert_eq!(Event::Drop(record).kind(), Some(Kind::Drop));
    }
}
