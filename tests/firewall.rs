//! The firewall text: as it stands in `tests/firewall/`, and as nft and iptables take it.

use std::io::Write;
use std::process::{Command, Output, Stdio};

use flowreeve::nft::{Change, Rules, iptables_rules, render};
use flowreeve::queue::Marks;

fn full() -> Rules {
    Rules {
        interfaces: vec!["br-lan".into(), "eth0.3".into()],
        queues: 4,
        exempt: vec![
            ("192.168.1.10".parse().expect("an address"), 32),
            ("10.9.8.7".parse().expect("an address"), 8),
            ("10.1.0.0".parse().expect("an address"), 16),
            ("fd00:1::".parse().expect("an address"), 64),
        ],
        exempt_macs: vec![[2, 0, 0, 0, 0, 1]],
        ..Rules::default()
    }
}

fn no_queue() -> Rules {
    Rules {
        no_queue: true,
        ..full()
    }
}

#[test]
fn the_text_is_the_one_that_was_reviewed() {
    let closed = Rules {
        marks: Marks::new(0xf000).expect("four neighbours"),
        fail_open: false,
        table: "other".into(),
        ..Rules::default()
    };
    let iptables = iptables_rules(&full(), Change::Add).expect("good values")
        + &iptables_rules(&closed, Change::Remove).expect("good values");

    let text = |rules| render(&rules).expect("good values");
    for (name, wanted, text) in [
        ("full", include_str!("firewall/full.nft"), text(full())),
        (
            "no-queue",
            include_str!("firewall/no-queue.nft"),
            text(no_queue()),
        ),
        ("closed", include_str!("firewall/closed.nft"), text(closed)),
        ("iptables", include_str!("firewall/iptables.sh"), iptables),
    ] {
        assert_eq!(text, wanted, "{name}");
    }
}

/// Runs `command` in a network namespace of its own; `None` where that cannot be.
fn alone(command: &[&str], input: &str) -> Option<Output> {
    let usable = |args: &[&str]| {
        let status = Command::new("unshare").args(args).output();
        status.is_ok_and(|output| output.status.success())
    };
    if !usable(&["-n", "nft", "list", "ruleset"]) {
        assert!(
            std::env::var_os("CI").is_none(),
            "needs root, unshare and nft"
        );
        println!("cannot run: needs root, unshare and nft");
        return None;
    }
    let mut child = Command::new("unshare")
        .arg("-n")
        .args(command)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("unshare was just there");
    let mut stdin = child.stdin.take().expect("it is piped");
    stdin.write_all(input.as_bytes()).expect("nft reads it all");
    drop(stdin);
    Some(child.wait_with_output().expect("a child of ours"))
}

#[test]
fn nft_takes_the_table_twice_and_keeps_one() {
    let text = render(&no_queue()).expect("good values");

    let script = "cat >$0; nft -c -f $0 && nft -f $0 && nft -f $0 && nft list tables; rm $0";
    let file = std::env::temp_dir().join(format!("flowreeve-{}.nft", std::process::id()));
    let file = file.to_str().expect("a plain path");
    let Some(output) = alone(&["sh", "-c", script, file], &text) else {
        return;
    };

    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(errors, "");
    assert_eq!(output.stdout, b"table inet flowreeve\n");
}

/// Where the kernel is without the statement it says that it has no such thing; a mistake of ours in the text would be
/// a syntax error.
#[test]
fn nft_finds_no_fault_with_the_queue_statement() {
    for rules in [full(), Rules::default()] {
        let text = render(&rules).expect("good values");

        let Some(output) = alone(&["nft", "-c", "-f", "-"], &text) else {
            return;
        };

        let errors = String::from_utf8_lossy(&output.stderr);
        let lacking = errors.contains("queue flags bypass to 4200")
            && errors.contains("No such file or directory")
            && errors.matches("Error:").count() == 1;
        assert!(output.status.success() || lacking, "{errors}");
    }
}
