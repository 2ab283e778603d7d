//! The programs in the lab's network: client, server and a handler in the engine's place. Each takes its orders from
//! the command line and says on standard output what it saw.

use std::collections::HashMap;
use std::io::{BufRead, ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use flowreeve::queue::{Answer, LIMIT, Marks, Packet, Queue, QueueConfig, QueueError, Watchdog};
use flowreeve::verdict::{Class, Verdict};

const PATIENCE: Duration = Duration::from_millis(700);

pub fn play(role: &str, arguments: &[String]) {
    match role {
        "engine" => engine(arguments),
        "server" => server(),
        "udp" => udp(arguments),
        "talk" => talk(arguments),
        "tcp" => tcp(arguments),
        "bulk" => bulk(arguments),
        "blast" => blast(arguments),
        _ => panic!("no role {role}"),
    }
}

fn say(line: &str) {
    println!("{line}");
}

/// NUMBER [BUFFER-BYTES open|closed]: answers by the packet's port; on standard input the name of a counter or a
/// port, which it answers with a count, or `quit`.
fn engine(arguments: &[String]) {
    let mut config = QueueConfig::new(arguments[0].parse().expect("a queue number"));
    if let [_, bytes, fails] = arguments {
        config.recv_buffer = bytes.parse().expect("a size");
        config.fail_open = fails == "open";
    }
    let mut queue = Queue::open(&config).unwrap_or_else(|error| {
        eprintln!("{error}");
        std::process::exit(error.exit_code().into());
    });
    let _watchdog = Watchdog::start(LIMIT, vec![queue.watched()]).expect("a thread");
    let asked = questions();
    let mut notes = Notes::default();
    say("ready");
    loop {
        match queue.turn(Duration::from_millis(10), |packet, _| notes.answer(packet)) {
            Ok(_) => {}
            Err(QueueError::Released { .. }) => {
                queue.reopen().expect("nobody else wants it");
                notes.reopened += 1;
            }
            Err(error) => panic!("{error}"),
        }
        while let Ok(question) = asked.try_recv() {
            let counters = queue.counters();
            say(&match question.as_str() {
                "packets" => counters.packets,
                "batches" => counters.batches,
                "unseen" => counters.unseen,
                "late" => counters.late,
                "refused" => counters.refused + counters.malformed,
                "reopened" => notes.reopened,
                "longest_wire" => notes.longest_wire,
                "longest_payload" => notes.longest_payload,
                "quit" => {
                    queue
                        .drain(|packet, _| notes.answer(packet))
                        .expect("it is still ours");
                    return;
                }
                port => {
                    let port = port.parse::<u16>().expect("a port");
                    notes.seen.get(&port).copied().unwrap_or(0)
                }
            }
            .to_string());
        }
    }
}

fn questions() -> Receiver<String> {
    let (asks, asked) = mpsc::channel();
    thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            let _ = asks.send(line); // nobody there: the program ends
        }
    });
    asked
}

#[derive(Default)]
struct Notes {
    seen: HashMap<u16, u64>,
    longest_wire: u64,
    longest_payload: u64,
    reopened: u64,
}

impl Notes {
    fn answer(&mut self, packet: &Packet<'_>) -> Answer {
        self.longest_wire = self.longest_wire.max(packet.wire_bytes.into());
        self.longest_payload = self.longest_payload.max(packet.payload.len() as u64);
        // No options and no extension headers in this network; the server's addresses have a 2 in the same place.
        let (protocol, transport, to_server) = match packet.payload[0] >> 4 {
            6 => (packet.payload[6], 40, packet.payload[27] == 2),
            _ => (packet.payload[9], 20, packet.payload[18] == 2),
        };
        let at = transport + if to_server { 2 } else { 0 };
        let port = match protocol {
            6 | 17 => u16::from_be_bytes([packet.payload[at], packet.payload[at + 1]]),
            _ => 0,
        };
        *self.seen.entry(port).or_default() += 1;
        let says = |word: &[u8]| packet.payload.windows(word.len()).any(|part| part == word);
        if says(b"hang") {
            thread::sleep(Duration::from_secs(2));
        }
        let now = says(b"now");
        let verdict = match port {
            7001 if now => Verdict::PassFlow(Class::Plain),
            7002 if now => Verdict::PassFlow(Class::Offload),
            7003 if now => Verdict::PassFlow(Class::Marked),
            7004 if now => Verdict::DropFlow,
            7005 if now => Verdict::RejectFlow,
            9006 => Verdict::Drop,
            7014 => Verdict::DropFlow,
            7015 => Verdict::RejectFlow,
            _ => Verdict::Pass,
        };
        Marks::default().answer(verdict, packet.mark)
    }
}

/// Echoes on TCP and UDP ports 7000 to 7020. "later" is echoed once more half a second on; a long stream is
/// answered with its length.
fn server() {
    for port in 7000..=7020 {
        let everywhere = SocketAddr::from((Ipv6Addr::UNSPECIFIED, port));
        let socket = UdpSocket::bind(everywhere).expect("nobody else is here");
        thread::spawn(move || {
            let mut bytes = [0; 2048];
            while let Ok((length, from)) = socket.recv_from(&mut bytes) {
                let _ = socket.send_to(&bytes[..length], from);
                if bytes.starts_with(b"later") {
                    thread::sleep(Duration::from_millis(500));
                    let _ = socket.send_to(&bytes[..length], from);
                }
            }
        });
        let listener = TcpListener::bind(everywhere).expect("nobody else is here");
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                thread::spawn(move || echo(stream));
            }
        });
    }
    say("ready");
    thread::park();
}

