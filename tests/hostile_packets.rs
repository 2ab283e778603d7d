//! Packets nobody should send, through the whole engine: those of our captures with bytes changed, cut,
//! doubled and made up. Each gets a verdict, none stalls the path, and the tables keep their size.
//!
//! `FLOWREEVE_PACKETS` sets how many (default a million), `FLOWREEVE_CORPUS` a folder of captures to
//! begin with in place of ours.

#[path = "support/engine.rs"]
mod support;

use std::path::{Path, PathBuf};

use flowreeve::engine::Arrival;
use flowreeve::replay::capture::Capture;
use flowreeve::replay::link;
use flowreeve::time::{Micros, Now};

struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % sides as u64) as usize
    }

    /// A packet made of `from` that is not quite it.
    fn bend(&mut self, from: &[u8]) -> Vec<u8> {
        let mut packet = from.to_vec();
        for _ in 0..self.roll(8) {
            let at = self.roll(packet.len().max(1));
            match self.roll(6) {
                0 if !packet.is_empty() => packet[at] = self.roll(256) as u8,
                1 if !packet.is_empty() => packet[at] ^= 1 << self.roll(8),
                2 if !packet.is_empty() => packet[at] = [0, 0xff, 0x7f, 0x80][self.roll(4)],
                3 => packet.truncate(at),
                4 => {
                    let doubled = packet[at.min(packet.len())..].to_vec();
                    packet.extend(doubled);
                    packet.truncate(65_535);
                }
                _ => {
                    let made_up = (0..self.roll(64)).map(|_| self.roll(256) as u8);
                    let made_up: Vec<u8> = made_up.collect();
                    packet.extend(made_up);
                }
            }
        }
        packet
    }
}

fn packets(folder: &Path) -> Vec<Vec<u8>> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .expect("a folder of captures")
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            path.extension()
                .is_some_and(|e| e == "pcap" || e == "pcapng")
        })
        .collect();
    files.sort();
    let mut packets = Vec::new();
    for file in files {
        let Ok(mut capture) = Capture::open(&file) else {
            continue;
        };
        while let Ok(Some(frame)) = capture.next_frame() {
            if let Ok(net) = link::net(frame.link, frame.bytes) {
                packets.push(net.ip.to_vec());
            }
        }
    }
    packets
}

#[test]
fn whatever_comes_gets_a_verdict_and_the_tables_keep_their_size() {
    let ours = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/captures");
    let folder = std::env::var_os("FLOWREEVE_CORPUS").map_or(ours.clone(), PathBuf::from);
    let count: u64 = std::env::var("FLOWREEVE_PACKETS")
        .ok()
        .and_then(|count| count.parse().ok())
        .unwrap_or(1_000_000);
    let seeds = packets(&folder);
    assert!(
        seeds.len() > 100,
        "{} packets in {}",
        seeds.len(),
        folder.display()
    );
    let mut engine = support::with_plugins(&["plugins"]);
    let mut dice = Dice(0x5eed_0000_0000_0001);

    let mut at = 0;
    for sent in 0..count {
        // Runs of one conversation, so that streams get some way before they go wrong.
        at = if dice.roll(20) == 0 {
            dice.roll(seeds.len())
        } else {
            (at + 1) % seeds.len()
        };
        let packet = match dice.roll(4) {
            0 => dice.bend(&seeds[at]),
            _ => seeds[at].clone(),
        };
        let now = Now::at(Micros::from_millis(1_000_000 + sent / 8));
        let _ = engine.handle(
            &Arrival {
                ip: &packet,
                vlan: 0,
                mac: None,
            },
            now,
        );
        while engine.outbox.pop().is_some() {}
    }

    let counters = engine.counters();
    let (used, most) = engine.fill();
    assert_eq!(counters.packets.seen, count);
    assert!(used <= most);
    assert!(counters.flows.created > 0);
    if folder == ours {
        assert!(counters.flows.condemned > 0); // ours have downloads that plugins stop
    }
    assert_eq!(counters.events.lost, 0);
    assert!(counters.malformed.each().any(|(_, count)| count > 0));
}
