//! Flow risks by nDPI's numbers, judged from what dissectors learned when a script asks. Judged are 4 to 10,
//! 12, 15, 22, 23 and 24; the others need more than is kept of a flow and are never found.

use std::net::IpAddr;

use crate::flow::key::Dir;
use crate::l7::protocols::Breed;
use crate::l7::{Fact, Proto};
use crate::script::current::Slot;

/// Numbers and texts of nDPI 3.4's risks; the texts are the keys of `flow.getRiskInfo()`.
pub const RISKS: &[(u8, &str)] = &[
    (1, "XSS attack"),
    (2, "SQL injection"),
    (3, "RCE injection"),
    (4, "Binary application transfer"),
    (5, "Known protocol on non standard port"),
    (6, "Self-signed Certificate"),
    (7, "Obsolete TLS version (< 1.1)"),
    (8, "Weak TLS cipher"),
    (9, "TLS Expired Certificate"),
    (10, "TLS Certificate Mismatch"),
    (11, "HTTP Suspicious User-Agent"),
    (12, "HTTP Numeric IP Address"),
    (13, "HTTP Suspicious URL"),
    (14, "HTTP Suspicious Header"),
    (15, "TLS (probably) not carrying HTTPS"),
    (16, "Suspicious DGA domain name"),
    (17, "Malformed packet"),
    (18, "SSH Obsolete Client Version/Cipher"),
    (19, "SSH Obsolete Server Version/Cipher"),
    (20, "SMB Insecure Version"),
    (21, "TLS Suspicious ESNI Usage"),
    (22, "Unsafe Protocol"),
    (23, "Suspicious DNS traffic"),
    (24, "SNI TLS extension was missing"),
];

/// Ports on which a protocol is at home; those not named are at home everywhere. IANA's, and the usual
/// second ones.
const HOME_PORTS: &[(Proto, &[u16])] = &[
    (Proto::FTP_CONTROL, &[21]),
    (Proto(2), &[110]),
    (Proto::SMTP, &[25, 587]),
    (Proto(4), &[143]),
    (Proto::DNS, &[53]),
    (Proto::HTTP, &[80, 3000, 3128, 8000, 8080, 8888]),
    (Proto::NTP, &[123]),
    (Proto::DHCP, &[67, 68]),
    (Proto(77), &[23]),
    (Proto(88), &[3389]),
    (
        Proto::TLS,
        &[
            443, 465, 563, 636, 853, 989, 990, 993, 995, 5061, 5223, 8443, 8883,
        ],
    ),
    (Proto::SSH, &[22]),
    (Proto::QUIC, &[443]),
];

/// Content types of programs.
const PROGRAM_TYPES: &[&[u8]] = &[
    b"application/x-msdownload",
    b"application/x-msdos-program",
    b"application/x-dosexec",
    b"application/vnd.microsoft.portable-executable",
    b"application/x-executable",
    b"application/vnd.android.package-archive",
    b"application/x-sh",
];

/// Endings of programs' file names.
const PROGRAM_NAMES: &[&[u8]] = &[b".exe", b".msi", b".scr", b".apk", b".elf"];

/// TLS 1.1 on the wire (RFC 4346).
const TLS_1_1: u64 = 0x0302;
/// Names longer than this are not asked for by people (nDPI's bound).
const LONG_QUERY: usize = 96;

/// The risks found in the flow, bit n for risk n.
pub fn found(slot: &Slot) -> u64 {
    let l7 = slot.flow.l7;
    let speaks = |proto| l7.master == proto || l7.app == proto;
    let mut found = Found(0);
    found.add(5, away_from_home(slot));
    found.add(
        22,
        matches!(l7.master.breed(), Breed::Unsafe | Breed::Dangerous),
    );
    if speaks(Proto::HTTP) {
        http(slot, &mut found);
    }
    if speaks(Proto::DNS) {
        let query = slot.detail.facts.bytes(Fact::DnsQuery).unwrap_or_default();
        let odd = slot.detail.facts.number(Fact::DnsInvalidChars) == Some(1);
        found.add(23, odd || query.len() > LONG_QUERY);
    }
    if speaks(Proto::TLS) || speaks(Proto::QUIC) {
        tls(slot, &mut found);
    }
    found.0
}

