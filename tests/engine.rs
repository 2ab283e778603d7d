//! The engine over time: what it does when nothing comes, when too much comes, and when it is told otherwise.

#[path = "support/engine.rs"]
mod support;
#[path = "support/mod.rs"]
mod wire;

use std::net::SocketAddr;

use flowreeve::config::{Config, Exempt, Mode};
use flowreeve::engine::{Arrival, Engine};
use flowreeve::events::{End, Event};
use flowreeve::l7::Proto;
use flowreeve::time::{Micros, Now};
use flowreeve::verdict::{Class, Reason, Verdict};
use wire::talk::Talk;

const RELEASED: Verdict = Verdict::PassFlow(Class::Offload);

fn address(text: &str) -> SocketAddr {
    text.parse().expect("a test's address")
}

fn talk(client: &str, server: &str) -> Talk {
    Talk::new(address(client), address(server), 1_000_000)
}

/// Sends a conversation; the verdicts.
fn send(engine: &mut Engine, talk: &Talk) -> Vec<Verdict> {
    let handle = |packet: &wire::talk::Timed| {
        let arrival = Arrival {
            ip: &packet.ip,
            vlan: 0,
            mac: Some([2, 0, 0, 0, 0, 1]),
        };
        engine.handle(&arrival, Now::at(Micros(packet.at)))
    };
    talk.packets.iter().map(handle).collect()
}

fn events(engine: &mut Engine) -> Vec<Event> {
    std::iter::from_fn(|| engine.outbox.pop()).collect()
}

fn later(engine: &mut Engine, from: &Talk, secs: u64) {
    engine.tick(Now::at(Micros(from.at) + Micros::from_secs(secs)));
}

fn monitor() -> Config {
    Config {
        plugin_dirs: Vec::new(),
        ..Config::default()
    }
}

#[test]
fn detection_gives_up_after_five_seconds_of_silence() {
    let mut engine = support::with_config(&monitor());
    let mut talk = talk("192.0.2.1:40000", "198.51.100.1:22");
    talk.open().send(true, b"something no dissector knows");
    assert!(
        send(&mut engine, &talk)
            .iter()
            .all(|verdict| *verdict == Verdict::Pass)
    );

    later(&mut engine, &talk, 4);
    assert_eq!(engine.counters().detection.gave_up, 0);
    later(&mut engine, &talk, 7);

    assert_eq!(engine.counters().detection.gave_up, 1);
    talk.wait(7_000_000).send(true, b"more");
    assert_eq!(send(&mut engine, &talk).last(), Some(&RELEASED));
}

#[test]
fn an_unknown_protocol_is_released_after_twelve_packets() {
    let mut engine = support::with_config(&monitor());
    let mut talk = talk("192.0.2.1:40000", "198.51.100.1:9999");
    talk.open();
    for _ in 0..12 {
        talk.flags(true, 0x10);
    }

    let verdicts = send(&mut engine, &talk);

    assert_eq!(verdicts[10], Verdict::Pass);
    assert_eq!(verdicts[11], RELEASED);
}

#[test]
fn a_silent_flow_ends_and_its_record_says_how() {
    let mut engine = support::with_config(&monitor());
    let mut query = talk("192.0.2.1:5353", "198.51.100.1:9");
    query.datagram(true, b"anybody?");
    let mut closed = talk("192.0.2.1:40001", "198.51.100.1:80");
    closed.open().close();
    send(&mut engine, &query);
    send(&mut engine, &closed);

    later(&mut engine, &query, 20);
    later(&mut engine, &query, 22);
    let first: Vec<End> = ends(&mut engine);
    later(&mut engine, &query, 70);
    later(&mut engine, &query, 72);

    assert_eq!(first, [End::Closed]);
    assert_eq!(ends(&mut engine), [End::Timeout]);
    assert_eq!(engine.fill().0, 0);
}

fn ends(engine: &mut Engine) -> Vec<End> {
    let end = |event| match event {
        Event::FlowEnd(_, end) => Some(end),
        _ => None,
    };
    events(engine).into_iter().filter_map(end).collect()
}

