//! The engine between two TCP stacks in one process: real conversations with loss, reordering,
//! duplicates and small segments, without root and without a clock.

#[path = "support/engine.rs"]
mod support;

use std::collections::VecDeque;

use flowreeve::engine::{Arrival, Engine};
use flowreeve::events::Event;
use flowreeve::time::{Micros, Now};
use flowreeve::verdict::Verdict;
use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::socket::tcp;
use smoltcp::time::Instant;
use smoltcp::wire::{HardwareAddress, IpAddress, IpCidr};

const BODY: usize = 20_000;

/// One end of a cable: what came in, what goes out.
struct Port {
    incoming: VecDeque<Vec<u8>>,
    outgoing: VecDeque<Vec<u8>>,
    mtu: usize,
}

struct Incoming(Vec<u8>);
struct Outgoing<'a>(&'a mut VecDeque<Vec<u8>>);

impl RxToken for Incoming {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(&self.0)
    }
}

impl TxToken for Outgoing<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let mut bytes = vec![0; len];
        let result = f(&mut bytes);
        self.0.push_back(bytes);
        result
    }
}

impl Device for Port {
    type RxToken<'a> = Incoming;
    type TxToken<'a> = Outgoing<'a>;

    fn receive(&mut self, _: Instant) -> Option<(Incoming, Outgoing<'_>)> {
        let bytes = self.incoming.pop_front()?;
        Some((Incoming(bytes), Outgoing(&mut self.outgoing)))
    }

    fn transmit(&mut self, _: Instant) -> Option<Outgoing<'_>> {
        Some(Outgoing(&mut self.outgoing))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ip;
        capabilities.max_transmission_unit = self.mtu;
        capabilities
    }
}

struct Host {
    interface: Interface,
    port: Port,
    sockets: SocketSet<'static>,
    socket: SocketHandle,
}

impl Host {
    fn new(address: IpAddress, mtu: usize, seed: u64) -> Host {
        let mut port = Port {
            incoming: VecDeque::new(),
            outgoing: VecDeque::new(),
            mtu,
        };
        let mut config = Config::new(HardwareAddress::Ip);
        config.random_seed = seed;
        let mut interface = Interface::new(config, &mut port, Instant::ZERO);
        let prefix = if matches!(address, IpAddress::Ipv4(_)) {
            24
        } else {
            64
        };
        interface.update_ip_addrs(|list| {
            list.push(IpCidr::new(address, prefix))
                .expect("room for one address");
        });
        let buffer = || tcp::SocketBuffer::new(vec![0u8; 65_536]);
        let mut sockets = SocketSet::new(Vec::new());
        let socket = sockets.add(tcp::Socket::new(buffer(), buffer()));
        Host {
            interface,
            port,
            sockets,
            socket,
        }
    }

    fn poll(&mut self, now: Instant) {
        self.interface.poll(now, &mut self.port, &mut self.sockets);
    }

    fn socket(&mut self) -> &mut tcp::Socket<'static> {
        self.sockets.get_mut(self.socket)
    }
}

/// What the path does to packets, in percent.
#[derive(Clone, Copy)]
struct Weather {
    loss: u64,
    duplicate: u64,
    reorder: u64,
    mtu: usize,
}

const FINE: Weather = Weather {
    loss: 0,
    duplicate: 0,
    reorder: 0,
    mtu: 1500,
};
const STORM: Weather = Weather {
    loss: 8,
    duplicate: 8,
    reorder: 15,
    mtu: 1500,
};
/// 40 bytes of headers and some 60 of data: a request head spans several segments.
const CRUMBS: Weather = Weather { mtu: 100, ..STORM };

struct Dice(u64);

impl Dice {
    fn roll(&mut self, percent: u64) -> bool {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % 100 < percent
    }
}

struct Outcome {
    received: Vec<u8>,
    requests_at_server: usize,
    verdicts: Vec<Verdict>,
    reasons: usize,
}

