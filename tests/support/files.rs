//! Capture files: pcap and pcapng, either byte order.

use super::packets::{CLIENT_MAC, ROUTER_MAC, ethernet, ethertype};
use super::talk::Timed;

/// Numbers to bytes in one byte order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    Little,
    Big,
}

impl Order {
    pub fn u16(self, n: u16) -> [u8; 2] {
        match self {
            Order::Little => n.to_le_bytes(),
            Order::Big => n.to_be_bytes(),
        }
    }

    pub fn u32(self, n: u32) -> [u8; 4] {
        match self {
            Order::Little => n.to_le_bytes(),
            Order::Big => n.to_be_bytes(),
        }
    }

    fn u64(self, n: u64) -> [u8; 8] {
        match self {
            Order::Little => n.to_le_bytes(),
            Order::Big => n.to_be_bytes(),
        }
    }
}

/// Which of pcap's record forms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Micros,
    Nanos,
    Kuznetzov,
}

/// A pcap file being written.
pub struct Pcap {
    order: Order,
    kind: Kind,
    pub bytes: Vec<u8>,
}

impl Pcap {
    /// A file header for frames of link type `link`.
    pub fn new(order: Order, kind: Kind, link: u32) -> Self {
        let magic = match kind {
            Kind::Micros => 0xa1b2_c3d4,
            Kind::Nanos => 0xa1b2_3c4d,
            Kind::Kuznetzov => 0xa1b2_cd34,
        };
        let mut bytes = order.u32(magic).to_vec();
        bytes.extend([order.u16(2), order.u16(4)].concat());
        bytes.extend([0, 0, 262_144, link].map(|n| order.u32(n)).concat());
        Pcap { order, kind, bytes }
    }

    /// A frame captured whole at `at` microseconds.
    pub fn frame(&mut self, at: u64, frame: &[u8]) -> &mut Self {
        self.cut_frame(at, frame, frame.len() as u32)
    }

    /// A frame of which only `frame` was kept of `wire_len` bytes.
    pub fn cut_frame(&mut self, at: u64, frame: &[u8], wire_len: u32) -> &mut Self {
        self.header(at, frame.len() as u32, wire_len);
        self.bytes.extend_from_slice(frame);
        self
    }

    /// A record header that promises `captured` bytes.
    pub fn header(&mut self, at: u64, captured: u32, wire_len: u32) -> &mut Self {
        let fraction = match self.kind {
            Kind::Nanos => at % 1_000_000 * 1_000,
            Kind::Micros | Kind::Kuznetzov => at % 1_000_000,
        };
        let fields = [(at / 1_000_000) as u32, fraction as u32, captured, wire_len];
        self.bytes
            .extend(fields.map(|n| self.order.u32(n)).concat());
        if self.kind == Kind::Kuznetzov {
            self.bytes.extend_from_slice(&[0; 8]);
        }
        self
    }
}

/// A little-endian Ethernet pcap of these packets, the client and the router being the two stations.
pub fn ethernet_pcap(packets: &[Timed]) -> Vec<u8> {
    let mut file = Pcap::new(Order::Little, Kind::Micros, 1);
    for packet in packets {
        file.frame(packet.at, &ethernet_frame(packet));
    }
    file.bytes
}

/// A packet between the client's station and the router's.
pub fn ethernet_frame(packet: &Timed) -> Vec<u8> {
    let (src, dst) = stations(packet);
    ethernet(src, dst, &[], ethertype(&packet.ip), &packet.ip)
}

/// Sender's and receiver's MAC address.
pub fn stations(packet: &Timed) -> ([u8; 6], [u8; 6]) {
    if packet.to_server {
        (CLIENT_MAC, ROUTER_MAC)
    } else {
        (ROUTER_MAC, CLIENT_MAC)
    }
}

/// A pcapng file being written; begin with a [`PcapNg::section`].
pub struct PcapNg {
    pub order: Order,
    pub bytes: Vec<u8>,
}

impl PcapNg {
    /// A file of one section so far.
    pub fn new(order: Order) -> Self {
        let mut file = PcapNg {
            order,
            bytes: Vec::new(),
        };
        file.section(order);
        file
    }

    /// A section header: from here on `order` holds, and interfaces are counted anew.
    pub fn section(&mut self, order: Order) -> &mut Self {
        self.order = order;
        let mut body = order.u32(0x1a2b_3c4d).to_vec();
        body.extend([order.u16(1), order.u16(0)].concat());
        body.extend(order.u64(u64::MAX));
        self.block(0x0a0d_0d0a, &body)
    }

    /// Any block; the body is padded.
    pub fn block(&mut self, kind: u32, body: &[u8]) -> &mut Self {
        let padded = body.len().next_multiple_of(4);
        let total = self.order.u32(padded as u32 + 12);
        self.bytes.extend(self.order.u32(kind));
        self.bytes.extend(total);
        self.bytes.extend_from_slice(body);
        self.bytes.resize(self.bytes.len() + padded - body.len(), 0);
        self.bytes.extend(total);
        self
    }

    /// An option, padded.
    pub fn option(&self, code: u16, value: &[u8]) -> Vec<u8> {
        let len = self.order.u16(value.len() as u16);
        let mut bytes = [self.order.u16(code), len].concat();
        bytes.extend_from_slice(value);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    /// An interface; `resolution` is if_tsresol's byte, `offset_secs` if_tsoffset's seconds.
    pub fn interface(
        &mut self,
        link: u16,
        snap_len: u32,
        resolution: u8,
        offset_secs: i64,
    ) -> &mut Self {
        let mut body = [self.order.u16(link), [0, 0]].concat();
        body.extend(self.order.u32(snap_len));
        body.extend(self.option(2, b"lan0")); // if_name
        body.extend(self.option(9, &[resolution]));
        body.extend(self.option(14, &self.order.u64(offset_secs.cast_unsigned())));
        body.extend(self.option(0, &[]));
        self.block(1, &body)
    }

    /// An enhanced packet block with a comment, `ticks` in the interface's resolution.
    pub fn frame(&mut self, interface: u32, ticks: u64, frame: &[u8]) -> &mut Self {
        let len = frame.len() as u32;
        let fields = [interface, (ticks >> 32) as u32, ticks as u32, len, len];
        let mut body = fields.map(|n| self.order.u32(n)).concat();
        body.extend_from_slice(frame);
        body.resize(body.len().next_multiple_of(4), 0);
        body.extend(self.option(1, b"a comment"));
        body.extend(self.option(0, &[]));
        self.block(6, &body)
    }

    /// A packet block of the first pcapng drafts.
    pub fn old_frame(&mut self, interface: u16, ticks: u64, frame: &[u8]) -> &mut Self {
        let len = frame.len() as u32;
        let mut body = [self.order.u16(interface), [0, 0]].concat();
        let fields = [(ticks >> 32) as u32, ticks as u32, len, len];
        body.extend(fields.map(|n| self.order.u32(n)).concat());
        body.extend_from_slice(frame);
        self.block(2, &body)
    }

    /// A simple packet block: `kept` of `wire_len` bytes.
    pub fn simple_frame(&mut self, kept: &[u8], wire_len: u32) -> &mut Self {
        let body = [&self.order.u32(wire_len), kept].concat();
        self.block(3, &body)
    }
}
