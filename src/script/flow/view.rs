//! The running flow as the functions of `flow` read it, and the texts they give.

use std::fmt::Write;
use std::net::IpAddr;

use mlua::{Lua, LuaString};

use crate::flow::key::Dir;
use crate::flow::{Counters, Flow, flag};
use crate::l7::{Fact, Facts, Proto};
use crate::script::current::Slot;
use crate::script::env::Env;

/// The flow, what is known besides, and the state answers are made in.
pub struct View<'a> {
    /// Where texts and tables are made.
    pub lua: &'a Lua,
    /// The running event.
    pub slot: &'a Slot,
    /// What is known besides the flow.
    pub env: &'a Env,
}

/// One side of the flow.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// Who spoke first.
    Client,
    /// The other.
    Server,
}

impl Peer {
    /// Both.
    pub const BOTH: [Peer; 2] = [Peer::Client, Peer::Server];

    /// `cli` or `srv`.
    pub fn short(self) -> &'static str {
        match self {
            Peer::Client => "cli",
            Peer::Server => "srv",
        }
    }

    /// The direction in which this side sends.
    pub fn sends(self) -> Dir {
        match self {
            Peer::Client => Dir::ToServer,
            Peer::Server => Dir::ToClient,
        }
    }
}

impl View<'_> {
    /// The flow.
    pub fn flow(&self) -> &Flow {
        &self.slot.flow
    }

    /// What dissectors learned.
    pub fn facts(&self) -> &Facts {
        &self.slot.detail.facts
    }

    /// Address of one side.
    pub fn address(&self, peer: Peer) -> IpAddr {
        self.endpoint(peer).0
    }

    /// Port of one side, host order; 0 for protocols without.
    pub fn port(&self, peer: Peer) -> u16 {
        self.endpoint(peer).1
    }

    fn endpoint(&self, peer: Peer) -> (IpAddr, u16) {
        match peer {
            Peer::Client => self.flow().client(),
            Peer::Server => self.flow().server(),
        }
    }

    /// What one side has sent.
    pub fn sent(&self, peer: Peer) -> &Counters {
        self.flow().count(peer.sends())
    }

    /// Bytes both ways.
    pub fn bytes(&self) -> u64 {
        let [sent, received] = &self.flow().counters;
        sent.bytes.saturating_add(received.bytes)
    }

    /// Bytes above TCP or UDP both ways.
    pub fn payload_bytes(&self) -> u64 {
        let [sent, received] = &self.flow().counters;
        sent.payload.saturating_add(received.payload)
    }

    /// Whether one side is in a local network.
    pub fn is_local(&self, peer: Peer) -> bool {
        self.env.is_local(self.address(peer))
    }

    /// Whether one side is a broadcast or multicast address.
    pub fn is_broadcast_or_multicast(&self, peer: Peer) -> bool {
        self.env.is_broadcast_or_multicast(self.address(peer))
    }

    /// Whether one side is in a network the owner blacklists.
    pub fn is_blacklisted(&self, peer: Peer) -> bool {
        self.env.is_blacklisted(self.address(peer))
    }

    /// Whole seconds from the first to the last packet.
    pub fn duration_secs(&self) -> u64 {
        self.flow()
            .last_seen
            .since(self.flow().first_seen)
            .as_secs()
    }

    /// Whether the flow is TCP.
    pub fn is_tcp(&self) -> bool {
        self.flow().key.proto == 6
    }

    /// Whether the flow is ICMP of either IP version.
    pub fn is_icmp(&self) -> bool {
        matches!(self.flow().key.proto, 1 | 58)
    }

    /// Whether the flow's master or application protocol is `proto`.
    pub fn speaks(&self, proto: Proto) -> bool {
        self.flow().l7.master == proto || self.flow().l7.app == proto
    }

    /// Whether the TLS facts are the flow's: TLS itself, or QUIC, which carries its handshake.
    pub fn speaks_tls(&self) -> bool {
        self.speaks(Proto::TLS) || self.speaks(Proto::QUIC)
    }

    /// A Lua string of these bytes.
    pub fn text(&self, bytes: impl AsRef<[u8]>) -> mlua::Result<LuaString> {
        self.lua.create_string(bytes)
    }

    /// Address of one side as text, without VLAN.
    pub fn address_text(&self, peer: Peer) -> heapless::String<46> {
        written(format_args!("{}", self.address(peer)))
    }

    /// `address@vlan`, the VLAN always there.
    pub fn key_text(&self, peer: Peer) -> heapless::String<52> {
        written(format_args!(
            "{}@{}",
            self.address(peer),
            self.flow().key.vlan
        ))
    }

    /// The client's MAC address, if the queue saw it.
    pub fn client_mac_text(&self) -> Option<heapless::String<17>> {
        let [a, b, c, d, e, f] = self.flow().client_mac;
        self.flow().has(flag::HAS_MAC).then(|| {
            written(format_args!(
                "{a:02X}:{b:02X}:{c:02X}:{d:02X}:{e:02X}:{f:02X}"
            ))
        })
    }

    /// Name of the transport protocol, its number if it has none here.
    pub fn l4_text(&self) -> heapless::String<8> {
        let name = match self.flow().key.proto {
            1 => "ICMP",
            2 => "IGMP",
            6 => "TCP",
            17 => "UDP",
            41 => "IPv6",
            46 => "RSVP",
            47 => "GRE",
            50 => "ESP",
            51 => "AH",
            58 => "ICMPv6",
            89 => "OSPF",
            103 => "PIM",
            112 => "VRRP",
            132 => "SCTP",
            139 => "HIP",
            other => return written(format_args!("{other}")),
        };
        written(format_args!("{name}"))
    }

    /// What the flow is about: the script's own text, DNS query, URL or server name, whichever comes first.
    pub fn info(&self) -> heapless::Vec<u8, 512> {
        let facts = self.facts();
        let plain = |fact| {
            let mut text = heapless::Vec::new();
            let _ = text.extend_from_slice(facts.bytes(fact).unwrap_or_default()); // 255 bytes at most
            text
        };
        match () {
            () if facts.bytes(Fact::CustomInfo).is_some() => plain(Fact::CustomInfo),
            () if facts.bytes(Fact::DnsQuery).is_some() => plain(Fact::DnsQuery),
            () if facts.bytes(Fact::HttpPath).is_some() => self.url(),
            () if facts.bytes(Fact::TlsServerName).is_some() => plain(Fact::TlsServerName),
            () => {
                let mut text = heapless::Vec::new();
                let _ = text.extend_from_slice(facts.host().unwrap_or_default().as_bytes());
                text
            }
        }
    }

    /// Host header directly followed by the path; the path alone without one.
    pub fn url(&self) -> heapless::Vec<u8, 512> {
        let mut url = heapless::Vec::new();
        for fact in [Fact::HttpHost, Fact::HttpPath] {
            // Two facts of at most 255 bytes fit.
            let _ = url.extend_from_slice(self.facts().bytes(fact).unwrap_or_default());
        }
        url
    }

    /// A number among the facts, as Lua has it.
    pub fn number(&self, fact: Fact) -> Option<i64> {
        self.facts().number(fact).map(|number| number as i64)
    }
}

/// Formatted text that is known to fit.
fn written<const N: usize>(text: std::fmt::Arguments) -> heapless::String<N> {
    let mut out = heapless::String::new();
    let _ = out.write_fmt(text); // what does not fit is left out
    out
}
