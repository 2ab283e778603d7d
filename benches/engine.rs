//! What a packet costs in the engine, without I/O: nanoseconds and allocations by stage, beside the marks we
//! hold ourselves to. `cargo bench --bench engine`; with `-- --quick` only to see that it runs.
//!
//! Every case runs once a round, the median over rounds is shown. Whoever compares two builds does it on one
//! machine, one after the other and back.

#[path = "../tests/support/allocations.rs"]
mod allocations;
#[path = "../tests/support/engine.rs"]
mod engine;
#[path = "engine/scripts.rs"]
mod scripts;
#[path = "../tests/support/mod.rs"]
mod support;

use std::hint::black_box;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use flowreeve::budget::Budget;
use flowreeve::config::Config;
use flowreeve::engine::{Arrival, Engine};
use flowreeve::events::Event;
use flowreeve::flow::{Detail, Flow};
use flowreeve::packet::Packet;
use flowreeve::script::current::Hook;
use flowreeve::script::{Phase, Scripts};
use flowreeve::setup;
use flowreeve::time::{Micros, Now};
use support::packets::{self, ACK, SYN};
use support::talk::{Talk, Timed};

const CLIENT_13: &[u8] = include_bytes!("../src/l7/tls/fixtures/client_tls13.bin");
const SERVER_13: &[u8] = include_bytes!("../src/l7/tls/fixtures/server_tls13.bin");

/// Memory of class M.
const BYTES: usize = 24 << 20;
/// Packets handled between two looks at the outbox, as the queue takes them.
const BATCH: usize = 32;
/// Engine time between two packets: a million packets a second.
const STEP: Micros = Micros(1);

/// How much is run.
struct Effort {
    rounds: usize,
    /// Packets or calls of a case in a round.
    units: usize,
}

/// One line of the table.
struct Case {
    name: &'static str,
    /// What a unit is.
    unit: &'static str,
    /// Most nanoseconds a unit may take.
    mark: Option<f64>,
    /// Whether it may not allocate at all. Lua does.
    allocates_nothing: bool,
    /// Runs about so many units and says how many they were.
    run: Box<dyn FnMut(usize) -> usize>,
    /// Nanoseconds a unit, a round each.
    nanos: Vec<f64>,
    allocations: u64,
    units: usize,
}

impl Case {
    fn new(name: &'static str, run: impl FnMut(usize) -> usize + 'static) -> Case {
        Case {
            name,
            unit: "packet",
            mark: None,
            allocates_nothing: true,
            run: Box::new(run),
            nanos: Vec::new(),
            allocations: 0,
            units: 0,
        }
    }

    fn at_most(mut self, nanos: f64) -> Case {
        self.mark = Some(nanos);
        self
    }

    fn with_lua(mut self, unit: &'static str) -> Case {
        self.unit = unit;
        self.allocates_nothing = false;
        self
    }

    fn round(&mut self, units: usize) {
        let before = allocations::now().calls;
        let begun = Instant::now();
        let units = (self.run)(units);
        let nanos = begun.elapsed().as_nanos() as f64;
        self.allocations += allocations::now().calls - before;
        self.nanos.push(nanos / units as f64);
        self.units += units;
    }

    /// Median, and the quartiles around it.
    fn quartiles(&mut self) -> [f64; 3] {
        self.nanos.sort_by(f64::total_cmp);
        [1, 2, 3].map(|quarter| self.nanos[(self.nanos.len() - 1) * quarter / 4])
    }

    /// Prints the line; false if a mark is missed.
    fn print(&mut self) -> bool {
        let [low, median, high] = self.quartiles();
        let allocations = self.allocations as f64 / self.units as f64;
        let fast = self.mark.is_none_or(|mark| median <= mark);
        let lean = self.allocations == 0 || !self.allocates_nothing;
        let mark = match self.mark {
            Some(mark) => format!("<= {mark:.0}"),
            None => String::new(),
        };
        let result = match (fast && lean, self.mark) {
            (false, _) => "MISSED",
            (true, Some(_)) => "held",
            (true, None) => "",
        };
        println!(
            "{:<46} {median:>8.0} {low:>8.0} {high:>8.0} {allocations:>8.2}  {:<6} {mark:>9} {result}",
            self.name, self.unit
        );
        fast && lean
    }
}

