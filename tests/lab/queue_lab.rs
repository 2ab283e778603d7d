//! The lab as its tests see it: namespaces with the product's table between them, the programs in there, and what the
//! kernel counted.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Output, Stdio};
use std::time::Duration;

use flowreeve::nft::{Rules, render};

/// Of the queue.
pub const NUMBER: u16 = 4200;

/// Client, router and server, the last with everything it serves.
pub struct Lab {
    prefix: String,
    server: Option<Child>,
}

impl Lab {
    pub fn build() -> Lab {
        let mut lab = Lab {
            prefix: format!("fq{}", std::process::id()),
            server: None,
        };
        lab.script(&["up", "--mode", "plain"], "");
        lab.rules(true);
        let mut server = lab.role("server", "server", &[]);
        let server = server.stdout(Stdio::piped()).spawn().expect("ip runs");
        let mut ready = String::new();
        let out = lab
            .server
            .insert(server)
            .stdout
            .take()
            .expect("it is piped");
        BufReader::new(out)
            .read_line(&mut ready)
            .expect("it says that it is ready");
        assert_eq!(ready, "ready\n");
        lab
    }

    /// The product's own table and the rule that queues.
    pub fn rules(&self, fail_open: bool) {
        let rules = Rules {
            no_queue: true,
            fail_open,
            queue_base: NUMBER,
            ..Rules::default()
        };
        let table = render(&rules).expect("good values");
        let bypass = if fail_open { "on" } else { "off" };
        self.script(&["rules", "--mode", "ours", "--bypass", bypass], &table);
    }

    pub fn script(&self, arguments: &[&str], input: &str) -> String {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lab/netns.sh");
        let mut command = Command::new(script);
        fed(
            command.args(arguments).env("LAB_PREFIX", &self.prefix),
            input,
        )
    }

    /// `command.args(...)` runs in namespace `place`.
    pub fn command(&self, place: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &format!("{}-{place}", self.prefix)]);
        command
    }

    pub fn role(&self, place: &str, role: &str, arguments: &[&str]) -> Command {
        let mut command = self.command(place);
        command.arg(own_path()).args(arguments).env("ROLE", role);
        command
    }

    pub fn start(&self, place: &str, role: &str, arguments: &[&str]) -> Running {
        let mut command = self.role(place, role, arguments);
        Running(command.stdout(Stdio::piped()).spawn().expect("ip runs"))
    }

    pub fn client(&self, role: &str, arguments: &[&str]) -> Said {
        Said(
            self.role("client", role, arguments)
                .output()
                .expect("ip runs"),
        )
    }

    pub fn engine(&self, arguments: &[&str]) -> Engine {
        let number = NUMBER.to_string();
        let mut command = self.role(
            "router",
            "engine",
            &[&[number.as_str()], arguments].concat(),
        );
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("ip runs");
        let said = BufReader::new(child.stdout.take().expect("it is piped"));
        let asked = child.stdin.take().expect("it is piped");
        let mut engine = Engine { child, asked, said };
        assert_eq!(engine.answer(), "ready");
        engine
    }

    pub fn router(&self, command: &[&str]) -> String {
        fed(self.command("router").args(command), "")
    }

    pub fn nft(&self, text: &str) {
        fed(self.command("router").args(["nft", "-f", "-"]), text);
    }

    pub fn counter(&self, name: &str) -> u64 {
        self.counter_of("flowreeve", name)
    }

    pub fn counter_of(&self, table: &str, name: &str) -> u64 {
        number(
            &self.router(&["nft", "list", "counter", "inet", table, name]),
            "packets ",
        )
    }

    /// UDP packets that came to the server's interface, and were not for it to answer: ports 9000 and up.
    pub fn server_udp(&self) -> u64 {
        let rules = ["iptables", "-w", "-t", "raw", "-vxnL", "PREROUTING"];
        let text = fed(self.command("server").args(rules), "");
        let line = text.lines().last().expect("there is a rule");
        let dropped: u64 = line
            .split_whitespace()
            .next()
            .expect("a count")
            .parse()
            .expect("a count");
        dropped + self.echoed()
    }

    /// Of ports 7000 and up: what the server's own counters say.
    pub fn echoed(&self) -> u64 {
        let text = fed(self.command("server").args(["cat", "/proc/net/snmp"]), "");
        let values = text.lines().filter(|line| line.starts_with("Udp:")).nth(1);
        let received = values.and_then(|line| line.split_whitespace().nth(1));
        received
            .expect("the kernel counts them")
            .parse()
            .expect("a count")
    }

    /// The kernel's line on our queue.
    pub fn queue_columns(&self) -> Vec<u64> {
        let text = self.router(&["cat", "/proc/net/netfilter/nfnetlink_queue"]);
        text.split_whitespace()
            .map(|column| column.parse().expect("a number"))
            .collect()
    }

    /// Marks of all UDP flows to a port of the server.
    pub fn marks(&self, address: &str, port: u16) -> Vec<u32> {
        let family = if address.contains(':') {
            "ipv6"
        } else {
            "ipv4"
        };
        let text = self.router(&["conntrack", "-L", "-f", family, "-p", "udp"]);
        let port = format!("dport={port} ");
        let ours = text.lines().filter(|line| line.contains(&port));
        ours.map(|line| number(line, " mark=") as u32).collect()
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.script(&["down"], ""); // ends the server as well
        if let Some(mut server) = self.server.take() {
            let _ = server.wait();
        }
    }
}

