//! The firewall's half of the verdict: a table of our own that queues what is undecided, writes the marks of
//! answered packets to their connections, and drops, rejects or passes the rest of each decided flow in the
//! kernel. Text for `nft -f`, to be loaded in one transaction of its own, never inside another firewall's.
//! What the marks mean is `queue/marks.rs`'s matter.
//!
//! # What is queued
//!
//! Forwarded TCP, UDP, ICMP and ICMPv6, from or to the inspected interfaces, of both IP versions. Left alone, that is
//! left to the other rules of the firewall:
//!
//! - other protocols (GRE, ESP, SCTP, ...): nothing in them is detected, so a trip to user space would tell nothing;
//! - neighbour discovery, should a bridge or a proxy bring it here: without it there is no network at all;
//! - ICMP errors: conntrack ties them to the flow they speak of, so an answer would be written to *that* flow;
//! - packets somebody chose not to track: no flow to write an answer to, fragments not put together.
//!
//! Packets conntrack calls invalid are queued: they belong to no flow it knows, so nothing is remembered of
//! their answer and each is asked about. Otherwise a dropped flow could go on out of its window.
//!
//! # What a first packet leaves behind
//!
//! Conntrack confirms a flow when its first packet leaves. One that is dropped or rejected leaves no flow and no mark;
//! the sender's next try is a first packet again and comes up again. `block4` and `block6` keep such flows away
//! without asking: one tuple and one direction an element, source before destination, gone after five minutes.
//!
//! # Kernels without nft's `queue`
//!
//! The same table stands with all our bits set on the packet in the place of the statement (no verdict looks like
//! that), and [`iptables_rules`] queues by it: one rule and one version of all decisions. Whoever is not queued then,
//! because nobody listens, loses the bits again further down.

use std::fmt::Write;
use std::net::IpAddr;

use crate::queue::Marks;
use crate::verdict::{Class, Verdict};

/// What the table is made from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Name of the table, family `inet`.
    pub table: String,
    /// Our four bits.
    pub marks: Marks,
    /// Interfaces whose forwarded traffic is inspected, in either direction. None: everything forwarded.
    pub interfaces: Vec<String>,
    /// Number of the first queue.
    pub queue_base: u16,
    /// How many queues. The kernel keeps both directions of two addresses on one of them.
    pub queues: u16,
    /// Traffic passes when nobody listens on a queue.
    pub fail_open: bool,
    /// Networks (address and prefix length) that are not inspected, whichever end they are.
    pub exempt: Vec<(IpAddr, u8)>,
    /// Devices whose connections are not inspected.
    pub exempt_macs: Vec<[u8; 6]>,
    /// For kernels without the `queue` statement.
    pub no_queue: bool,
}

impl Default for Rules {
    fn default() -> Self {
        Rules {
            table: "flowreeve".into(),
            marks: Marks::default(),
            interfaces: Vec::new(),
            queue_base: 4200,
            queues: 1,
            fail_open: true,
            exempt: Vec::new(),
            exempt_macs: Vec::new(),
            no_queue: false,
        }
    }
}

/// A value that cannot stand in the text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RulesError {
    /// nft would read it as something else.
    #[error("\"{0}\" is no name for an nft table: letters, digits and _ only, a letter first")]
    Table(String),
    /// The kernel would not have an interface of that name, or nft would read it as a pattern.
    #[error(
        "\"{0}\" is no interface name: 1 to 15 letters, digits or any of . _ - @, no logical network"
    )]
    Interface(String),
    /// Longer than the address.
    #[error("{0}/{1} is no network: the prefix is longer than the address")]
    Prefix(IpAddr, u8),
    /// None, or beyond 65,535.
    #[error("{queues} queues from {base} on: want at least one, and none beyond 65535")]
    Queues {
        /// First queue.
        base: u16,
        /// How many.
        queues: u16,
    },
}

/// Whether a rule is to be there or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Put it there, unless it is.
    Add,
    /// Take it away, if it is there.
    Remove,
}

