//! What was learned of DNS, TLS and HTTP flows, in EVE's field names.

use std::net::IpAddr;

use super::super::json::{Json, Seconds};
use crate::l7::facts::MAX_VALUE;
use crate::l7::{Fact, Facts};
use crate::time::Micros;

pub(super) fn dns(json: &mut Json, facts: &Facts) {
    let code = facts.number(Fact::DnsCode);
    json.object("dns");
    json.text("type", if code.is_some() { "answer" } else { "query" });
    fact(json, "rrname", facts, Fact::DnsQuery);
    if let Some(kind) = facts.number(Fact::DnsType) {
        named(json, "rrtype", DNS_TYPES, kind, "TYPE");
    }
    if let Some(code) = code {
        named(json, "rcode", DNS_CODES, code, "RCODE");
    }
    let addresses = |length| {
        facts
            .every(Fact::DnsAddress)
            .filter(move |bytes| bytes.len() == length)
    };
    if facts.bytes(Fact::DnsAddress).is_some() {
        json.object("grouped");
        for (name, length) in [("A", 4), ("AAAA", 16)] {
            if addresses(length).next().is_some() {
                json.array(name);
                addresses(length)
                    .filter_map(address)
                    .for_each(|address| json.text_item(address));
                json.end_array();
            }
        }
        json.end();
    }
    json.end();
}

pub(super) fn tls(json: &mut Json, facts: &Facts) {
    json.object("tls");
    fact(json, "subject", facts, Fact::TlsSubject);
    fact(json, "issuerdn", facts, Fact::TlsIssuer);
    list(json, "subjectaltname", facts, Fact::TlsNames);
    fact(json, "sni", facts, Fact::TlsServerName);
    if let Some(version) = facts.number(Fact::TlsVersion) {
        named(json, "version", TLS_VERSIONS, version, "");
    }
    for (name, date) in [
        ("notbefore", Fact::TlsNotBefore),
        ("notafter", Fact::TlsNotAfter),
    ] {
        if let Some(secs) = facts.number(date) {
            json.text(name, Seconds(Micros(secs.saturating_mul(1_000_000))));
        }
    }
    for (name, hash) in [("ja3", Fact::Ja3), ("ja3s", Fact::Ja3s)] {
        if facts.bytes(hash).is_some() {
            json.object(name);
            fact(json, "hash", facts, hash);
            json.end();
        }
    }
    fact(json, "ja4", facts, Fact::Ja4);
    list(json, "client_alpns", facts, Fact::TlsAlpn);
    json.end();
}

pub(super) fn http(json: &mut Json, facts: &Facts) {
    json.object("http");
    if let (Some(_), Some(host)) = (facts.bytes(Fact::HttpHost), facts.host()) {
        json.text("hostname", host);
    }
    fact(json, "url", facts, Fact::HttpPath);
    fact(json, "http_user_agent", facts, Fact::HttpUserAgent);
    fact(json, "http_content_type", facts, Fact::HttpContentType);
    fact(json, "http_method", facts, Fact::HttpMethod);
    if let Some(status) = facts.number(Fact::HttpStatus) {
        json.number("status", status);
    }
    fact(json, "server", facts, Fact::HttpServer);
    json.end();
}

/// A fact that is a text, if it is there.
pub(super) fn fact(json: &mut Json, name: &str, facts: &Facts, which: Fact) {
    if let Some(value) = facts.bytes(which) {
        json.bytes(name, value, MAX_VALUE);
    }
}

/// A fact that is a list with commas, as an array.
fn list(json: &mut Json, name: &str, facts: &Facts, which: Fact) {
    if let Some(value) = facts.text(which) {
        json.array(name);
        value.split(',').for_each(|part| json.text_item(part));
        json.end_array();
    }
}

/// A number by its name, or as `PREFIXnumber`.
fn named(json: &mut Json, name: &str, names: &[(u64, &str)], number: u64, prefix: &str) {
    match names.iter().find(|row| row.0 == number) {
        Some((_, known)) => json.text(name, known),
        None => json.text(name, format_args!("{prefix}{number}")),
    }
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    <[u8; 4]>::try_from(bytes)
        .map(IpAddr::from)
        .or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from))
        .ok()
}

/// RFC 1035 3.2.2 and later; those that are seen.
const DNS_TYPES: &[(u64, &str)] = &[
    (1, "A"),
    (2, "NS"),
    (5, "CNAME"),
    (6, "SOA"),
    (12, "PTR"),
    (15, "MX"),
    (16, "TXT"),
    (28, "AAAA"),
    (33, "SRV"),
    (35, "NAPTR"),
    (43, "DS"),
    (46, "RRSIG"),
    (48, "DNSKEY"),
    (64, "SVCB"),
    (65, "HTTPS"),
    (255, "ANY"),
];

/// RFC 1035 4.1.1, RFC 2136 2.2.
const DNS_CODES: &[(u64, &str)] = &[
    (0, "NOERROR"),
    (1, "FORMERR"),
    (2, "SERVFAIL"),
    (3, "NXDOMAIN"),
    (4, "NOTIMP"),
    (5, "REFUSED"),
    (6, "YXDOMAIN"),
    (7, "YXRRSET"),
    (8, "NXRRSET"),
    (9, "NOTAUTH"),
    (10, "NOTZONE"),
];

/// Version numbers on the wire, by EVE's names.
const TLS_VERSIONS: &[(u64, &str)] = &[
    (0x0300, "SSLv3"),
    (0x0301, "TLSv1"),
    (0x0302, "TLS 1.1"),
    (0x0303, "TLS 1.2"),
    (0x0304, "TLS 1.3"),
];