fn main() {
    let quick = std::env::args().any(|argument| argument == "--quick");
    let effort = if quick {
        Effort {
            rounds: 1,
            units: 2_000,
        }
    } else {
        Effort {
            rounds: 15,
            units: 100_000,
        }
    };
    let mut cases = cases();
    for case in &mut cases {
        case.round(effort.units); // warms up
        (case.nanos, case.allocations, case.units) = (Vec::new(), 0, 0);
    }
    for _ in 0..effort.rounds {
        for case in &mut cases {
            case.round(effort.units);
        }
    }

    println!("{}", machine());
    println!(
        "{:<46} {:>8} {:>8} {:>8} {:>8}  {:<6} {:>9}",
        "", "ns", "quarter", "3/4", "allocs", "a", "mark, ns"
    );
    let held = cases
        .iter_mut()
        .fold(true, |held, case| case.print() & held);
    println!("median of {} rounds, all cases in turn", effort.rounds);
    if !held && !quick {
        std::process::exit(1);
    }
}

fn cases() -> Vec<Case> {
    vec![
        parse(),
        decided("decided flows, 1,024 of them", 1_024).at_most(400.0),
        decided("decided flows, full table at random", usize::MAX).at_most(400.0),
        new_flows().at_most(2_000.0),
        detection("detection, HTTP", http()).at_most(2_000.0),
        detection("detection, DNS", dns()).at_most(2_000.0),
        detection("detection, TLS 1.3", tls()).at_most(2_000.0),
        detection("detection, unknown TCP", unknown()).at_most(2_000.0),
        hook(
            "protocolDetected, three fields read",
            &[scripts::THREE_FIELDS],
        )
        .at_most(1_000.0),
        hook("protocolDetected, 20 scripts", &scripts::TYPICAL).at_most(20_000.0),
        whole_flow("HTTP flow, no scripts", &[]),
        whole_flow("HTTP flow, 20 scripts", &scripts::TYPICAL).at_most(20_000.0),
    ]
}

fn parse() -> Case {
    let client = addr("10.0.0.1:40000");
    let v4 = packets::tcp(client, addr("192.0.2.1:443"), 1, 1, ACK, &[0; 64]);
    let v6 = packets::tcp(
        addr("[fd77::1]:40000"),
        addr("[2001:db8::1]:443"),
        1,
        1,
        ACK,
        &[0; 64],
    );
    Case::new("parse", move |units| {
        for _ in 0..units / 2 {
            black_box(Packet::parse(black_box(&v4), 0)).expect("well formed");
            black_box(Packet::parse(black_box(&v6), 0)).expect("well formed");
        }
        units / 2 * 2
    })
}

/// Packets of flows with a verdict, as many flows as fit if they are more.
fn decided(name: &'static str, most: usize) -> Case {
    let mut run = Run::new(&[]);
    let talk = dns();
    let capacity = run.engine.fill().1;
    // Four times as many as fit fill every set; those that were evicted do not take part.
    let begun = most.min(capacity * 4);
    let mut evicted = vec![false; begun + 1];
    let mut clients: Vec<Timed> = Vec::with_capacity(begun);
    let mut packets = talk.clone();
    for n in 0..begun {
        for packet in &mut packets {
            number_client(packet, n as u32);
            run.feed(packet);
        }
        clients.push(packets[0].clone());
        while let Some(event) = run.engine.outbox.pop() {
            if let Event::FlowEnd(record, _) = event {
                evicted[record.flow.id as usize] = true;
            }
        }
    }
    let mut n = 0;
    clients.retain(|_| {
        n += 1;
        !evicted[n]
    });
    let created = run.engine.counters().flows.created;
    let mut random = 1u64;
    Case::new(name, move |units| {
        for _ in 0..units {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            run.handle(&clients[(random >> 33) as usize % clients.len()]);
        }
        assert_eq!(run.engine.counters().flows.created, created);
        units
    })
}

