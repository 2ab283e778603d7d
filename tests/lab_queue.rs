//! The queue, the firewall's table and the watchdog in a network of their own: real packets between two hosts, with a
//! handler of a few lines in the engine's place. Needs root and a kernel with NFQUEUE; says so where they lack, and
//! fails there with CI=true.
//!
//! A program of its own rather than a list of `#[test]`s: it is also every other program in that network (`ROLE`),
//! and its tests run one by one. `cargo test --test lab_queue WORD` runs those whose name has that word.

#[path = "lab/queue_lab.rs"]
mod lab;
#[path = "lab/queue_roles.rs"]
mod roles;

use std::process::Command;

use flowreeve::queue::{LIMIT, Marks};
use flowreeve::verdict::{Class, Verdict};

use lab::{Lab, NUMBER, own_path};

const V4: &str = "10.77.2.2";
const V6: &str = "fd77:2::2";

type Test = (&'static str, fn(&Lab));

macro_rules! tests {
    ($($name:ident,)*) => { const TESTS: &[Test] = &[$((stringify!($name), $name)),*]; };
}

tests! {
    a_passed_flow_does_not_come_up_again,
    a_dropped_flow_stays_dropped_both_ways_without_us,
    a_rejected_flow_is_told,
    a_first_packet_that_dies_leaves_no_flow,
    t27_foreign_mark_bits_survive,
    icmp_errors_and_exempt_addresses_do_not_come_up,
    t18_traffic_goes_on_when_the_engine_is_killed,
    t19_nothing_passes_a_killed_engine_that_fails_closed,
    t22_a_hung_handler_loses_its_queue_and_gets_it_back,
    gso_packets_come_whole_and_cut_at_the_copy_range,
    a_burst_beyond_the_buffer_is_counted_and_survived,
    each_packet_of_a_mixed_batch_gets_its_own_answer,
    what_waits_is_answered_before_the_end,
    answers_to_packets_the_kernel_dropped_are_late,
    a_taken_queue_and_a_missing_right_are_told_apart,
}

fn main() {
    if let Some(role) = std::env::var_os("ROLE") {
        let arguments: Vec<String> = std::env::args().skip(1).collect();
        return roles::play(role.to_str().expect("one of ours"), &arguments);
    }
    if let Some(lacking) = lacking() {
        println!("cannot run: {lacking}");
        assert!(
            std::env::var("CI").as_deref() != Ok("true"),
            "CI has to run this"
        );
        return;
    }
    let wanted: Vec<String> = std::env::args()
        .skip(1)
        .filter(|word| !word.starts_with('-'))
        .collect();
    let lab = Lab::build();
    let mut failed = 0;
    for (name, test) in TESTS {
        if !wanted.is_empty() && !wanted.iter().any(|word| name.contains(word.as_str())) {
            continue;
        }
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            lab.script(&["forget"], "");
            test(&lab);
        }));
        failed += usize::from(outcome.is_err());
        println!(
            "test {name} ... {}",
            if outcome.is_ok() { "ok" } else { "FAILED" }
        );
    }
    drop(lab);
    assert_eq!(failed, 0, "tests that failed");
}

/// What this machine is without.
fn lacking() -> Option<String> {
    for tool in ["ip", "nft", "iptables", "ip6tables", "conntrack"] {
        let ran = Command::new(tool).arg("--version").output();
        if ran.is_err() {
            return Some(format!("no program {tool}"));
        }
    }
    let rule = "-n iptables -w -t mangle -A FORWARD -j NFQUEUE".split(' ');
    match Command::new("unshare").args(rule).output() {
        Ok(output) if output.status.success() => None,
        _ => Some("needs root and a kernel with NFQUEUE".into()),
    }
}

