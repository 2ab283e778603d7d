//! What the packet path takes from the allocator: nothing once it runs, the Lua heap aside, and that stays
//! flat below its cap.

#[path = "support/allocations.rs"]
mod allocations;
#[path = "support/engine.rs"]
mod engine;
#[path = "support/mod.rs"]
mod support;

use std::net::SocketAddr;
use std::ops::Range;
use std::path::Path;

use flowreeve::budget::{Budget, Machine};
use flowreeve::config::Config;
use flowreeve::engine::{Arrival, Engine};
use flowreeve::setup;
use flowreeve::time::{Micros, Now};
use support::packets::{PSH, SYN};
use support::talk::{Talk, Timed, merge};

const CLIENT_12: &[u8] = include_bytes!("../src/l7/tls/fixtures/client_tls12.bin");
const SERVER_12: &[u8] = include_bytes!("../src/l7/tls/fixtures/server_tls12.bin");
const CLIENT_13: &[u8] = include_bytes!("../src/l7/tls/fixtures/client_tls13.bin");
const SERVER_13: &[u8] = include_bytes!("../src/l7/tls/fixtures/server_tls13.bin");
const RESPONSE: &[u8] =
    b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 2\r\n\r\nhi";
/// Bytes no dissector takes for its own.
const STRANGE: &[u8] = b"\xff\xfe strange";
const START: u64 = 1_000_000_000;

/// A conversation of client number `n` with `server`, in either IP version.
fn talk(n: usize, port: u16, at: u64) -> Talk {
    let [_, a, b, c] = (n as u32).to_be_bytes();
    let (client, server) = if n.is_multiple_of(2) {
        (format!("10.{a}.{b}.{c}:40000"), format!("192.0.2.1:{port}"))
    } else {
        (
            format!("[fd77::{b:x}:{c:x}:{a:x}]:40000"),
            format!("[2001:db8::1]:{port}"),
        )
    };
    let address = |text: String| text.parse::<SocketAddr>().expect("an address");
    Talk::new(address(client), address(server), at)
}

fn http(n: usize, path: &str) -> Talk {
    let mut talk = talk(n, 80, START);
    let request = format!("GET {path} HTTP/1.1\r\nHost: a.example\r\nUser-Agent: test/1\r\n\r\n");
    talk.open()
        .send(true, request.as_bytes())
        .send(false, RESPONSE)
        .close();
    talk
}

fn dns(n: usize) -> Talk {
    let question = b"\x03www\x07example\x03org\x00\x00\x01\x00\x01";
    let query = [
        b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00",
        &question[..],
    ]
    .concat();
    let answer = b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04\xc0\x00\x02\x07";
    let response = [
        b"\x12\x34\x81\x80\x00\x01\x00\x01\x00\x00\x00\x00",
        &question[..],
        answer,
    ]
    .concat();
    let mut talk = talk(n, 53, START);
    talk.datagram(true, &query).datagram(false, &response);
    talk
}

fn tls(n: usize, client: &[u8], server: &[u8]) -> Talk {
    let mut talk = talk(n, 443, START);
    talk.open().send(true, client).send(false, server).close();
    talk
}

/// Both hellos in five pieces that come in a wrong order, one of them twice.
fn tls_in_pieces(n: usize) -> Talk {
    let mut talk = talk(n, 443, START);
    let cuts = [20, 60, 61, 150];
    talk.open()
        .send_pieces(true, CLIENT_12, &cuts, &[1, 0, 4, 2, 1, 3])
        .send_pieces(false, SERVER_12, &cuts, &[4, 2, 3, 3, 1, 0]);
    talk
}

/// One conversation after the other, so that none loses its slot before it is over.
fn known(clients: Range<usize>) -> Vec<Timed> {
    clients
        .flat_map(|n| {
            let n = n * 4;
            [
                http(n, "/index.html"),
                dns(n + 1),
                tls(n + 2, CLIENT_12, SERVER_12),
                tls(n + 3, CLIENT_13, SERVER_13),
            ]
        })
        .flat_map(|talk| talk.packets)
        .collect()
}

fn unknown(clients: Range<usize>) -> Vec<Timed> {
    merge(clients.flat_map(|n| {
        let mut tcp = talk(n, 6_000, START);
        tcp.open();
        let mut udp = talk(n, 6_000, START);
        for _ in 0..15 {
            tcp.say(true, STRANGE);
            udp.datagram(true, STRANGE);
        }
        [tcp, udp]
    }))
}