/// A SYN of another client each time: the table is full, someone has to go.
fn new_flows() -> Case {
    let mut run = Run::new(&[]);
    let mut talk = Talk::new(addr("10.0.0.1:40000"), addr("192.0.2.1:443"), 0);
    let mut syn = talk.flags(true, SYN).packets[0].clone();
    let mut n = 0;
    let mut one = move |run: &mut Run| {
        n += 1;
        number_client(&mut syn, n);
        run.handle(&syn);
    };
    while run.engine.counters().flows.ended_evicted < run.engine.fill().1 as u64 * 4 {
        one(&mut run);
    }
    Case::new("new flow each packet, table full", move |units| {
        for _ in 0..units {
            one(&mut run);
        }
        units
    })
}

/// Whole conversations up to where detection is done, each of another client; the table is full of those before.
fn detection(name: &'static str, talk: Vec<Timed>) -> Case {
    let mut flows = Flows::new(Run::new(&[]), talk);
    Case::new(name, move |units| {
        let packets = flows.talk.len();
        for _ in 0..units / packets {
            flows.next();
        }
        units / packets * packets
    })
}

/// As `detection`, counted by flow.
fn whole_flow(name: &'static str, texts: &[&str]) -> Case {
    let mut flows = Flows::new(Run::new(texts), http());
    let wanted = texts.len() as u64;
    Case::new(name, move |units| {
        let units = units / 10;
        let before = flows.run.engine.counters().scripts;
        for _ in 0..units {
            flows.next();
        }
        let after = flows.run.engine.counters().scripts;
        assert_eq!(after.calls - before.calls, wanted * units as u64);
        assert_eq!(after.errors + after.overruns, 0);
        units
    })
    .with_lua("flow")
}

/// Hook calls alone, for an HTTP flow.
fn hook(name: &'static str, texts: &[&str]) -> Case {
    let mut scripts = load(texts);
    let (flow, detail) = detected();
    let wanted = texts.len() as u64;
    let calls = |scripts: &Scripts| scripts.counters().map(|script| script.calls).sum::<u64>();
    Case::new(name, move |units| {
        let units = units / 10;
        let before = calls(&scripts);
        for n in 0..units {
            let (mut flow, mut detail) = (flow, detail);
            flow.id += n as u64; // another flow: nothing found out for the last one holds
            let now = Now::at(Micros::from_millis(n as u64));
            let hook = Hook::ProtocolDetected;
            black_box(scripts.run(hook, Phase::Complete, &mut flow, &mut detail, now));
        }
        assert_eq!(calls(&scripts) - before, wanted * units as u64);
        assert!(
            scripts
                .counters()
                .all(|script| script.errors + script.overruns == 0)
        );
        units
    })
    .with_lua("flow")
}

/// An engine, its clock, and its outbox emptied as the queue does it.
struct Run {
    engine: Engine,
    now: Micros,
    handled: usize,
}

impl Run {
    fn new(texts: &[&str]) -> Run {
        let budget = Budget::split(BYTES);
        Run {
            engine: setup::engine(&Config::default(), &budget, 1, load(texts)),
            now: Micros::from_secs(1_000),
            handled: 0,
        }
    }

    fn handle(&mut self, packet: &Timed) {
        self.feed(packet);
        self.handled += 1;
        if self.handled.is_multiple_of(BATCH) {
            while let Some(event) = self.engine.outbox.pop() {
                black_box(&event);
            }
        }
    }

    /// Leaves the outbox to the caller.
    fn feed(&mut self, packet: &Timed) {
        self.now = self.now + STEP;
        let arrival = Arrival {
            ip: &packet.ip,
            vlan: 0,
            mac: None,
        };
        let _ = black_box(self.engine.handle(&arrival, Now::at(self.now)));
    }
}

/// One conversation again and again, of another client each time.
struct Flows {
    run: Run,
    talk: Vec<Timed>,
    n: u32,
}

impl Flows {
    /// With a full table.
    fn new(run: Run, talk: Vec<Timed>) -> Flows {
        let mut flows = Flows { run, talk, n: 0 };
        while flows.run.engine.counters().flows.ended_evicted < flows.run.engine.fill().1 as u64 {
            flows.next();
        }
        flows
    }