fn a_passed_flow_does_not_come_up_again(lab: &Lab) {
    let mut engine = lab.engine(&[]);
    for address in [V4, V6] {
        for (port, class) in [
            (7001, Class::Plain),
            (7002, Class::Offload),
            (7003, Class::Marked),
        ] {
            let seen = engine.seen(port);

            let udp = lab.client("udp", &[address, &port.to_string(), "5", "10", "now"]);
            let after_udp = engine.seen(port);
            let tcp = lab.client("tcp", &[address, &port.to_string(), "now", "more", "more"]);

            assert_eq!(udp.words(), ["received=5"], "{address} {port}");
            assert_eq!(after_udp, seen + 1, "UDP {address} {port}");
            assert_eq!(tcp.words(), ["echo", "echo", "echo"], "{address} {port}");
            // SYN, SYN+ACK, ACK, data; the answer no more
            assert_eq!(engine.seen(port), after_udp + 4, "TCP {address} {port}");
            let bits = Marks::default().bits(Verdict::PassFlow(class));
            assert_eq!(lab.marks(address, port), [bits]);
        }
    }
}

fn a_dropped_flow_stays_dropped_both_ways_without_us(lab: &Lab) {
    let mut engine = lab.engine(&[]);
    for address in [V4, V6] {
        let seen = engine.seen(7004);
        let dropped = lab.counter("c_drop");

        // The server answers "later" at once and again half a second on, when the flow is dropped.
        let said = lab.client("talk", &[address, "7004", "later", "now", "more", "more"]);

        assert_eq!(
            said.words(),
            ["echo", "timeout", "timeout", "timeout"],
            "{address}"
        );
        // Two came up to be decided, and the first answer.
        assert_eq!(engine.seen(7004), seen + 3, "{address}");
        // The deciding one, two more there, one back.
        assert_eq!(lab.counter("c_drop"), dropped + 4, "{address}");
        let bits = Marks::default().bits(Verdict::DropFlow);
        assert_eq!(lab.marks(address, 7004), [bits]);
    }
    for address in [V4, V6] {
        let tcp = lab.client("tcp", &[address, "7004", "hello", "now"]);

        assert_eq!(tcp.words(), ["echo", "timeout"], "{address}");
    }
}

fn a_rejected_flow_is_told(lab: &Lab) {
    let _engine = lab.engine(&[]);
    for address in [V4, V6] {
        let tcp = lab.client("tcp", &[address, "7005", "hello", "now"]);
        let udp = lab.client("talk", &[address, "7005", "hello", "now"]);
        let first = lab.client("tcp", &[address, "7015", "hello"]);

        assert_eq!(tcp.words(), ["echo", "reset"], "{address}");
        assert_eq!(udp.words(), ["echo", "prohibited"], "{address}");
        assert_eq!(first.words(), ["refused"], "{address}");
        let bits = Marks::default().bits(Verdict::RejectFlow);
        assert_eq!(lab.marks(address, 7005), [bits]);
    }
}

fn a_first_packet_that_dies_leaves_no_flow(lab: &Lab) {
    let mut engine = lab.engine(&[]);
    for (address, own, set) in [(V4, "10.77.1.2", "block4"), (V6, "fd77:1::2", "block6")] {
        let seen = engine.seen(7014);

        let first = lab.client("udp", &[address, "7014", "5", "1", "hello", "6014"]);
        let asked = engine.seen(7014);
        let element = format!("{{ {own} . {address} . udp . 6014 . 7014 }}");
        lab.router(&["nft", "add", "element", "inet", "flowreeve", set, &element]);
        let then = lab.client("udp", &[address, "7014", "5", "1", "hello", "6014"]);

        assert_eq!(first.words(), ["received=0"]);
        assert_eq!(asked, seen + 5, "each is a first packet again");
        assert_eq!(lab.marks(address, 7014), []);
        assert_eq!(then.words(), ["received=0"]);
        assert_eq!(engine.seen(7014), asked, "blocked without asking");
    }
}