/// One download of `path` through an engine with the bundled plugins, enforcing.
fn download(path: &str, v6: bool, weather: Weather, seed: u64) -> Outcome {
    let mut engine = support::with_plugins(&["plugins"]);
    let (client, server) = if v6 {
        (
            IpAddress::v6(0xfd77, 1, 0, 0, 0, 0, 0, 2),
            IpAddress::v6(0xfd77, 1, 0, 0, 0, 0, 0, 3),
        )
    } else {
        (IpAddress::v4(10, 77, 1, 2), IpAddress::v4(10, 77, 1, 3))
    };
    let mtu = if v6 {
        weather.mtu.max(160)
    } else {
        weather.mtu
    };
    let mut near = Host::new(client, mtu, seed);
    let mut far = Host::new(server, mtu, seed + 1);
    let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let mut outcome = Outcome {
        received: Vec::new(),
        requests_at_server: 0,
        verdicts: Vec::new(),
        reasons: 0,
    };
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: downloads.example\r\nUser-Agent: simulation/1\r\nAccept: */*\r\n\r\n"
    );
    let mut asked = String::new();
    let mut to_send: VecDeque<u8> = VecDeque::new();

    far.socket().listen(80).expect("a fresh socket listens");
    let Host {
        interface,
        sockets,
        socket,
        ..
    } = &mut near;
    sockets
        .get_mut::<tcp::Socket>(*socket)
        .connect(
            interface.context(),
            (server, 80),
            40_000 + (seed % 10_000) as u16,
        )
        .expect("a fresh socket connects");
    let mut sent = 0;

    for tick in 0..30_000u64 {
        let now = Instant::from_millis(tick as i64 * 2);
        near.poll(now);
        far.poll(now);

        let socket = near.socket();
        if socket.can_send() && sent < request.len() {
            sent += socket
                .send_slice(&request.as_bytes()[sent..])
                .expect("may send");
        }
        if socket.can_recv() {
            let bytes = socket
                .recv(|data| (data.len(), data.to_vec()))
                .expect("may receive");
            outcome.received.extend(bytes);
        }
        let socket = far.socket();
        if socket.can_recv() {
            let bytes = socket
                .recv(|data| (data.len(), data.to_vec()))
                .expect("may receive");
            asked.push_str(&String::from_utf8_lossy(&bytes));
            if asked.ends_with("\r\n\r\n") {
                outcome.requests_at_server += 1;
                let head = format!(
                    "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: {BODY}\r\n\r\n"
                );
                to_send.extend(head.bytes());
                to_send.extend((0..BODY).map(|n| n as u8));
            }
        }
        if socket.can_send() && !to_send.is_empty() {
            let sent = socket
                .send_slice(to_send.make_contiguous())
                .expect("may send");
            to_send.drain(..sent);
        }

        let now = Now::at(Micros::from_millis(1_000_000 + tick * 2));
        carry(
            &mut engine,
            &mut near.port,
            &mut far.port,
            weather,
            &mut dice,
            now,
            &mut outcome,
        );
        carry(
            &mut engine,
            &mut far.port,
            &mut near.port,
            weather,
            &mut dice,
            now,
            &mut outcome,
        );
        if outcome.received.len() >= BODY + 80 && to_send.is_empty() {
            break;
        }
    }
    outcome
}

fn carry(
    engine: &mut Engine,
    from: &mut Port,
    to: &mut Port,
    weather: Weather,
    dice: &mut Dice,
    now: Now,
    outcome: &mut Outcome,
) {
    if from.outgoing.len() > 1 && dice.roll(weather.reorder) {
        from.outgoing.swap(0, 1);
    }
    while let Some(bytes) = from.outgoing.pop_front() {
        if dice.roll(weather.loss) {
            continue;
        }
        let copies = 1 + usize::from(dice.roll(weather.duplicate));
        for _ in 0..copies {
            let verdict = engine.handle(
                &Arrival {
                    ip: &bytes,
                    vlan: 0,
                    mac: None,
                },
                now,
            );
            outcome.verdicts.push(verdict);
            if !verdict.drops() && !dice.roll(weather.loss) {
                to.incoming.push_back(bytes.clone());
            }
        }
    }
    while let Some(event) = engine.outbox.pop() {
        outcome.reasons += usize::from(matches!(event, Event::Drop(_)));
    }
}

fn assert_blocked(outcome: &Outcome, what: &str) {
    assert_eq!(
        outcome.requests_at_server, 0,
        "{what}: the request reached the server"
    );
    assert!(
        outcome.received.is_empty(),
        "{what}: {} bytes arrived",
        outcome.received.len()
    );
    assert!(
        outcome.verdicts.contains(&Verdict::DropFlow),
        "{what}: no verdict"
    );
    assert_eq!(outcome.reasons, 1, "{what}: one flow is dropped once");
}

fn assert_passed(outcome: &Outcome, what: &str) {
    let body = outcome
        .received
        .windows(4)
        .position(|w| w == b"\r\n\r\n")
        .map(|at| at + 4);
    let body = &outcome.received[body.expect("a response head")..];
    assert_eq!(body.len(), BODY, "{what}");
    assert!(
        body.iter().enumerate().all(|(n, &byte)| byte == n as u8),
        "{what}: bytes differ"
    );
    assert!(
        outcome.verdicts.iter().all(|verdict| !verdict.drops()),
        "{what}"
    );
}

#[test]
fn a_forbidden_request_never_reaches_the_server() {
    for v6 in [false, true] {
        let outcome = download("/files/setup.exe", v6, FINE, 1);

        assert_blocked(&outcome, "fine weather");
    }
}

#[test]
fn an_allowed_download_arrives_whole_and_is_decided() {
    for v6 in [false, true] {
        let outcome = download("/index.html", v6, FINE, 1);

        assert_passed(&outcome, "fine weather");
        assert!(outcome.verdicts.iter().any(|verdict| verdict.is_final()));
    }
}

#[test]
fn loss_reordering_and_duplicates_change_no_verdict() {
    for seed in 0..40 {
        for v6 in [false, true] {
            assert_blocked(
                &download("/setup.exe", v6, STORM, seed),
                &format!("storm {seed}"),
            );
            assert_passed(
                &download("/index.html", v6, STORM, seed),
                &format!("storm {seed}"),
            );
        }
    }
}

#[test]
fn a_request_in_crumbs_is_still_read() {
    for seed in 0..40 {
        let what = format!("crumbs {seed}");
        assert_blocked(
            &download(
                "/a/long/way/to/a/file/called/setup.exe",
                false,
                CRUMBS,
                seed,
            ),
            &what,
        );
        assert_passed(
            &download(
                "/a/long/way/to/a/file/called/index.html",
                false,
                CRUMBS,
                seed,
            ),
            &what,
        );
    }
}