/// A handler over the real queue, see `roles::engine`.
pub struct Engine {
    pub child: Child,
    asked: ChildStdin,
    said: BufReader<ChildStdout>,
}

impl Engine {
    pub fn say(&mut self, word: &str) {
        writeln!(self.asked, "{word}").expect("it listens");
    }

    pub fn answer(&mut self) -> String {
        let mut line = String::new();
        self.said.read_line(&mut line).expect("it answers");
        line.trim_end().to_owned()
    }

    pub fn count(&mut self, name: &str) -> u64 {
        self.say(name);
        self.answer().parse().expect("a count")
    }

    /// Packets to or from that port of the server that came up; 0: neither TCP nor UDP.
    pub fn seen(&mut self, port: u16) -> u64 {
        self.count(&port.to_string())
    }

    pub fn wait_for_packets(&mut self, least: u64) {
        while self.count("packets") < least {
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// By number, which `ip netns exec` hands on to the program it becomes.
    pub fn signal(&self, name: &str) {
        let number = self.child.id().to_string();
        let status = Command::new("kill").args(["-s", name, &number]).status();
        assert!(status.is_ok_and(|status| status.success()));
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let _ = self.child.kill(); // it may be gone already
        let _ = self.child.wait();
    }
}

pub struct Running(Child);

impl Running {
    pub fn number(self, name: &str) -> u64 {
        let output = self.0.wait_with_output().expect("a child of ours");
        number(
            &String::from_utf8_lossy(&output.stdout),
            &format!("{name}="),
        )
    }
}

pub struct Said(Output);

impl Said {
    /// Line by line, without timings.
    pub fn words(&self) -> Vec<String> {
        assert!(
            self.0.status.success(),
            "{}",
            String::from_utf8_lossy(&self.0.stderr)
        );
        let text = String::from_utf8_lossy(&self.0.stdout);
        let lines = text.lines().filter(|line| !line.starts_with("longest"));
        lines.map(str::to_owned).collect()
    }
}

fn fed(command: &mut Command, input: &str) -> String {
    let streams = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = streams.spawn().expect("it was there a moment ago");
    let mut stdin = child.stdin.take().expect("it is piped");
    let _ = stdin.write_all(input.as_bytes()); // not all of them read it
    drop(stdin);
    let output = child.wait_with_output().expect("a child of ours");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {error}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn number(text: &str, before: &str) -> u64 {
    let (_, rest) = text
        .split_once(before)
        .unwrap_or_else(|| panic!("no \"{before}\" in: {text}"));
    let digits = rest.split(|c: char| !c.is_ascii_digit()).next();
    digits.expect("split gives one").parse().expect("a number")
}

pub fn own_path() -> std::path::PathBuf {
    std::env::current_exe().expect("we run")
}