    fn next(&mut self) {
        self.n += 1;
        for packet in &mut self.talk {
            number_client(packet, self.n);
            self.run.handle(packet);
        }
    }
}

/// Scripts of these texts, a file each.
fn load(texts: &[&str]) -> Scripts {
    let folder = std::env::temp_dir().join(format!("flowreeve-bench-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder can be made");
    for (n, text) in texts.iter().enumerate() {
        std::fs::write(folder.join(format!("bench_{n}.lua")), text).expect("a file can be written");
    }
    let config = Config {
        flow_script_dirs: vec![folder.clone()],
        ..engine::config(&[])
    };
    let scripts = engine::scripts(&config, &Budget::split(BYTES));
    std::fs::remove_dir_all(&folder).expect("the folder is ours");
    let findings = &scripts.catalog().findings;
    assert!(findings.is_empty(), "{findings:?}");
    scripts
}

/// An HTTP flow as scripts find it.
fn detected() -> (Flow, Detail) {
    let mut run = Run::new(&[]);
    for packet in &http() {
        run.handle(packet);
    }
    let events = std::iter::from_fn(|| run.engine.outbox.pop());
    events
        .filter_map(|event| match event {
            Event::Detected(record) => Some((record.flow, record.detail)),
            _ => None,
        })
        .next()
        .expect("HTTP is detected")
}

fn addr(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

/// Gives the packet's IPv4 client the address 10.x.y.z. Nobody looks at checksums here: the kernel has.
fn number_client(packet: &mut Timed, n: u32) {
    let at = if packet.to_server { 12 } else { 16 };
    packet.ip[at..at + 4].copy_from_slice(&(10 << 24 | n & 0xff_ffff).to_be_bytes());
}

fn conversation(port: u16) -> Talk {
    let server = SocketAddr::from(([192, 0, 2, 1], port));
    Talk::new(addr("10.0.0.1:40000"), server, 0)
}

fn http() -> Vec<Timed> {
    let mut talk = conversation(80);
    talk.open()
        .say(
            true,
            b"GET /news/2024/index.html?page=2 HTTP/1.1\r\nHost: www.example.org\r\n\
            User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n\
            Accept: text/html,application/xhtml+xml\r\nAccept-Language: en-US,en;q=0.5\r\n\
            Accept-Encoding: gzip, deflate\r\nConnection: keep-alive\r\n\r\n",
        )
        .say(
            false,
            b"HTTP/1.1 200 OK\r\nServer: nginx\r\nDate: Mon, 01 Jan 2024 00:00:00 GMT\r\n\
            Content-Type: text/html; charset=utf-8\r\nContent-Length: 5\r\n\r\nhello",
        );
    talk.packets
}

fn dns() -> Vec<Timed> {
    let question = b"\x03www\x07example\x03org\x00\x00\x01\x00\x01";
    let head = |flags: &[u8], answers| {
        let counts = [0, 1, 0, answers, 0, 0, 0, 0];
        [b"\x12\x34", flags, &counts, question].concat()
    };
    let answer = b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04\xc0\x00\x02\x07";
    let mut talk = conversation(53);
    talk.datagram(true, &head(b"\x01\x00", 0))
        .datagram(false, &[&head(b"\x81\x80", 1)[..], answer].concat());
    talk.packets
}

fn tls() -> Vec<Timed> {
    let mut talk = conversation(443);
    talk.open().say(true, CLIENT_13).say(false, SERVER_13);
    talk.packets
}

fn unknown() -> Vec<Timed> {
    let mut talk = conversation(6_000);
    talk.open();
    for n in 0..9 {
        talk.say(n % 2 == 0, b"\xff\xfe neither this nor that");
    }
    talk.packets
}

/// Where the figures come from: processor, kernel, commit.
fn machine() -> String {
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .map_or("unknown processor", |rest| {
            rest.trim_start_matches([' ', '\t', ':'])
        });
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let commit = Command::new("git")
        .args(["describe", "--always", "--dirty"])
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")))
        .output()
        .map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
        .unwrap_or_default();
    format!("{model}, Linux {}, commit {commit}", kernel.trim())
}