fn t27_foreign_mark_bits_survive(lab: &Lab) {
    let _engine = lab.engine(&[]);
    let foreign = "table inet foreign {
        chain before {
            type filter hook prerouting priority mangle; policy accept;
            ct state new ct mark set 0x40000055
            meta mark set 0x50abcd12
        }
        chain after {
            type filter hook postrouting priority 300; policy accept;
            iifname != \"r0\" iifname != \"r1\" return
            meta mark 0x50abcd12 counter name kept
            meta mark != 0x50abcd12 counter name changed
        }
        counter kept { }
        counter changed { }
    }";
    lab.nft(&foreign.replace("{ }", "{\n}"));

    for address in [V4, V6] {
        for port in [7000, 7001, 7003] {
            let udp = lab.client("udp", &[address, &port.to_string(), "50", "1", "now"]);

            assert_eq!(udp.words(), ["received=50"], "{address} {port}");
            let bits = match port {
                7000 => 0,
                7001 => 0x0100_0000,
                _ => 0x0900_0000,
            };
            assert_eq!(lab.marks(address, port), [0x4000_0055 | bits]);
        }
    }

    assert_eq!(lab.counter_of("foreign", "kept"), 600);
    assert_eq!(lab.counter_of("foreign", "changed"), 0);
    lab.nft("delete table inet foreign");
}

fn icmp_errors_and_exempt_addresses_do_not_come_up(lab: &Lab) {
    let mut engine = lab.engine(&[]);

    // Nobody listens there: the server answers with an ICMP error.
    let closed = lab.client("talk", &[V4, "7099", "hello"]);
    lab.router(&[
        "nft",
        "add",
        "element",
        "inet",
        "flowreeve",
        "exempt4",
        "{ 10.77.2.2 }",
    ]);
    let exempt = lab.client("udp", &[V4, "7000", "5", "1", "hello"]);
    lab.router(&["nft", "flush", "set", "inet", "flowreeve", "exempt4"]);

    assert_eq!(closed.words(), ["refused"]);
    assert_eq!(engine.seen(7099), 1);
    assert_eq!(engine.seen(0), 0);
    assert_eq!(exempt.words(), ["received=5"]);
    assert_eq!(engine.seen(7000), 0);
}

fn t18_traffic_goes_on_when_the_engine_is_killed(lab: &Lab) {
    let mut engine = lab.engine(&[]);

    let client = lab.start("client", "udp", &[V4, "7000", "1500", "1", "hello"]);
    engine.wait_for_packets(1000);
    engine.signal("KILL");

    let received = client.number("received");
    println!("  received {received} of 1500");
    assert!((1484..=1500).contains(&received), "received {received}");
}

fn t19_nothing_passes_a_killed_engine_that_fails_closed(lab: &Lab) {
    lab.rules(false);
    let engine = lab.engine(&[]);
    let before = lab.client("udp", &[V4, "7000", "5", "1", "hello"]);
    engine.signal("KILL");

    let after = lab.client("udp", &[V4, "7000", "5", "1", "hello"]);
    lab.rules(true);

    assert_eq!(before.words(), ["received=5"]);
    assert_eq!(after.words(), ["received=0"]);
}

fn t22_a_hung_handler_loses_its_queue_and_gets_it_back(lab: &Lab) {
    let mut engine = lab.engine(&[]);

    let client = lab.start("client", "udp", &[V4, "7000", "1500", "2", "hello"]);
    engine.wait_for_packets(200);
    let hang = lab.client("talk", &[V4, "7020", "hang"]); // for 2 s
    let outage = client.number("longest_gap_ms");

    assert_eq!(hang.words(), ["timeout"]);
    println!(
        "  outage {outage} ms with a limit of {} ms",
        LIMIT.as_millis()
    );
    assert!((250..1000).contains(&outage), "outage {outage} ms");
    let seen = engine.seen(7001); // answers when it is back
    assert_eq!(engine.count("reopened"), 1);
    let again = lab.client("udp", &[V4, "7001", "5", "1", "now"]);
    assert_eq!(again.words(), ["received=5"]);
    assert_eq!(engine.seen(7001), seen + 1);
}

