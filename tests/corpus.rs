//! Other people's captures, where there is a folder of them: `FLOWREEVE_CORPUS=FOLDER cargo test --test
//! corpus -- --nocapture` reads every file in it and prints what was counted.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use flowreeve::packet::{L4, Packet};
use flowreeve::replay::capture::{Capture, Fault};
use flowreeve::replay::link;

#[derive(Default)]
struct Counts {
    frames: u64,
    /// Of packets with a flow, by what is above IP.
    packets: BTreeMap<&'static str, u64>,
    /// Frames without a packet and packets without a flow, by kind.
    refused: BTreeMap<&'static str, u64>,
    faults: Vec<String>,
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .expect("FLOWREEVE_CORPUS is a folder")
        .map(|entry| entry.expect("an entry of the folder").path())
        .filter(|path| path.is_file())
        .collect();
    files.sort();
    files
}

fn read(path: &Path, counts: &mut Counts) {
    let mut capture = match Capture::open(path) {
        Ok(capture) => capture,
        Err(error) => return counts.faults.push(error.to_string()),
    };
    loop {
        let frame = match capture.next_frame() {
            Ok(Some(frame)) => frame,
            Ok(None) => return,
            Err(error) => {
                assert!(
                    matches!(error.fault, Fault::Truncated | Fault::Length(_)),
                    "{error}"
                );
                return counts.faults.push(error.to_string());
            }
        };
        counts.frames += 1;
        let refused = match link::net(frame.link, frame.bytes) {
            Err(none) => none.name(),
            Ok(net) => match Packet::parse(net.ip, net.vlan) {
                Err(malformed) => malformed.name(),
                Ok(packet) => {
                    let above = match packet.l4 {
                        L4::Tcp { .. } => "tcp",
                        L4::Udp => "udp",
                        L4::Icmp { .. } => "icmp",
                        L4::Other => "other",
                    };
                    *counts.packets.entry(above).or_default() += 1;
                    continue;
                }
            },
        };
        *counts.refused.entry(refused).or_default() += 1;
    }
}

#[test]
fn every_capture_of_the_corpus_is_read_to_its_end() {
    let Some(folder) = std::env::var_os("FLOWREEVE_CORPUS") else {
        println!("FLOWREEVE_CORPUS is not set: nothing read");
        return;
    };
    let files = files(Path::new(&folder));
    let mut counts = Counts::default();

    for path in &files {
        read(path, &mut counts);
    }

    println!("{} files, {} frames", files.len(), counts.frames);
    println!("packets of flows: {:?}", counts.packets);
    println!("without a flow: {:?}", counts.refused);
    for fault in &counts.faults {
        println!("{fault}");
    }
    let packets: u64 = counts.packets.values().sum();
    let refused: u64 = counts.refused.values().sum();
    assert_eq!(packets + refused, counts.frames);
    assert!(packets > 0, "no packets in {}", folder.display());
    assert!(
        counts.faults.len() * 100 <= files.len(),
        "more than one file in a hundred is damaged: {:?}",
        counts.faults
    );
}

#[test]
fn replayed_twice_the_corpus_gives_the_same_events_to_the_byte() {
    let Some(folder) = std::env::var_os("FLOWREEVE_CORPUS") else {
        println!("FLOWREEVE_CORPUS is not set: nothing replayed");
        return;
    };
    let files = files(Path::new(&folder));
    let replay = || {
        Command::new(env!("CARGO_BIN_EXE_flowreeve"))
            .args(["replay", "--mode", "enforce", "--plugins"])
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("plugins"))
            .args(&files)
            .output()
            .expect("the binary was built for this test")
    };

    let (once, again) = (replay(), replay());

    assert!(
        once.status.success(),
        "{}",
        String::from_utf8_lossy(&once.stderr)
    );
    assert!(once.stdout == again.stdout && once.stderr == again.stderr);
    let lines = once.stdout.iter().filter(|byte| **byte == b'\n').count();
    println!("{} captures, {lines} events, twice the same", files.len());
    assert!(lines > files.len());
}
