//! Makes the captures in this folder: same code, same bytes. `README.md` says what each one shows;
//! `tests/captures.rs` compares, and writes when asked to.

mod dns;
mod http;
mod links;
mod odd;
mod tls;

use std::net::{IpAddr, SocketAddr};

use crate::support::files::ethernet_pcap;
use crate::support::talk::Talk;

/// 2026-01-02T03:04:05Z, in microseconds: every capture begins here.
pub const START: u64 = 1_767_323_045_000_000;

/// A capture's file name and contents.
pub type File = (String, Vec<u8>);

/// Every capture.
pub fn all() -> Vec<File> {
    [
        http::captures(),
        dns::captures(),
        tls::captures(),
        links::captures(),
        odd::captures(),
    ]
    .concat()
}

/// The addresses in use, all from RFC 5737's and RFC 3849's documentation ranges.
#[derive(Clone, Copy)]
struct Net {
    client: &'static str,
    web: &'static str,
    dns: &'static str,
    other_dns: &'static str,
}

const V4: Net = Net {
    client: "192.0.2.10",
    web: "198.51.100.80",
    dns: "203.0.113.53",
    other_dns: "198.51.100.53",
};

const V6: Net = Net {
    client: "2001:db8:1::10",
    web: "2001:db8:2::80",
    dns: "2001:db8:53::53",
    other_dns: "2001:db8:99::53",
};

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address above")
}

impl Net {
    /// The client's port 40000 and `server`, nothing said yet.
    fn talk(&self, server: &str, port: u16) -> Talk {
        self.talk_from(40_000, server, port)
    }

    fn talk_from(&self, client_port: u16, server: &str, port: u16) -> Talk {
        Talk::new(
            SocketAddr::new(ip(self.client), client_port),
            SocketAddr::new(ip(server), port),
            START,
        )
    }
}

/// One Ethernet capture for IPv4 and one for IPv6: `NAME_v4.pcap` and `NAME_v6.pcap`.
fn both(name: &str, talk: impl Fn(Net) -> Talk) -> Vec<File> {
    [("v4", V4), ("v6", V6)]
        .map(|(version, net)| {
            let file = ethernet_pcap(&talk(net).packets);
            (format!("{name}_{version}.pcap"), file)
        })
        .to_vec()
}

/// `len` bytes that look like nothing (xorshift32, always the same).
fn noise(len: usize) -> Vec<u8> {
    let mut state: u32 = 0x9e37_79b9;
    (0..len)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            (state >> 24) as u8
        })
        .collect()
}
