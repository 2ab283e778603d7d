//! What the tests of several dissectors share.

use std::net::IpAddr;

use proptest::prelude::*;

use crate::flow::key::{Dir, FlowKey};
use crate::flow::{Detail, Flow, flag};
use crate::l7::{Detector, Dissector, Facts, Input, Probe, Progress, Seen, Segment};

/// One look at `data`, to the server.
pub(crate) fn look(dissector: &Dissector, data: &[u8], server_port: u16) -> (Probe, Facts) {
    look_at(dissector, data, server_port, false)
}

/// One look at all there will be.
pub(crate) fn look_cut(dissector: &Dissector, data: &[u8], server_port: u16) -> (Probe, Facts) {
    look_at(dissector, data, server_port, true)
}

fn look_at(dissector: &Dissector, data: &[u8], server_port: u16, cut: bool) -> (Probe, Facts) {
    let mut facts = Facts::default();
    let input = Input {
        dir: Dir::ToServer,
        data,
        client_port: 40_000,
        server_port,
        cut,
    };
    ((dissector.probe)(&input, &mut facts), facts)
}

fn rank(probe: Probe) -> u8 {
    match probe {
        Probe::No => 0,
        Probe::NeedMore => 0,
        Probe::Yes(step) => 1 + step as u8,
    }
}

/// Asserts that of a growing stream no answer is ever taken back, nor a fact.
pub(crate) fn assert_never_takes_back(dissector: &Dissector, data: &[u8], server_port: u16) {
    let mut last = Probe::NeedMore;
    let mut facts = Facts::default();
    for end in 0..=data.len() {
        let before: Vec<(u8, Vec<u8>)> = facts
            .all()
            .map(|(tag, value)| (tag, value.to_vec()))
            .collect();
        let input = Input {
            dir: Dir::ToServer,
            data: &data[..end],
            client_port: 40_000,
            server_port,
            cut: false,
        };

        let now = (dissector.probe)(&input, &mut facts);

        assert!(
            last != Probe::No || now == Probe::No,
            "a no became {now:?} at {end}"
        );
        assert!(rank(now) >= rank(last), "{last:?} became {now:?} at {end}");
        let kept = facts
            .all()
            .zip(&before)
            .all(|((tag, value), had)| (tag, value) == (had.0, &had.1));
        assert!(
            kept && facts.all().count() >= before.len(),
            "a fact changed at {end}"
        );
        look_cut(dissector, &data[..end], server_port); // must not panic
        last = now;
    }
}

/// `good` with some bytes changed, or bytes of no kind.
pub(crate) fn near(good: &'static [u8]) -> impl Strategy<Value = Vec<u8>> {
    let changes = proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4);
    let changed = changes.prop_map(|changes| {
        let mut bytes = good.to_vec();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        bytes
    });
    prop_oneof![4 => changed, 1 => proptest::collection::vec(any::<u8>(), 0..200)]
}

/// A flow, its detector, and the two ends' sequence numbers.
pub(crate) struct Talk {
    pub(crate) detector: Detector,
    pub(crate) flow: Flow,
    pub(crate) detail: Detail,
}

/// Initial sequence numbers: both wrap early in the stream.
const ISN: [u32; 2] = [u32::MAX - 20, u32::MAX - 3];

impl Talk {
    /// TCP to `port`, nothing said yet.
    pub(crate) fn tcp(port: u16) -> Self {
        Talk::new(6, port, 4)
    }

    pub(crate) fn new(proto: u8, port: u16, buffers: usize) -> Self {
        let client = (IpAddr::from([192, 0, 2, 7]), 40_000);
        let server = (IpAddr::from([198, 51, 100, 1]), port);
        let (key, from_low) = FlowKey::new(client, server, proto, 0);
        let mut flow = Flow {
            key,
            flags: if from_low { flag::CLIENT_IS_LOW } else { 0 },
            ..Flow::default()
        };
        Detector::begin(&mut flow);
        Talk {
            detector: Detector::new(buffers),
            flow,
            detail: Detail::default(),
        }
    }

    /// SYN, SYN+ACK, ACK.
    pub(crate) fn shake_hands(&mut self) {
        self.packet(Dir::ToServer, Some((0, true)), b"", 0);
        self.packet(Dir::ToClient, Some((0, true)), b"", 0);
        self.packet(Dir::ToServer, Some((1, false)), b"", 0);
    }

    /// A segment at `offset` from the stream's first byte.
    pub(crate) fn say(&mut self, dir: Dir, offset: usize, bytes: &[u8]) -> Progress {
        self.packet(dir, Some((offset as u32 + 1, false)), bytes, bytes.len())
    }

    /// A datagram.
    pub(crate) fn send(&mut self, dir: Dir, bytes: &[u8]) -> Progress {
        self.packet(dir, None, bytes, bytes.len())
    }

    /// A packet; of TCP, how far behind the SYN's its sequence number is, and whether SYN is set.
    pub(crate) fn packet(
        &mut self,
        dir: Dir,
        tcp: Option<(u32, bool)>,
        payload: &[u8],
        payload_len: usize,
    ) -> Progress {
        self.flow.counters[dir as usize].packets += 1;
        let seen = Seen {
            dir,
            tcp: tcp.map(|(after, syn)| Segment {
                seq: ISN[dir as usize].wrapping_add(after),
                syn,
            }),
            payload,
            payload_len,
        };
        self.detector.feed(&mut self.flow, &mut self.detail, &seen)
    }
}