/// How much a cipher suite (IANA's number) is to be trusted: `safe`, `weak` or `insecure`. Safe is what TLS 1.3
/// has and what RFC 9325 recommends: forward secrecy with an AEAD.
pub fn cipher_class(suite: u16) -> &'static str {
    match suite {
        0x1301..=0x1305 | 0x009e | 0x009f | 0x00aa | 0x00ab => "safe",
        0xc02b | 0xc02c | 0xc02f | 0xc030 | 0xc09e..=0xc09f | 0xc0a2..=0xc0a3 => "safe",
        0xc0ac..=0xc0af | 0xcca8..=0xccaa | 0xccac..=0xccad => "safe",
        // No encryption, no authentication, export grade, RC2, RC4, DES, MD5.
        0x0000..=0x0009 | 0x000b..=0x000c | 0x000e..=0x000f | 0x0011..=0x0012 => "insecure",
        0x0014..=0x0015 | 0x0017..=0x001b | 0x001e..=0x002e | 0x0034 | 0x003a..=0x003b => {
            "insecure"
        }
        0x0046 | 0x0060..=0x0066 | 0x006c..=0x006d | 0x0089 | 0x008a | 0x008e | 0x0092 => {
            "insecure"
        }
        0x009b | 0x00a6..=0x00a7 | 0x00b0..=0x00b1 | 0x00b4..=0x00b5 | 0x00b8..=0x00b9 => {
            "insecure"
        }
        0xc001..=0xc002 | 0xc006..=0xc007 | 0xc00b..=0xc00c | 0xc010..=0xc011 => "insecure",
        0xc015..=0xc019 | 0xc033 | 0xc039..=0xc03b => "insecure",
        _ => "weak",
    }
}

struct Found(u64);

impl Found {
    fn add(&mut self, risk: u8, there: bool) {
        self.0 |= u64::from(there) << risk;
    }
}

fn away_from_home(slot: &Slot) -> bool {
    let l7 = slot.flow.l7;
    let ports = [slot.flow.server().1, slot.flow.client().1];
    let home = HOME_PORTS.iter().find(|(proto, _)| *proto == l7.master);
    !l7.guessed && home.is_some_and(|(_, home)| !ports.iter().any(|port| home.contains(port)))
}

fn http(slot: &Slot, found: &mut Found) {
    let facts = &slot.detail.facts;
    let content_type = facts.bytes(Fact::HttpContentType).unwrap_or_default();
    let path = facts.bytes(Fact::HttpPath).unwrap_or_default();
    let path = path.split(|byte| *byte == b'?').next().unwrap_or_default();
    let program = PROGRAM_TYPES.iter().any(|kind| {
        content_type
            .get(..kind.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(kind))
    }) || PROGRAM_NAMES.iter().any(|ending| {
        let start = path.len().saturating_sub(ending.len());
        path[start..].eq_ignore_ascii_case(ending)
    });
    found.add(4, program);
    found.add(
        12,
        facts
            .host()
            .is_some_and(|host| host.parse::<IpAddr>().is_ok()),
    );
}

fn tls(slot: &Slot, found: &mut Found) {
    let facts = &slot.detail.facts;
    let now = slot.now.wall.as_secs();
    let answered = slot.flow.count(Dir::ToClient).packets > 0;
    let name = facts.text(Fact::TlsServerName);
    let version = facts.number(Fact::TlsVersion);
    let cipher = facts.number(Fact::TlsCipher);
    found.add(
        7,
        answered && version.is_some_and(|version| version < TLS_1_1),
    );
    found.add(
        8,
        cipher.is_some_and(|cipher| cipher_class(cipher as u16) != "safe"),
    );
    let issuer = facts.bytes(Fact::TlsIssuer);
    found.add(
        6,
        issuer.is_some() && issuer == facts.bytes(Fact::TlsSubject),
    );
    let before = facts
        .number(Fact::TlsNotBefore)
        .is_some_and(|from| now < from);
    let after = facts
        .number(Fact::TlsNotAfter)
        .is_some_and(|until| now > until);
    found.add(9, before || after);
    // A list that was cut may have lost the very name.
    if let (Some(name), Some(names), false) = (name, facts.text(Fact::TlsNames), facts.cut) {
        found.add(
            10,
            !names.split(',').any(|pattern| covers(pattern.trim(), name)),
        );
    }
    let alpn = facts.text(Fact::TlsAlpn);
    let web = |alpn: &str| {
        alpn.split(',')
            .any(|p| p.starts_with("h2") || p.starts_with("h3") || p.starts_with("http/"))
    };
    found.add(15, alpn.is_some_and(|alpn| !web(alpn)));
    // Without any fact of the client's hello nothing can be said to be missing from it.
    let hello = facts.bytes(Fact::Ja3).or(facts.bytes(Fact::Ja4)).is_some();
    found.add(24, hello && name.is_none());
}