fn echo(mut stream: TcpStream) {
    let mut bytes = vec![0; 1 << 16];
    let mut total = 0;
    while let Ok(length @ 1..) = stream.read(&mut bytes) {
        total += length;
        if total < 1000 && stream.write_all(&bytes[..length]).is_err() {
            return;
        }
    }
    let _ = writeln!(stream, "{total}");
}

/// ADDRESS PORT COUNT PAUSE-MS TEXT [OWN-PORT]: how many come back, and the longest time without any.
fn udp(arguments: &[String]) {
    let [_, _, count, pause, text, ..] = arguments else {
        panic!("too few words: {arguments:?}");
    };
    let own = arguments
        .get(5)
        .map_or(0, |port| port.parse().expect("a port"));
    let socket = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, own)).expect("a port is free");
    let pause = Duration::from_millis(pause.parse().expect("a time"));
    let count: u32 = count.parse().expect("a count");
    let to = address(arguments);
    let (mut received, mut longest, mut last) = (0, Duration::ZERO, Instant::now());
    let mut receive = |until: Instant| {
        let mut bytes = [0; 2048];
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return received;
            }
            socket.set_read_timeout(Some(left)).expect("not zero");
            if socket.recv(&mut bytes).is_ok() {
                received += 1;
                longest = longest.max(last.elapsed());
                last = Instant::now();
            }
            if received == count {
                return received;
            }
        }
    };
    let start = Instant::now();
    for sent in 1..=count {
        let _ = socket.send_to(text.as_bytes(), to);
        receive(start + pause * sent);
    }
    let received = receive(Instant::now() + PATIENCE);
    say(&format!("received={received}"));
    say(&format!("longest_gap_ms={}", longest.as_millis()));
}

/// ADDRESS PORT TEXT...: one UDP exchange after the other, and how each went. An answer counts for the text it is of.
fn talk(arguments: &[String]) {
    let socket = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)).expect("a port is free");
    socket
        .connect(address(arguments))
        .expect("there is a route");
    socket.set_read_timeout(Some(PATIENCE)).expect("not zero");
    for text in &arguments[2..] {
        let mut bytes = [0; 2048];
        let got = socket
            .send(text.as_bytes())
            .and_then(|_| socket.recv(&mut bytes));
        say(match &got {
            Ok(length) if &bytes[..*length] == text.as_bytes() => "echo",
            Ok(_) => "stray",
            Err(error) => outcome(error),
        });
    }
}

/// ADDRESS PORT TEXT...: the same over one TCP connection.
fn tcp(arguments: &[String]) {
    let mut stream = match TcpStream::connect_timeout(&address(arguments), PATIENCE) {
        Ok(stream) => stream,
        Err(error) => return say(outcome(&error)),
    };
    stream.set_read_timeout(Some(PATIENCE)).expect("not zero");
    for text in &arguments[2..] {
        let mut bytes = vec![0; text.len()];
        let got = stream
            .write_all(text.as_bytes())
            .and_then(|()| stream.read_exact(&mut bytes));
        say(got.as_ref().map_or_else(outcome, |()| "echo"));
    }
}

fn outcome(error: &std::io::Error) -> &'static str {
    match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => "timeout",
        ErrorKind::ConnectionRefused => "refused",
        ErrorKind::ConnectionReset => "reset",
        ErrorKind::HostUnreachable | ErrorKind::PermissionDenied => "prohibited",
        _ => panic!("{error}"),
    }
}

/// ADDRESS PORT BYTES: sends that many and tells how many the server got.
fn bulk(arguments: &[String]) {
    let mut stream = TcpStream::connect(address(arguments)).expect("the server listens");
    let mut left: usize = arguments[2].parse().expect("a size");
    let bytes = vec![0x55; 1 << 16];
    while left > 0 {
        let length = left.min(bytes.len());
        stream
            .write_all(&bytes[..length])
            .expect("the server reads");
        left -= length;
    }
    stream
        .shutdown(std::net::Shutdown::Write)
        .expect("it is open");
    let mut said = Vec::new();
    stream.read_to_end(&mut said).expect("the server answers");
    let said = String::from_utf8_lossy(&said);
    let last = said.lines().last().unwrap_or_default();
    say(&format!("received={}", last.trim_start_matches('U')));
}

/// ADDRESS PORT COUNT [TEXT OTHER-PORT]: as fast as can be; every third to the other port.
fn blast(arguments: &[String]) {
    let socket = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)).expect("a port is free");
    let to = address(arguments);
    let text = arguments.get(3).map_or("hello", String::as_str);
    let other = arguments.get(4).map(|port| {
        let mut other = to;
        other.set_port(port.parse().expect("a port"));
        other
    });
    for sent in 0..arguments[2].parse().expect("a count") {
        let to = if sent % 3 == 2 {
            other.unwrap_or(to)
        } else {
            to
        };
        socket
            .send_to(text.as_bytes(), to)
            .expect("there is a route");
    }
}

/// The first two words; an IPv4 address as the IPv6 socket wants it.
fn address(arguments: &[String]) -> SocketAddr {
    let ip: IpAddr = arguments[0].parse().expect("an address");
    let port = arguments[1].parse().expect("a port");
    match ip {
        IpAddr::V4(v4) => (v4.to_ipv6_mapped(), port).into(),
        IpAddr::V6(v6) => (v6, port).into(),
    }
}