/// Every packet of some conversations, cut short at every length, and with every byte of its headers spoilt.
fn malformed(clients: Range<usize>) -> Vec<Timed> {
    let mut packets = Vec::new();
    for whole in known(clients) {
        for len in 0..whole.ip.len().min(80) {
            let mut cut = whole.clone();
            cut.ip.truncate(len);
            packets.push(cut);
            let mut spoilt = whole.clone();
            spoilt.ip[len] = !spoilt.ip[len];
            packets.push(spoilt);
        }
    }
    packets
}

fn carry(engine: &mut Engine, packets: &[Timed]) {
    for packet in packets {
        let arrival = Arrival {
            ip: &packet.ip,
            vlan: 0,
            mac: None,
        };
        let _ = engine.handle(&arrival, Now::at(Micros(packet.at)));
        while engine.outbox.pop().is_some() {}
    }
}

/// Minutes of silence: every flow ends.
fn let_all_end(engine: &mut Engine) {
    for second in 0..200 {
        let at = Micros(START + 10_000_000) + Micros::from_secs(second);
        engine.tick(Now::at(at));
        while engine.outbox.pop().is_some() {}
    }
}

/// An engine that has seen `warm_up`, and how often it asks for memory while it sees `packets`.
fn calls_after(warm_up: &[Timed], packets: &[Timed]) -> (Engine, u64) {
    let mut engine = engine::with_plugins(&[]);
    carry(&mut engine, warm_up);
    let calls = allocations::calls_in(|| carry(&mut engine, packets));
    (engine, calls)
}

#[test]
fn memory_asked_for_is_noticed() {
    assert_eq!(allocations::calls_in(|| drop(Box::new(1))), 1);
}

#[test]
fn conversations_in_http_dns_and_tls_take_no_memory() {
    let (engine, calls) = calls_after(&known(0..100), &known(100..500));

    assert_eq!(calls, 0);
    let counters = engine.counters();
    assert_eq!(counters.flows.created, 2_000);
    assert_eq!(counters.detection.settled, 2_000);
}

#[test]
fn unknown_tcp_and_udp_take_no_memory() {
    let (engine, calls) = calls_after(&unknown(0..100), &unknown(100..500));

    assert_eq!(calls, 0);
    assert_eq!(engine.counters().detection.gave_up, 1_000);
}

#[test]
fn malformed_packets_take_no_memory() {
    let (engine, calls) = calls_after(&malformed(0..2), &malformed(2..40));

    assert_eq!(calls, 0);
    let counted: u64 = engine.counters().malformed.each().map(|(_, n)| n).sum();
    assert!(counted > 10_000);
}

#[test]
fn a_flood_of_syns_takes_no_memory_and_no_more_slots_than_there_are() {
    let mut engine = engine::with_plugins(&[]);
    let capacity = engine.fill().1;
    carry(&mut engine, &known(0..100));
    let flood: Vec<Timed> = (1_000..1_000 + capacity * 10)
        .flat_map(|n| {
            talk(n, 80, START + 10_000_000)
                .flags(true, SYN)
                .packets
                .clone()
        })
        .collect();
    let mut fullest = 0;

    let calls = allocations::calls_in(|| {
        for packet in &flood {
            carry(&mut engine, std::slice::from_ref(packet));
            fullest = fullest.max(engine.fill().0);
        }
    });

    assert_eq!(calls, 0);
    assert_eq!(fullest, capacity);
    let flows = engine.counters().flows;
    assert_eq!(flows.created, 400 + flood.len() as u64);
    let ended = flows.ended_evicted + flows.ended_closed + flows.ended_timeout;
    assert_eq!(flows.created - ended, engine.fill().0 as u64);
    assert!(flows.ended_evicted >= flood.len() as u64 - capacity as u64);
}

#[test]
fn streams_in_pieces_take_no_memory() {
    let pieces = |clients: Range<usize>| -> Vec<Timed> {
        clients.flat_map(|n| tls_in_pieces(n).packets).collect()
    };

    let (engine, calls) = calls_after(&pieces(0..10), &pieces(10..400));

    assert_eq!(calls, 0);
    let counters = engine.counters();
    assert_eq!(counters.detection.settled, 400);
    assert_eq!(counters.flows.streams_lost, 0);
}

