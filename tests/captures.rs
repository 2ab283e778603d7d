//! The captures in `tests/captures` are what their generator makes, and say what they should to the
//! reader. After changing the generator: `FLOWREEVE_MAKE_CAPTURES=1 cargo test --test captures generator`.

#[path = "captures/make.rs"]
mod make;
mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use flowreeve::packet::{Malformed, Packet};
use flowreeve::replay::capture::{Capture, Fault};
use flowreeve::replay::link;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/captures")
}

/// What was read of a capture.
#[derive(Default)]
struct Seen {
    frames: usize,
    /// Packets of flows.
    packets: usize,
    /// Payload of both directions, in the order of the file.
    payload: Vec<u8>,
    vlans: Vec<u16>,
    versions: Vec<u8>,
    refused: BTreeMap<&'static str, usize>,
    fault: Option<Fault>,
}

fn read(name: &str) -> Seen {
    let mut seen = Seen::default();
    let mut capture = Capture::open(&folder().join(name)).expect("a capture");
    loop {
        let frame = match capture.next_frame() {
            Ok(Some(frame)) => frame,
            Ok(None) => return seen,
            Err(error) => {
                seen.fault = Some(error.fault);
                continue;
            }
        };
        assert_eq!(frame.at.as_secs() / 60, make::START / 60_000_000, "{name}");
        assert_eq!(frame.bytes.len(), frame.wire_len as usize, "{name}");
        seen.frames += 1;
        let net = link::net(frame.link, frame.bytes).expect("an IP packet");
        match Packet::parse(net.ip, net.vlan) {
            Ok(packet) => {
                seen.packets += 1;
                seen.payload.extend_from_slice(packet.payload);
                seen.vlans.push(packet.key.vlan);
                seen.versions.push(packet.key.version());
            }
            Err(malformed) => *seen.refused.entry(malformed.name()).or_default() += 1,
        }
    }
}

#[test]
fn the_committed_captures_are_what_the_generator_makes() {
    let made = make::all();
    if std::env::var_os("FLOWREEVE_MAKE_CAPTURES").is_some() {
        for (name, bytes) in &made {
            fs::write(folder().join(name), bytes).unwrap();
        }
    }

    let mut committed: Vec<String> = fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".pcap") || name.ends_with(".pcapng"))
        .collect();
    committed.sort();
    let mut names: Vec<String> = made.iter().map(|(name, _)| name.clone()).collect();
    names.sort();

    assert_eq!(committed, names);
    let readme = fs::read_to_string(folder().join("README.md")).unwrap();
    for (name, bytes) in made {
        let same = fs::read(folder().join(&name)).unwrap() == bytes;
        assert!(same, "{name} is not what the generator makes");
        assert!(bytes.len() < 20_000, "{name} is {} bytes", bytes.len());
        let stem = name.split('.').next().unwrap();
        let stem = stem.trim_end_matches("_v4").trim_end_matches("_v6");
        assert!(
            readme.contains(&format!("`{stem}")),
            "{name} is not in README.md"
        );
    }
}

#[test]
fn every_packet_of_every_capture_is_a_flows_but_for_the_fragments() {
    for (name, _) in make::all() {
        let seen = read(&name);

        assert!(seen.packets > 0, "{name}");
        let expected = match name.as_str() {
            "udp_fragments_v4.pcap" | "udp_fragments_v6.pcap" => {
                BTreeMap::from([(Malformed::Fragment.name(), 2)])
            }
            _ => BTreeMap::new(),
        };
        assert_eq!(seen.refused, expected, "{name}");
        match name.as_str() {
            "truncated.pcap" => assert!(matches!(seen.fault, Some(Fault::Truncated))),
            "absurd_length.pcap" => {
                assert!(matches!(seen.fault, Some(Fault::Length(0x8000_0000))));
            }
            _ => assert!(seen.fault.is_none(), "{name}"),
        }
    }
}

#[test]
fn one_flow_reads_the_same_behind_every_link_and_in_every_file() {
    let plain = [read("http_ok_v4.pcap"), read("http_ok_v6.pcap")];
    let payload = [&plain[0].payload[..], &plain[1].payload].concat();
    let whole = plain[0].frames + plain[1].frames;

    for (name, _) in make::all() {
        let vlan = match name.as_str() {
            "link_vlan.pcap" | "link_qinq.pcap" => 7,
            "big_endian.pcap" | "nanoseconds.pcap" | "two_interfaces.pcapng" => 0,
            "absurd_length.pcap" | "truncated.pcap" => 0,
            name if name.starts_with("link_") => 0,
            _ => continue,
        };

        let seen = read(&name);

        assert_eq!(seen.payload, payload, "{name}");
        assert!(seen.vlans.iter().all(|seen| *seen == vlan), "{name}");
        assert!(
            seen.versions.contains(&4) && seen.versions.contains(&6),
            "{name}"
        );
        let lost = usize::from(name == "truncated.pcap"); // its last packet, without payload
        assert_eq!(seen.frames, whole - lost, "{name}");
    }
}