/// The table, as one transaction that replaces an earlier one of its name.
pub fn render(rules: &Rules) -> Result<String, RulesError> {
    check(rules)?;
    let mut out = String::new();
    let name = &rules.table;
    // The first line makes sure that there is something to delete.
    line(&mut out, 0, &format!("table inet {name}"));
    line(&mut out, 0, &format!("delete table inet {name}"));
    line(&mut out, 0, &format!("table inet {name} {{"));
    sets(&mut out, rules);
    for counter in ["c_queue", "c_pass", "c_drop", "c_reject"] {
        block(&mut out, "counter", counter, &[]);
    }
    block(
        &mut out,
        "chain",
        "refuse",
        &[
            "counter name c_reject".into(),
            "meta l4proto tcp reject with tcp reset".into(),
            "reject with icmpx admin-prohibited".into(),
        ],
    );
    block(&mut out, "chain", "inspect", &inspect(rules));
    block(&mut out, "chain", "apply", &apply(rules.marks));
    out.push_str("}\n");
    Ok(out)
}

/// Shell commands that add or remove the rule which queues, for [`Rules::no_queue`]. Appended, since an
/// answered packet goes on behind the whole chain: whatever stands before it has been done by then.
pub fn iptables_rules(rules: &Rules, change: Change) -> Result<String, RulesError> {
    let (first, last) = check(rules)?;
    let mask = rules.marks.mask();
    let mut rule = format!("FORWARD -m mark --mark {mask:#010x}/{mask:#010x} -j NFQUEUE");
    if first == last {
        let _ = write!(rule, " --queue-num {first}"); // writing to a String does not fail
    } else {
        let _ = write!(rule, " --queue-balance {first}:{last}");
    }
    if rules.fail_open {
        rule.push_str(" --queue-bypass");
    }
    let mut out = String::new();
    for program in ["iptables", "ip6tables"] {
        let command = format!("{program} -w -t mangle");
        let there = format!("{command} -C {rule} 2>/dev/null");
        let text = match change {
            Change::Add => format!("{there} || {command} -A {rule}"),
            Change::Remove => format!("! {there} || {command} -D {rule}"),
        };
        line(&mut out, 0, &text);
    }
    Ok(out)
}

fn inspect(rules: &Rules) -> Vec<String> {
    let Rules { marks, .. } = rules;
    let (mask, pass) = (marks.mask(), marks.pass_bit());
    let drop = marks.bits(Verdict::DropFlow);
    let reject = marks.bits(Verdict::RejectFlow);
    // Routing is done and addresses are still those of the LAN; drops come before any other accept. iptables queues
    // in its mangle table, so there the question must come before that.
    let place = if rules.no_queue {
        "mangle - 5"
    } else {
        "filter - 5"
    };
    let mut chain = vec![
        format!("type filter hook forward priority {place}; policy accept;"),
        "ct state untracked return".into(),
    ];
    if !rules.interfaces.is_empty() {
        chain.push("iifname != @inspected oifname != @inspected return".into());
    }
    chain.extend([
        format!("ct mark and {mask:#010x} == {drop:#010x} counter name c_drop drop"),
        format!("ct mark and {mask:#010x} == {reject:#010x} goto refuse"),
        "ip saddr . ip daddr . meta l4proto . th sport . th dport @block4 counter name c_drop drop"
            .into(),
        "ip6 saddr . ip6 daddr . meta l4proto . th sport . th dport @block6 counter name c_drop drop"
            .into(),
        format!("ct mark and {pass:#010x} == {pass:#010x} counter name c_pass return"),
        // Only packets from a device carry its address; the bit lets those to it pass as well.
        format!("ether saddr @exempt_macs ct mark set ct mark or {pass:#010x}"),
        "ether saddr @exempt_macs return".into(),
        "ip saddr @exempt4 return".into(),
        "ip daddr @exempt4 return".into(),
        "ip6 saddr @exempt6 return".into(),
        "ip6 daddr @exempt6 return".into(),
        "meta l4proto { icmp, icmpv6 } ct state related return".into(),
        "icmpv6 type { nd-router-solicit, nd-router-advert, nd-neighbor-solicit, \
         nd-neighbor-advert, nd-redirect } return"
            .into(),
        format!("meta l4proto {{ tcp, udp, icmp, icmpv6 }} counter name c_queue {}", queue(rules)),
    ]);
    chain
}