#[test]
fn more_streams_than_buffers_take_no_memory() {
    let begun = |clients: Range<usize>| -> Vec<Timed> {
        clients
            .flat_map(|n| {
                talk(n, 443, START)
                    .open()
                    .say(true, &CLIENT_12[..50])
                    .packets
                    .clone()
            })
            .collect()
    };

    let (engine, calls) = calls_after(&begun(0..10), &begun(10..1_000));

    assert_eq!(calls, 0);
    assert!(engine.counters().flows.streams_lost > 0);
}

#[test]
fn flows_that_end_take_no_memory() {
    let (mut engine, _) = calls_after(&known(0..100), &unknown(100..200));

    let calls = allocations::calls_in(|| let_all_end(&mut engine));

    assert_eq!(calls, 0);
    assert_eq!(engine.fill().0, 0);
}

#[test]
fn packets_of_decided_flows_take_no_memory_with_scripts_loaded() {
    let mut engine = engine::with_plugins(&["plugins"]);
    let decided: Vec<Talk> = (0..300)
        .map(|n| http(n, ["/a.html", "/a.exe"][n % 3 / 2]))
        .collect();
    carry(&mut engine, &merge(decided.clone()));
    let later: Vec<Timed> = (0..300)
        .flat_map(|n| {
            let mut talk = talk(n, 80, START + 1_000_000);
            talk.flags(true, PSH)
                .say(false, RESPONSE)
                .say(true, STRANGE);
            talk.packets
        })
        .collect();
    let calls_of_scripts = engine.counters().scripts.calls;

    let calls = allocations::calls_in(|| carry(&mut engine, &later));

    assert_eq!(calls, 0);
    assert!(calls_of_scripts >= 300);
    assert_eq!(engine.counters().scripts.calls, calls_of_scripts);
    assert_eq!(engine.counters().flows.condemned, 100);
}

#[test]
fn twenty_thousand_flows_through_scripts_leave_memory_as_it_was() {
    const BLOCKS: usize = 20;
    const FLOWS: usize = 1_000;
    let mut engine = engine::with_plugins(&["plugins"]);
    let cap = engine::budget().lua_bytes_per_state();
    let flow = |n: usize| match n % 4 {
        0 => http(n, "/files/setup.exe"),
        1 => http(n, "/index.html"),
        2 => dns(n),
        _ => tls(n, CLIENT_13, SERVER_13),
    };
    // Bytes that are not Lua's, and the most Lua had, after each block.
    let mut besides_lua = [0; BLOCKS + 1];
    let mut heap = [0; BLOCKS + 1];

    for block in 0..=BLOCKS {
        for n in block * FLOWS..(block + 1) * FLOWS {
            let packets = flow(n).packets;
            carry(&mut engine, &packets);
            heap[block] = heap[block].max(engine.scripts().heap_bytes());
        }
        besides_lua[block] = allocations::now().live_bytes - engine.scripts().heap_bytes() as i64;
    }

    let counters = engine.counters();
    assert!(counters.scripts.calls as usize >= BLOCKS * FLOWS);
    assert_eq!(counters.scripts.errors + counters.scripts.overruns, 0);
    assert_eq!(besides_lua[1..], [besides_lua[0]; BLOCKS]);
    assert!(heap.iter().all(|bytes| *bytes <= cap), "{heap:?} of {cap}");
    let (early, late) = heap[1..].split_at(BLOCKS / 2);
    let most = |blocks: &[usize]| *blocks.iter().max().expect("there are blocks");
    assert!(most(late) <= most(early) + most(early) / 20, "{heap:?}");
}

#[test]
fn the_tables_of_every_class_stay_within_its_budget() {
    for class in ["S", "M", "L", "XL"] {
        let config = Config {
            profile: class.into(),
            ..engine::config(&[])
        };
        let machine = Machine {
            ram_bytes: 64 << 20,
            board: None,
            cores: 1,
            conntrack_max: None,
        };
        let budget = Budget::choose(&config, &machine, Path::new("")).expect("a class is a budget");
        let scripts = engine::scripts(&config, &budget);
        let before = allocations::now().live_bytes;

        let engine = setup::engine(&config, &budget, 1, scripts);

        let taken = (allocations::now().peak_bytes - before) as usize;
        let room = budget.resident_bytes() - budget.lua_bytes;
        assert!(taken <= room, "{class}: {taken} of {room}");
        assert_eq!(engine.fill().1, budget.flows as usize, "{class}");
        assert!(taken > budget.flows as usize * 600, "{class}: {taken}");
    }
}