/// Whether the certificate name `pattern` covers `name` (RFC 9525, 6.3: a star is one whole leftmost label).
fn covers(pattern: &str, name: &str) -> bool {
    match pattern.strip_prefix("*.") {
        Some(domain) => name
            .split_once('.')
            .is_some_and(|(_, rest)| rest.eq_ignore_ascii_case(domain)),
        None => pattern.eq_ignore_ascii_case(name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::{Micros, Now};

    fn tls_slot(facts: &[(Fact, &[u8])]) -> Slot {
        let mut slot = Slot::default();
        slot.flow.l7.master = Proto::TLS;
        slot.flow.l7.guessed = true; // ports are not what is tested
        slot.now = Now::at(Micros::from_secs(1_600_000_000));
        for (fact, value) in facts {
            slot.detail.facts.set(*fact, value);
        }
        slot
    }

    fn has(slot: &Slot, risk: u8) -> bool {
        found(slot) >> risk & 1 == 1
    }

    #[test]
    fn a_certificate_for_another_name_is_a_mismatch_and_a_star_covers_one_label() {
        let names: &[u8] = b"example.org, *.example.net";
        for (name, mismatch) in [
            (&b"example.org"[..], false),
            (b"WWW.example.net", false),
            (b"a.b.example.net", true),
            (b"example.net", true),
            (b"www.example.org", true),
        ] {
            let slot = tls_slot(&[(Fact::TlsServerName, name), (Fact::TlsNames, names)]);
            assert_eq!(
                has(&slot, 10),
                mismatch,
                "{}",
                String::from_utf8_lossy(name)
            );
        }
    }

    #[test]
    fn a_certificate_is_expired_after_its_end_and_before_its_beginning() {
        let at = |secs: u64| secs.to_be_bytes();

        assert!(has(
            &tls_slot(&[(Fact::TlsNotAfter, &at(1_500_000_000))]),
            9
        ));
        assert!(has(
            &tls_slot(&[(Fact::TlsNotBefore, &at(1_700_000_000))]),
            9
        ));
        assert!(!has(
            &tls_slot(&[(Fact::TlsNotAfter, &at(1_700_000_000))]),
            9
        ));
    }

    #[test]
    fn ciphers_are_safe_with_forward_secrecy_and_aead_only() {
        for (suite, class) in [
            (0x1301, "safe"),
            (0xc02f, "safe"),
            (0xcca8, "safe"),
            (0x002f, "weak"),
            (0xc014, "weak"),
            (0x000a, "weak"),
            (0x0005, "insecure"),
            (0x0000, "insecure"),
            (0xc011, "insecure"),
        ] {
            assert_eq!(cipher_class(suite), class, "{suite:#06x}");
        }
    }

    #[test]
    fn a_known_protocol_is_away_from_home_on_another_port_only() {
        for (port, away) in [(80, false), (8080, false), (81, true)] {
            let mut slot = Slot::default();
            slot.flow.l7.master = Proto::HTTP;
            let client = (IpAddr::from([10, 0, 0, 2]), 40_000);
            let server = (IpAddr::from([203, 0, 113, 7]), port);
            (slot.flow.key, _) = crate::flow::key::FlowKey::new(client, server, 6, 0);
            assert_eq!(has(&slot, 5), away, "{port}");
        }
    }

    #[test]
    fn a_program_is_known_by_its_name_or_its_type() {
        for (path, kind, program) in [
            ("/setup.EXE?v=2", "", true),
            (
                "/download",
                "application/x-msdownload; charset=binary",
                true,
            ),
            ("/exe", "text/html", false),
            ("/a?b=.exe", "", false),
        ] {
            let mut slot = Slot::default();
            slot.flow.l7.master = Proto::HTTP;
            slot.detail.facts.set(Fact::HttpPath, path.as_bytes());
            slot.detail
                .facts
                .set(Fact::HttpContentType, kind.as_bytes());
            assert_eq!(has(&slot, 4), program, "{path} {kind}");
        }
    }
}