fn queue(rules: &Rules) -> String {
    let Rules {
        queue_base, queues, ..
    } = rules;
    let bypass = if rules.fail_open { " flags bypass" } else { "" };
    if rules.no_queue {
        format!("meta mark set meta mark or {:#010x}", rules.marks.mask())
    } else if *queues == 1 {
        format!("queue{bypass} to {queue_base}")
    } else {
        format!(
            "queue{bypass} to {queue_base}-{}",
            queue_base + (queues - 1)
        )
    }
}

/// An answered packet goes on here: the next chain of the hook, not the next rule.
fn apply(marks: Marks) -> Vec<String> {
    let (mask, others) = (marks.mask(), !marks.mask());
    let drop = marks.bits(Verdict::DropFlow);
    let reject = marks.bits(Verdict::RejectFlow);
    let mut chain = vec![
        "type filter hook forward priority filter - 4; policy accept;".to_owned(),
        format!("meta mark and {mask:#010x} == 0 return"),
    ];
    // nft cannot join two values it only knows when a packet is there, hence a rule for each.
    for verdict in [
        Verdict::PassFlow(Class::Plain),
        Verdict::PassFlow(Class::Offload),
        Verdict::PassFlow(Class::Marked),
        Verdict::DropFlow,
        Verdict::RejectFlow,
    ] {
        let bits = marks.bits(verdict);
        chain.push(format!(
            "meta mark and {mask:#010x} == {bits:#010x} ct mark set ct mark and {others:#010x} or {bits:#010x}"
        ));
    }
    // By the packet's mark, not the connection's: an invalid packet has no connection and is to die all the same.
    chain.extend([
        format!("meta mark and {mask:#010x} == {drop:#010x} counter name c_drop drop"),
        format!("meta mark and {mask:#010x} == {reject:#010x} goto refuse"),
        format!("meta mark set meta mark and {others:#010x}"),
    ]);
    chain
}

fn sets(out: &mut String, rules: &Rules) {
    if !rules.interfaces.is_empty() {
        let quoted = rules.interfaces.iter().map(|name| format!("\"{name}\""));
        set(out, "inspected", &["type ifname"], quoted);
    }
    let macs = rules.exempt_macs.iter().map(|mac| {
        let [a, b, c, d, e, f] = mac;
        format!("{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}")
    });
    set(out, "exempt_macs", &["type ether_addr"], macs);
    for (version, kind) in [(4, "type ipv4_addr"), (6, "type ipv6_addr")] {
        let networks = rules.exempt.iter();
        let networks = networks
            .filter(|(address, _)| address.is_ipv6() == (version == 6))
            .map(|&(address, prefix)| format!("{}/{prefix}", network(address, prefix)));
        let shape = [kind, "flags interval", "auto-merge"];
        set(out, &format!("exempt{version}"), &shape, networks);
    }
    for version in [4, 6] {
        let kind = format!(
            "type ipv{version}_addr . ipv{version}_addr . inet_proto . inet_service . inet_service"
        );
        let shape = [&kind, "size 4096", "flags dynamic,timeout", "timeout 5m"];
        set(out, &format!("block{version}"), &shape, std::iter::empty());
    }
}

fn set(out: &mut String, name: &str, shape: &[&str], elements: impl Iterator<Item = String>) {
    let mut lines: Vec<String> = shape.iter().map(|&text| text.to_owned()).collect();
    let elements: Vec<String> = elements.collect();
    if !elements.is_empty() {
        lines.push(format!("elements = {{ {} }}", elements.join(", ")));
    }
    block(out, "set", name, &lines);
}

fn block(out: &mut String, kind: &str, name: &str, lines: &[String]) {
    line(out, 1, &format!("{kind} {name} {{"));
    for text in lines {
        line(out, 2, text);
    }
    line(out, 1, "}"); // alone: nft 1.0.6 does not take it behind a statement
}