#[test]
fn a_connection_opened_again_on_the_same_ports_is_another_flow() {
    let mut engine = support::with_config(&monitor());
    let mut first = talk("192.0.2.1:40000", "198.51.100.1:80");
    first.open().close();
    let mut second = talk("192.0.2.1:40000", "198.51.100.1:80");
    second.wait(1_000).open();

    send(&mut engine, &first);
    send(&mut engine, &second);

    assert_eq!(engine.counters().flows.created, 2);
    assert_eq!(ends(&mut engine), [End::Closed]);
}

#[test]
fn an_exempt_client_is_released_at_its_first_packet_and_never_judged() {
    let exempt = Exempt {
        src: "192.0.2.7".parse().ok(),
        ..Exempt::default()
    };
    let config = Config {
        mode: Mode::Enforce,
        exempt: vec![exempt],
        ..monitor()
    };
    let mut engine = support::with_config(&config);
    let mut talk = talk("192.0.2.7:40000", "198.51.100.1:80");
    talk.open()
        .send(true, b"GET /setup.exe HTTP/1.1\r\nHost: a.example\r\n\r\n");

    let verdicts = send(&mut engine, &talk);

    assert!(verdicts.iter().all(|verdict| *verdict == RELEASED));
    engine.finish(|_| ());
    let reasons: Vec<Reason> = events(&mut engine)
        .iter()
        .filter_map(|event| match event {
            Event::FlowEnd(record, _) => Some(record.flow.reason),
            _ => None,
        })
        .collect();
    assert_eq!(reasons, [Reason::Exempt(0)]);
}

#[test]
fn what_cannot_be_read_passes_or_dies_as_the_owner_wants() {
    let junk = Arrival {
        ip: &[0x45, 0],
        vlan: 0,
        mac: None,
    };
    let mut open = support::with_config(&monitor());
    let mut closed = support::with_config(&Config {
        fail_open: false,
        ..monitor()
    });

    assert_eq!(open.handle(&junk, Now::default()), Verdict::Pass);
    assert_eq!(closed.handle(&junk, Now::default()), Verdict::Drop);
    let counted = |engine: &Engine| {
        engine
            .counters()
            .malformed
            .each()
            .map(|(_, n)| n)
            .sum::<u64>()
    };
    assert_eq!((counted(&open), counted(&closed)), (1, 1));
}

#[test]
fn in_monitor_mode_the_record_says_what_would_have_been() {
    let mut engine = support::with_plugins(&["plugins"]);
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut watching = support::with_config(&Config {
        plugin_dirs: vec![root.join("plugins")],
        ..Config::default()
    });
    let mut talk = talk("192.0.2.1:40000", "198.51.100.1:80");
    talk.open()
        .send(true, b"GET /setup.exe HTTP/1.1\r\nHost: a.example\r\n\r\n");
    talk.send(false, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");

    let enforced = send(&mut engine, &talk);
    let watched = send(&mut watching, &talk);

    assert!(enforced.contains(&Verdict::DropFlow));
    assert!(watched.iter().all(|verdict| !verdict.drops()));
    let would: Vec<Verdict> = events(&mut watching)
        .iter()
        .filter_map(|event| match event {
            Event::Drop(record) => Some(record.flow.would),
            _ => None,
        })
        .collect();
    assert_eq!(would, [Verdict::DropFlow]);
    assert!(watching.counters().verdicts.would_drop > 0);
}

#[test]
fn who_answers_from_a_well_known_port_is_the_server_though_he_is_seen_first() {
    let mut engine = support::with_config(&monitor());
    let mut talk = talk("192.0.2.1:40000", "198.51.100.1:443");
    talk.flags(false, 0x10);

    send(&mut engine, &talk);
    engine.finish(|_| ());

    let flows = events(&mut engine);
    let Some(Event::FlowEnd(record, _)) = flows.last() else {
        panic!("no record");
    };
    assert_eq!(record.flow.server(), {
        let server = address("198.51.100.1:443");
        (server.ip(), server.port())
    });
    assert_eq!(record.flow.l7.master, Proto::TLS);
    assert!(record.flow.l7.guessed);
}