fn gso_packets_come_whole_and_cut_at_the_copy_range(lab: &Lab) {
    let mut engine = lab.engine(&[]);

    let bulk = lab.client("bulk", &[V4, "7000", "67108864"]);

    assert_eq!(bulk.words(), ["received=67108864"]);
    assert!(engine.count("longest_wire") > 9000);
    assert_eq!(engine.count("longest_payload"), 1536);
    assert_eq!(engine.count("unseen"), 0);
}

fn a_burst_beyond_the_buffer_is_counted_and_survived(lab: &Lab) {
    for fails in ["open", "closed"] {
        let mut engine = lab.engine(&["8192", fails]);
        let came = lab.server_udp();
        engine.signal("STOP");

        lab.client("blast", &[V4, "9000", "3000"]);
        let losses = lab.queue_columns();
        engine.signal("CONT");
        let echoed = lab.client("udp", &[V4, "7000", "5", "1", "hello"]);

        assert_eq!(echoed.words(), ["received=5"], "{fails}");
        // The first number after the burst shows what is missing before it.
        let unseen = engine.count("unseen");
        assert!(unseen > 2000, "{fails}: {unseen}");
        assert_eq!(engine.count("packets") - 10 + unseen, 3000, "{fails}");
        let user_dropped = if fails == "open" { 0 } else { unseen };
        assert_eq!(lab.server_udp() - came - 5, 3000 - user_dropped, "{fails}");
        assert_eq!(losses[6], user_dropped, "{fails}");
        assert_eq!(losses[7], 3000, "{fails}");
    }
}

fn each_packet_of_a_mixed_batch_gets_its_own_answer(lab: &Lab) {
    let mut engine = lab.engine(&[]);
    engine.signal("STOP");
    let came = lab.server_udp();

    // Two to be accepted, one to be dropped, over and over.
    lab.client("blast", &[V4, "9000", "600", "now", "9006"]);
    engine.signal("CONT");
    engine.wait_for_packets(600);

    assert_eq!(lab.server_udp() - came, 400);
    assert_eq!(engine.seen(9006), 200);
    assert_eq!(
        engine.count("unseen") + engine.count("late") + engine.count("refused"),
        0
    );
    assert!(engine.count("batches") <= 600 / 32 + 4);
}

fn what_waits_is_answered_before_the_end(lab: &Lab) {
    let mut engine = lab.engine(&[]);
    engine.signal("STOP");
    let came = lab.server_udp();

    lab.client("blast", &[V4, "9000", "500"]);
    engine.say("quit");
    engine.signal("CONT");
    let status = engine.child.wait().expect("a child of ours");

    assert!(status.success());
    assert_eq!(lab.server_udp() - came, 500);
}

fn answers_to_packets_the_kernel_dropped_are_late(lab: &Lab) {
    let mut engine = lab.engine(&[]);
    engine.signal("STOP");

    lab.client("blast", &[V4, "9000", "20"]);
    lab.rules(true); // takes chains away, and with them what waits at them
    engine.signal("CONT");
    engine.wait_for_packets(20);
    let echoed = lab.client("udp", &[V4, "7000", "5", "1", "hello"]);

    assert_eq!(echoed.words(), ["received=5"]);
    assert!(engine.count("late") > 0);
    assert_eq!(engine.count("refused"), 0);
}

fn a_taken_queue_and_a_missing_right_are_told_apart(lab: &Lab) {
    let engine = lab.engine(&[]);
    let number = NUMBER.to_string();

    let second = lab
        .role("router", "engine", &[&number])
        .output()
        .expect("ip runs");
    let mut unprivileged = lab.command("router");
    unprivileged
        .args(["unshare", "--user"])
        .arg(own_path())
        .arg(&number)
        .env("ROLE", "engine");
    let unprivileged = unprivileged.output().expect("ip runs");
    drop(engine);

    for (output, code, word) in [
        (second, 4, "another program"),
        (unprivileged, 1, "CAP_NET_ADMIN"),
    ] {
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{error}");
        assert!(
            error.contains(word) && error.lines().count() == 1,
            "{error}"
        );
    }
}