fn line(out: &mut String, depth: usize, text: &str) {
    out.extend(std::iter::repeat_n('\t', depth));
    out.push_str(text);
    out.push('\n');
}

/// First and last queue, if all values can stand in the text.
fn check(rules: &Rules) -> Result<(u16, u16), RulesError> {
    let mut letters = rules.table.bytes();
    let named = letters.next().is_some_and(|c| c.is_ascii_alphabetic())
        && letters.all(|c| c.is_ascii_alphanumeric() || c == b'_')
        && rules.table.len() < 32;
    if !named {
        return Err(RulesError::Table(rules.table.clone()));
    }
    for name in &rules.interfaces {
        let known = |c: u8| c.is_ascii_alphanumeric() || b"._-@".contains(&c);
        // IFNAMSIZ is 16 with its zero
        if !(1..16).contains(&name.len()) || !name.bytes().all(known) {
            return Err(RulesError::Interface(name.clone()));
        }
    }
    for &(address, prefix) in &rules.exempt {
        if prefix > if address.is_ipv6() { 128 } else { 32 } {
            return Err(RulesError::Prefix(address, prefix));
        }
    }
    let last = rules
        .queues
        .checked_sub(1)
        .and_then(|more| rules.queue_base.checked_add(more));
    match last {
        Some(last) => Ok((rules.queue_base, last)),
        None => Err(RulesError::Queues {
            base: rules.queue_base,
            queues: rules.queues,
        }),
    }
}

/// The address without its host part.
fn network(address: IpAddr, prefix: u8) -> IpAddr {
    let keep = u128::MAX
        .checked_shr(u32::from(prefix))
        .map_or(u128::MAX, |host| !host);
    match address {
        IpAddr::V4(v4) => IpAddr::V4((v4.to_bits() & (keep >> 96) as u32).into()),
        IpAddr::V6(v6) => IpAddr::V6((v6.to_bits() & keep).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_nft_could_read_otherwise_gets_into_the_text() {
        let long = "abcdefghijklmnop";
        for name in [
            "",
            "a b",
            "br-lan\"",
            "eth*",
            "a/b",
            "x;flush ruleset",
            "{",
            long,
        ] {
            let rules = Rules {
                interfaces: vec![name.into()],
                ..Rules::default()
            };
            assert_eq!(render(&rules), Err(RulesError::Interface(name.into())));
        }
        for name in ["", "1a", "a b", "a}", "a\n", "a-b"] {
            let rules = Rules {
                table: name.into(),
                ..Rules::default()
            };
            assert_eq!(render(&rules), Err(RulesError::Table(name.into())));
        }
    }

    #[test]
    fn a_prefix_is_no_longer_than_its_address() {
        for (address, prefix) in [("10.0.0.1", 33), ("fd00::1", 129)] {
            let rules = Rules {
                exempt: vec![(address.parse().expect("an address"), prefix)],
                ..Rules::default()
            };
            assert!(matches!(render(&rules), Err(RulesError::Prefix(..))));
        }
    }

    #[test]
    fn queues_stay_within_their_numbers() {
        for (queue_base, queues) in [(4200, 0), (65535, 2)] {
            let rules = Rules {
                queue_base,
                queues,
                ..Rules::default()
            };
            assert!(matches!(render(&rules), Err(RulesError::Queues { .. })));
            assert!(iptables_rules(&rules, Change::Add).is_err());
        }
    }

    #[test]
    fn a_network_loses_its_host_part() {
        for (address, prefix, wanted) in [
            ("10.1.2.3", 8, "10.0.0.0"),
            ("10.1.2.3", 32, "10.1.2.3"),
            ("10.1.2.3", 0, "0.0.0.0"),
            ("fd00:1::5", 16, "fd00::"),
            ("fd00:1::5", 128, "fd00:1::5"),
            ("fd00:1::5", 0, "::"),
        ] {
            let parsed = address.parse().expect("an address");

            assert_eq!(network(parsed, prefix).to_string(), wanted);
        }
    }
}
