//! Conversations: packets of two endpoints in time, TCP's numbers kept right.

use std::net::SocketAddr;

use super::packets::{ACK, FIN, PSH, RST, SYN, tcp, udp};

/// A packet from the IP header on, and when, in microseconds since 1970.
#[derive(Clone, Debug)]
pub struct Timed {
    pub at: u64,
    pub to_server: bool,
    pub ip: Vec<u8>,
}

/// Bytes of a segment unless said otherwise: fits Ethernet with both IP versions.
pub const SEGMENT: usize = 1400;

/// Two endpoints talking. Every packet comes `step` microseconds after the one before it.
#[derive(Clone, Debug)]
pub struct Talk {
    pub client: SocketAddr,
    pub server: SocketAddr,
    /// Next sequence numbers, client's and server's.
    seq: [u32; 2],
    pub at: u64,
    pub step: u64,
    pub packets: Vec<Timed>,
}

impl Talk {
    /// A conversation beginning at `at`, nothing said yet.
    pub fn new(client: SocketAddr, server: SocketAddr, at: u64) -> Self {
        Talk {
            client,
            server,
            seq: [1_000, 700_000],
            at,
            step: 5_000,
            packets: Vec::new(),
        }
    }

    /// A packet made elsewhere.
    pub fn push(&mut self, to_server: bool, ip: Vec<u8>) -> &mut Self {
        self.packets.push(Timed {
            at: self.at,
            to_server,
            ip,
        });
        self.at += self.step;
        self
    }

    /// Nothing for `micros`.
    pub fn wait(&mut self, micros: u64) -> &mut Self {
        self.at += micros;
        self
    }

    fn ends(&self, to_server: bool) -> (SocketAddr, SocketAddr) {
        if to_server {
            (self.client, self.server)
        } else {
            (self.server, self.client)
        }
    }

    fn tcp(&mut self, to_server: bool, seq: u32, flags: u8, data: &[u8]) -> &mut Self {
        let (src, dst) = self.ends(to_server);
        let ack = if flags & ACK == 0 {
            0
        } else {
            self.seq[usize::from(to_server)]
        };
        self.push(to_server, tcp(src, dst, seq, ack, flags, data))
    }

    fn next(&mut self, to_server: bool, len: usize) -> u32 {
        let next = &mut self.seq[usize::from(!to_server)];
        let seq = *next;
        *next = next.wrapping_add(len as u32);
        seq
    }

    /// One segment with these flags, where the sender stands; SYN and FIN take a sequence number.
    pub fn flags(&mut self, to_server: bool, flags: u8) -> &mut Self {
        let seq = self.next(to_server, usize::from(flags & (SYN | FIN) != 0));
        self.tcp(to_server, seq, flags, &[])
    }

    /// SYN, SYN+ACK, ACK.
    pub fn open(&mut self) -> &mut Self {
        self.flags(true, SYN)
            .flags(false, SYN | ACK)
            .flags(true, ACK)
    }

    /// FIN both ways, the client's first.
    pub fn close(&mut self) -> &mut Self {
        self.flags(true, FIN | ACK)
            .flags(false, FIN | ACK)
            .flags(true, ACK)
    }

    /// The client resets.
    pub fn reset(&mut self) -> &mut Self {
        self.flags(true, RST | ACK)
    }

    /// `data` in segments of [`SEGMENT`] bytes, acknowledged by the other side at the end.
    pub fn send(&mut self, to_server: bool, data: &[u8]) -> &mut Self {
        for piece in data.chunks(SEGMENT) {
            let seq = self.next(to_server, piece.len());
            self.tcp(to_server, seq, PSH | ACK, piece);
        }
        self.flags(!to_server, ACK)
    }

    /// `data` as one segment, which also acknowledges all that came; nobody acknowledges it apart.
    pub fn say(&mut self, to_server: bool, data: &[u8]) -> &mut Self {
        let seq = self.next(to_server, data.len());
        self.tcp(to_server, seq, PSH | ACK, data)
    }

    /// `data` cut at `cuts` (ascending offsets), the pieces sent in `order` (indices of pieces, each once
    /// or more), acknowledged at the end.
    pub fn send_pieces(
        &mut self,
        to_server: bool,
        data: &[u8],
        cuts: &[usize],
        order: &[usize],
    ) -> &mut Self {
        let bounds = [&[0], cuts, &[data.len()]].concat();
        let first = self.next(to_server, data.len());
        for &piece in order {
            let (begin, end) = (bounds[piece], bounds[piece + 1]);
            let seq = first.wrapping_add(begin as u32);
            self.tcp(to_server, seq, PSH | ACK, &data[begin..end]);
        }
        self.flags(!to_server, ACK)
    }

    /// A UDP datagram.
    pub fn datagram(&mut self, to_server: bool, data: &[u8]) -> &mut Self {
        let (src, dst) = self.ends(to_server);
        self.push(to_server, udp(src, dst, data))
    }
}

/// Several conversations as one, in order of time.
pub fn merge(talks: impl IntoIterator<Item = Talk>) -> Vec<Timed> {
    let mut packets: Vec<Timed> = talks.into_iter().flat_map(|talk| talk.packets).collect();
    packets.sort_by_key(|packet| packet.at);
    packets
}
