//! Bytes that begin at the IP header to [`Packet`]: addresses, ports, TCP fields, payload. The only user
//! of `etherparse`. Link layers of captures are `replay::link`'s; putting fragments together is the
//! kernel's, which does it before the queue. RFC 791, RFC 8200, RFC 9293, RFC 768.
//!
//! Lengths on the wire may exceed the bytes at hand: captures are cut, the queue copies no more than it
//! was asked to, and offloads hand over packets larger than any link carries. Only what contradicts
//! itself is malformed.

use std::net::IpAddr;

use etherparse::{
    IpAuthHeaderSlice, IpNumber, Ipv4HeaderSlice, Ipv6FragmentHeaderSlice, Ipv6HeaderSlice,
    Ipv6RawExtHeaderSlice, TcpHeaderSlice, UdpHeaderSlice, err, ip_number,
};

use crate::flow::key::FlowKey;

/// Extension headers looked past. RFC 8200 section 4.1 recommends an order of at most seven.
pub const MAX_EXTENSIONS: usize = 8;

/// TCP flags as they stand in the header's 14th byte, RFC 9293 section 3.1.
pub mod tcp_flag {
    /// No more data from the sender.
    pub const FIN: u8 = 0x01;
    /// Opens a connection.
    pub const SYN: u8 = 0x02;
    /// Ends a connection at once.
    pub const RST: u8 = 0x04;
    /// Push.
    pub const PSH: u8 = 0x08;
    /// The acknowledgment number counts.
    pub const ACK: u8 = 0x10;
    /// The urgent pointer counts.
    pub const URG: u8 = 0x20;
}

/// Why a packet is no flow's. Each is a counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Malformed {
    /// No bytes at all.
    Empty,
    /// Neither IPv4 nor IPv6.
    Version,
    /// IPv4 header cut short.
    Ipv4Truncated,
    /// IPv4 header says it is shorter than 20 bytes.
    Ipv4HeaderLength,
    /// IPv4 total length is less than its header's.
    Ipv4TotalLength,
    /// IPv6 header cut short.
    Ipv6Truncated,
    /// An extension or authentication header is cut short.
    ExtensionTruncated,
    /// An authentication header says it has no length.
    ExtensionLength,
    /// More than [`MAX_EXTENSIONS`] extension headers.
    ExtensionCount,
    /// A fragment other than the first: well-formed, but without ports there is no flow to give it to.
    Fragment,
    /// TCP header cut short, also by being spread over fragments.
    TcpTruncated,
    /// TCP data offset is less than 20 bytes.
    TcpDataOffset,
    /// UDP header cut short.
    UdpTruncated,
    /// UDP length is less than its header's, or more than the packet has.
    UdpLength,
    /// ICMP header cut short.
    IcmpTruncated,
}

impl Malformed {
    /// Every kind, in the order of their numbers.
    pub const ALL: [Malformed; 15] = [
        Malformed::Empty,
        Malformed::Version,
        Malformed::Ipv4Truncated,
        Malformed::Ipv4HeaderLength,
        Malformed::Ipv4TotalLength,
        Malformed::Ipv6Truncated,
        Malformed::ExtensionTruncated,
        Malformed::ExtensionLength,
        Malformed::ExtensionCount,
        Malformed::Fragment,
        Malformed::TcpTruncated,
        Malformed::TcpDataOffset,
        Malformed::UdpTruncated,
        Malformed::UdpLength,
        Malformed::IcmpTruncated,
    ];

    /// Names of all counters, in the same order.
    pub const NAMES: [&str; Malformed::ALL.len()] = {
        let mut names = [""; Malformed::ALL.len()];
        let mut index = 0;
        while index < names.len() {
            names[index] = Malformed::ALL[index].name();
            index += 1;
        }
        names
    };

    /// Name of its counter.
    pub const fn name(self) -> &'static str {
        match self {
            Malformed::Empty => "empty",
            Malformed::Version => "version",
            Malformed::Ipv4Truncated => "ipv4_truncated",
            Malformed::Ipv4HeaderLength => "ipv4_header_length",
            Malformed::Ipv4TotalLength => "ipv4_total_length",
            Malformed::Ipv6Truncated => "ipv6_truncated",
            Malformed::ExtensionTruncated => "extension_truncated",
            Malformed::ExtensionLength => "extension_length",
            Malformed::ExtensionCount => "extension_count",
            Malformed::Fragment => "fragment",
            Malformed::TcpTruncated => "tcp_truncated",
            Malformed::TcpDataOffset => "tcp_data_offset",
            Malformed::UdpTruncated => "udp_truncated",
            Malformed::UdpLength => "udp_length",
            Malformed::IcmpTruncated => "icmp_truncated",
        }
    }
}

/// What stands above IP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum L4 {
    /// TCP.
    Tcp {
        /// Sequence number.
        seq: u32,
        /// Acknowledgment number; counts only with [`tcp_flag::ACK`].
        ack: u32,
        /// Bits of [`tcp_flag`].
        flags: u8,
        /// Window as sent, unscaled.
        window: u16,
        /// Length of the header in 32-bit words.
        data_offset: u8,
    },
    /// UDP.
    Udp,
    /// ICMP over IPv4, ICMPv6 over IPv6.
    Icmp {
        /// Type.
        kind: u8,
        /// Code.
        code: u8,
    },
    /// Anything else; its number is in the key.
    Other,
}

/// One packet, read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet<'a> {
    /// Whose flow.
    pub key: FlowKey,
    /// The sender is the key's lower endpoint.
    pub from_low: bool,
    /// Above IP.
    pub l4: L4,
    /// Bytes above TCP or UDP, above an ICMP checksum, or above IP for anything else: those we have.
    pub payload: &'a [u8],
    /// How many of them this packet had on the wire.
    pub payload_len: u32,
    /// Bytes of this packet on the wire, from the IP header on.
    pub ip_len: u32,
    /// TTL or hop limit.
    pub ttl: u8,
    /// DSCP and ECN: the TOS or traffic class byte.
    pub tos: u8,
}

impl<'a> Packet<'a> {
    /// Reads the packet that begins at `ip`, which came in VLAN `vlan` (0 without one). A length field
    /// of 0, as offloads leave it for what 16 bits cannot say, means all of `ip`.
    pub fn parse(ip: &'a [u8], vlan: u16) -> Result<Packet<'a>, Malformed> {
        let (net, l4) = match ip.first().ok_or(Malformed::Empty)? >> 4 {
            4 => ipv4(ip)?,
            6 => ipv6(ip)?,
            _ => return Err(Malformed::Version),
        };
        match (l4.proto, net.src) {
            (ip_number::TCP, _) => tcp(net, l4, vlan),
            (ip_number::UDP, _) => udp(net, l4, vlan),
            (ip_number::ICMP, IpAddr::V4(_)) | (ip_number::IPV6_ICMP, IpAddr::V6(_)) => {
                icmp(net, l4, vlan)
            }
            _ => Ok(net.packet((0, 0), l4, vlan, L4::Other)),
        }
    }

    /// Sender's address and port (host order).
    pub fn src(&self) -> (IpAddr, u16) {
        if self.from_low {
            self.key.low()
        } else {
            self.key.high()
        }
    }

    /// Receiver's address and port (host order).
    pub fn dst(&self) -> (IpAddr, u16) {
        if self.from_low {
            self.key.high()
        } else {
            self.key.low()
        }
    }
}

/// What the IP header says.
struct Net {
    src: IpAddr,
    dst: IpAddr,
    ip_len: usize,
    ttl: u8,
    tos: u8,
}

impl Net {
    fn packet<'a>(self, ports: (u16, u16), above: Above<'a>, vlan: u16, l4: L4) -> Packet<'a> {
        let (key, from_low) = FlowKey::new(
            (self.src, ports.0),
            (self.dst, ports.1),
            above.proto.0,
            vlan,
        );
        Packet {
            key,
            from_low,
            l4,
            payload: above.bytes,
            payload_len: above.len as u32,
            ip_len: self.ip_len as u32,
            ttl: self.ttl,
            tos: self.tos,
        }
    }
}

/// What is above a header. Invariant: `bytes.len() <= len`.
struct Above<'a> {
    proto: IpNumber,
    /// The bytes we have,
    bytes: &'a [u8],
    /// and how many there were.
    len: usize,
    /// More of it is in other fragments.
    fragmented: bool,
}

impl Above<'_> {
    /// Above a header of `len` bytes, which are there.
    fn skip(&mut self, len: usize) {
        self.bytes = &self.bytes[len..];
        self.len -= len;
    }
}

fn ipv4(ip: &[u8]) -> Result<(Net, Above<'_>), Malformed> {
    let header = Ipv4HeaderSlice::from_slice(ip).map_err(|error| match error {
        err::ipv4::HeaderSliceError::Len(_) => Malformed::Ipv4Truncated,
        err::ipv4::HeaderSliceError::Content(_) => Malformed::Ipv4HeaderLength,
    })?;
    let header_len = header.slice().len();
    let ip_len = match usize::from(header.total_len()) {
        0 => ip.len(),
        total if total < header_len => return Err(Malformed::Ipv4TotalLength),
        total => total,
    };
    if header.fragments_offset().value() != 0 {
        return Err(Malformed::Fragment);
    }
    let net = Net {
        src: header.source_addr().into(),
        dst: header.destination_addr().into(),
        ip_len,
        ttl: header.ttl(),
        tos: header.slice()[1],
    };
    let mut above = Above {
        proto: header.protocol(),
        bytes: &ip[header_len..ip_len.min(ip.len())],
        len: ip_len - header_len,
        fragmented: header.more_fragments(),
    };
    if above.proto == ip_number::AUTH {
        authentication(&mut above)?; // one: a second is for whoever decapsulates to find odd
    }
    Ok((net, above))
}

fn ipv6(ip: &[u8]) -> Result<(Net, Above<'_>), Malformed> {
    let header = Ipv6HeaderSlice::from_slice(ip).map_err(|_| Malformed::Ipv6Truncated)?;
    let header_len = header.slice().len();
    let ip_len = match usize::from(header.payload_length()) {
        0 => ip.len(),
        payload => header_len + payload,
    };
    let net = Net {
        src: header.source_addr().into(),
        dst: header.destination_addr().into(),
        ip_len,
        ttl: header.hop_limit(),
        tos: header.traffic_class(),
    };
    let mut above = Above {
        proto: header.next_header(),
        bytes: &ip[header_len..ip_len.min(ip.len())],
        len: ip_len - header_len,
        fragmented: false,
    };
    extensions(&mut above)?;
    Ok((net, above))
}

/// Past the extension headers, in whatever order: hosts are lenient, so what is behind them is what counts.
fn extensions(above: &mut Above) -> Result<(), Malformed> {
    for _ in 0..=MAX_EXTENSIONS {
        match above.proto {
            ip_number::IPV6_HOP_BY_HOP | ip_number::IPV6_ROUTE | ip_number::IPV6_DEST_OPTIONS => {
                let header = Ipv6RawExtHeaderSlice::from_slice(above.bytes)
                    .map_err(|_| Malformed::ExtensionTruncated)?;
                above.proto = header.next_header();
                above.skip(header.slice().len());
            }
            ip_number::IPV6_FRAG => {
                let header = Ipv6FragmentHeaderSlice::from_slice(above.bytes)
                    .map_err(|_| Malformed::ExtensionTruncated)?;
                if header.fragment_offset().value() != 0 {
                    return Err(Malformed::Fragment);
                }
                above.fragmented |= header.more_fragments();
                above.proto = header.next_header();
                above.skip(header.slice().len());
            }
            ip_number::AUTH => authentication(above)?,
            _ => return Ok(()),
        }
    }
    Err(Malformed::ExtensionCount)
}

/// Past an authentication header, RFC 4302.
fn authentication(above: &mut Above) -> Result<(), Malformed> {
    let header = IpAuthHeaderSlice::from_slice(above.bytes).map_err(|error| match error {
        err::ip_auth::HeaderSliceError::Len(_) => Malformed::ExtensionTruncated,
        err::ip_auth::HeaderSliceError::Content(_) => Malformed::ExtensionLength,
    })?;
    above.proto = header.next_header();
    above.skip(header.slice().len());
    Ok(())
}

fn tcp(net: Net, mut above: Above, vlan: u16) -> Result<Packet, Malformed> {
    let header = TcpHeaderSlice::from_slice(above.bytes).map_err(|error| match error {
        err::tcp::HeaderSliceError::Len(_) => Malformed::TcpTruncated,
        err::tcp::HeaderSliceError::Content(_) => Malformed::TcpDataOffset,
    })?;
    let l4 = L4::Tcp {
        seq: header.sequence_number(),
        ack: header.acknowledgment_number(),
        flags: header.slice()[13],
        window: header.window_size(),
        data_offset: header.data_offset(),
    };
    above.skip(header.slice().len());
    let ports = (header.source_port(), header.destination_port());
    Ok(net.packet(ports, above, vlan, l4))
}

fn udp(net: Net, mut above: Above, vlan: u16) -> Result<Packet, Malformed> {
    let header = UdpHeaderSlice::from_slice(above.bytes).map_err(|_| Malformed::UdpTruncated)?;
    let header_len = header.slice().len();
    above.len = match usize::from(header.length()) {
        0 => above.len, // RFC 2675 section 4: larger than 16 bits can say
        length if length < header_len => return Err(Malformed::UdpLength),
        length if length > above.len && !above.fragmented => return Err(Malformed::UdpLength),
        length => length.min(above.len),
    };
    above.bytes = &above.bytes[..above.len.min(above.bytes.len())];
    above.skip(header_len);
    let ports = (header.source_port(), header.destination_port());
    Ok(net.packet(ports, above, vlan, L4::Udp))
}

fn icmp(net: Net, mut above: Above, vlan: u16) -> Result<Packet, Malformed> {
    let &[kind, code, _, _, ..] = above.bytes else {
        return Err(Malformed::IcmpTruncated);
    };
    above.skip(4);
    Ok(net.packet((0, 0), above, vlan, L4::Icmp { kind, code }))
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use proptest::prelude::*;

    use super::*;
    use crate::support::packets;

    fn v4() -> (SocketAddr, SocketAddr) {
        (addr("192.0.2.10:40000"), addr("198.51.100.80:443"))
    }

    fn v6() -> (SocketAddr, SocketAddr) {
        (addr("[2001:db8:1::10]:40000"), addr("[2001:db8:2::80]:443"))
    }

    fn addr(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    fn segment(ends: (SocketAddr, SocketAddr)) -> Vec<u8> {
        packets::segment(ends.0, ends.1, 7, 9, packets::PSH | packets::ACK, b"hello")
    }

    fn ipv6(next: u8, body: &[u8]) -> Vec<u8> {
        let (src, dst) = v6();
        packets::ip(src.ip(), dst.ip(), next, body)
    }

    fn ipv4(proto: u8, fragment: u16, options: &[u8], body: &[u8]) -> Vec<u8> {
        let (src, dst) = v4();
        packets::ipv4(src.ip(), dst.ip(), proto, fragment, options, body)
    }

    fn assert_hello(ip: &[u8], ends: (SocketAddr, SocketAddr)) {
        let packet = Packet::parse(ip, 0).unwrap();

        assert_eq!(packet.src(), (ends.0.ip(), ends.0.port()));
        assert_eq!(packet.dst(), (ends.1.ip(), ends.1.port()));
        assert_eq!(packet.key.proto, 6);
        assert_eq!(packet.payload, b"hello");
        assert_eq!(packet.payload_len, 5);
        assert_eq!(packet.ip_len as usize, ip.len());
    }

    #[test]
    fn tcp_fields_are_read_in_both_versions() {
        for (src, dst) in [v4(), v6()] {
            let flags = packets::SYN | packets::ACK;
            let ip = packets::tcp(src, dst, 0x0102_0304, 0xa0b0_c0d0, flags, &[]);

            let packet = Packet::parse(&ip, 7).unwrap();

            let l4 = L4::Tcp {
                seq: 0x0102_0304,
                ack: 0xa0b0_c0d0,
                flags: tcp_flag::SYN | tcp_flag::ACK,
                window: 0xfaf0,
                data_offset: 7,
            };
            assert_eq!(packet.l4, l4);
            assert_eq!(packet.key.vlan, 7);
            assert_eq!(packet.ttl, 64);
            assert_eq!(packet.payload_len, 0);
        }
    }

    #[test]
    fn both_directions_have_one_key() {
        let (client, server) = v4();

        let forth = packets::udp(client, server, b"a");
        let back = packets::udp(server, client, b"b");
        let (forth, back) = (
            Packet::parse(&forth, 0).unwrap(),
            Packet::parse(&back, 0).unwrap(),
        );

        assert_eq!(forth.key, back.key);
        assert_ne!(forth.from_low, back.from_low);
        assert_eq!(forth.src(), back.dst());
    }

    #[test]
    fn the_tos_byte_is_the_traffic_class_of_ipv6() {
        let mut four = packets::tcp(v4().0, v4().1, 1, 1, packets::ACK, &[]);
        let mut six = packets::tcp(v6().0, v6().1, 1, 1, packets::ACK, &[]);
        four[1] = 0xb9;
        six[0] = 0x6b;
        six[1] = 0x90;

        assert_eq!(Packet::parse(&four, 0).unwrap().tos, 0xb9);
        assert_eq!(Packet::parse(&six, 0).unwrap().tos, 0xb9);
    }

    #[test]
    fn icmp_of_the_right_version_has_type_and_code() {
        for (ends, kind) in [(v4(), 8), (v6(), 128)] {
            let ip = packets::echo(ends.0.ip(), ends.1.ip(), false, 1);

            let packet = Packet::parse(&ip, 0).unwrap();

            assert_eq!(packet.l4, L4::Icmp { kind, code: 0 });
            assert_eq!((packet.src().1, packet.dst().1), (0, 0));
        }
    }

    #[test]
    fn icmpv6_over_ipv4_is_just_another_protocol() {
        let packet = ipv4(58, 0, &[], &[128, 0, 0, 0]);

        assert_eq!(Packet::parse(&packet, 0).unwrap().l4, L4::Other);
    }

    #[test]
    fn another_protocol_keeps_its_number() {
        let gre = ipv6(47, &[0, 0, 8, 0, 1, 2, 3]);

        let packet = Packet::parse(&gre, 0).unwrap();

        assert_eq!((packet.l4, packet.key.proto), (L4::Other, 47));
        assert_eq!(packet.payload.len(), 7);
    }

    #[test]
    fn headers_between_ip_and_tcp_are_looked_past() {
        let (four, six) = (segment(v4()), segment(v6()));

        assert_hello(&ipv4(6, 0, &[148, 4, 0, 0, 1, 1, 1, 1], &four), v4());
        assert_hello(&ipv4(51, 0, &[], &packets::authentication(6, &four)), v4());
        for kind in [0, 43, 60] {
            assert_hello(&ipv6(kind, &packets::extension(6, &six)), v6());
        }
        assert_hello(&ipv6(44, &packets::fragment(6, 0, false, &six)), v6());
        assert_hello(&ipv6(51, &packets::authentication(6, &six)), v6());
        let chain = packets::extension(
            43,
            &packets::extension(
                44,
                &packets::fragment(60, 0, true, &{ packets::extension(6, &six) }),
            ),
        );
        assert_hello(&ipv6(0, &chain), v6());
    }

    #[test]
    fn extension_headers_are_followed_to_a_bound() {
        let chain = |count| {
            let mut body = segment(v6());
            for depth in 0..count {
                body = packets::extension(if depth == 0 { 6 } else { 60 }, &body);
            }
            ipv6(60, &body)
        };

        assert_hello(&chain(MAX_EXTENSIONS), v6());
        let one_more = chain(MAX_EXTENSIONS + 1);
        assert_eq!(Packet::parse(&one_more, 0), Err(Malformed::ExtensionCount));
    }

    #[test]
    fn a_first_fragment_has_ports_and_a_later_one_is_none_of_ours() {
        let (src, dst) = v4();
        let datagram = packets::datagram(src, dst, &[0x55; 100]);

        let first = ipv4(17, 0x2000, &[], &datagram[..48]);
        let later = ipv4(17, 6, &[], &datagram[48..]);
        let later_v6 = ipv6(44, &packets::fragment(17, 48, false, &datagram[48..]));

        let packet = Packet::parse(&first, 0).unwrap();
        assert_eq!(packet.dst().1, 443);
        assert_eq!((packet.payload.len(), packet.payload_len), (40, 40));
        assert_eq!(Packet::parse(&later, 0), Err(Malformed::Fragment));
        assert_eq!(Packet::parse(&later_v6, 0), Err(Malformed::Fragment));
    }

    #[test]
    fn a_packet_cut_by_the_capture_keeps_its_length_on_the_wire() {
        let (src, dst) = v6();
        let tcp = packets::tcp(src, dst, 1, 1, packets::ACK, &[0x55; 1000]);
        let udp = packets::udp(src, dst, &[0x55; 1000]);

        for ip in [tcp, udp] {
            let packet = Packet::parse(&ip[..200], 0).unwrap();

            assert_eq!(packet.payload_len, 1000);
            assert!(packet.payload.len() < 200);
            assert_eq!(packet.ip_len as usize, ip.len());
        }
    }

    #[test]
    fn lengths_of_zero_mean_all_there_is() {
        for (src, dst) in [v4(), v6()] {
            let mut tcp = packets::tcp(src, dst, 1, 1, packets::ACK, &[]);
            tcp.resize(tcp.len() + 100_000, 0x55);
            let mut udp = packets::udp(src, dst, &[0x55; 64]);
            let (field, udp_length) = if src.is_ipv4() { (2, 24) } else { (4, 44) };
            tcp[field..field + 2].fill(0);
            udp[udp_length..udp_length + 2].fill(0);

            assert_eq!(Packet::parse(&tcp, 0).unwrap().payload_len, 100_000);
            assert_eq!(Packet::parse(&udp, 0).unwrap().payload_len, 64);
        }
    }

    #[test]
    fn padding_behind_the_packet_is_not_payload() {
        let (src, dst) = v4();
        let mut tcp = packets::tcp(src, dst, 1, 1, packets::ACK, &[]);
        let mut udp = packets::udp(src, dst, b"ab");
        let length = tcp.len();
        tcp.resize(60, 0);
        udp.resize(60, 0);

        let packet = Packet::parse(&tcp, 0).unwrap();

        assert_eq!(packet.payload, b"");
        assert_eq!(packet.ip_len as usize, length);
        assert_eq!(Packet::parse(&udp, 0).unwrap().payload, b"ab");
    }

    #[test]
    fn udp_payload_ends_where_udp_says() {
        let (src, dst) = v4();
        let mut ip = packets::udp(src, dst, b"abcdef");
        ip[25] -= 2;

        let packet = Packet::parse(&ip, 0).unwrap();

        assert_eq!((packet.payload, packet.payload_len), (&b"abcd"[..], 4));
    }

    #[test]
    fn each_malformed_kind_has_a_packet_that_is_it() {
        let (four, six) = (segment(v4()), segment(v6()));
        let mut short_header = ipv4(6, 0, &[], &four);
        short_header[0] = 0x44;
        let mut short_total = ipv4(6, 0, &[], &four);
        short_total[3] = 19;
        let mut offset = four.clone();
        offset[12] = 0x40;
        let mut beyond = four.clone();
        beyond[12] = 0xf0;
        let mut udp = packets::datagram(v4().0, v4().1, b"abc");
        let mut long_udp = udp.clone();
        udp[5] = 7;
        long_udp[5] = 12;
        let mut authentication = packets::authentication(6, &six);
        authentication[1] = 0;
        let too_many = (0..9).fold(six.clone(), |body, _| packets::extension(60, &body));

        let cases: Vec<(Vec<u8>, Malformed)> = vec![
            (vec![], Malformed::Empty),
            (vec![0x50; 60], Malformed::Version),
            (
                ipv4(6, 0, &[], &four)[..19].to_vec(),
                Malformed::Ipv4Truncated,
            ),
            (
                ipv4(6, 0, &[1; 8], &four)[..24].to_vec(),
                Malformed::Ipv4Truncated,
            ),
            (short_header, Malformed::Ipv4HeaderLength),
            (short_total, Malformed::Ipv4TotalLength),
            (ipv6(6, &six)[..39].to_vec(), Malformed::Ipv6Truncated),
            (
                ipv6(0, &[6, 1, 0, 0, 0, 0, 0, 0]),
                Malformed::ExtensionTruncated,
            ),
            (ipv6(44, &[6, 0, 0, 0]), Malformed::ExtensionTruncated),
            (
                ipv4(51, 0, &[], &[6, 4, 0, 0]),
                Malformed::ExtensionTruncated,
            ),
            (ipv6(51, &authentication), Malformed::ExtensionLength),
            (ipv6(60, &too_many), Malformed::ExtensionCount),
            (ipv4(6, 1, &[], &four), Malformed::Fragment),
            (ipv4(6, 0, &[], &four[..19]), Malformed::TcpTruncated),
            (ipv4(6, 0, &[], &beyond), Malformed::TcpTruncated),
            (ipv4(6, 0, &[], &offset), Malformed::TcpDataOffset),
            (ipv4(17, 0, &[], &udp[..7]), Malformed::UdpTruncated),
            (ipv4(17, 0, &[], &udp), Malformed::UdpLength),
            (ipv4(17, 0, &[], &long_udp), Malformed::UdpLength),
            (ipv4(1, 0, &[], &[8, 0, 0]), Malformed::IcmpTruncated),
        ];

        for (bytes, malformed) in &cases {
            assert_eq!(Packet::parse(bytes, 0), Err(*malformed), "{bytes:02x?}");
        }
        for kind in Malformed::ALL {
            assert!(cases.iter().any(|(_, shown)| *shown == kind), "{kind:?}");
        }
    }

    #[test]
    fn every_kind_stands_at_its_number_under_a_name_of_its_own() {
        for (index, kind) in Malformed::ALL.into_iter().enumerate() {
            assert_eq!(kind as usize, index);
            let same = Malformed::ALL
                .iter()
                .filter(|other| other.name() == kind.name());
            assert_eq!(same.count(), 1);
        }
    }

    fn check(bytes: &[u8]) {
        if let Ok(packet) = Packet::parse(bytes, 0) {
            assert!(packet.payload.len() <= packet.payload_len as usize);
            assert!(packet.payload_len <= packet.ip_len);
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic_and_no_payload_exceeds_its_packet(
            bytes in prop::collection::vec(any::<u8>(), 0..200),
        ) {
            check(&bytes);
        }

        #[test]
        fn nor_do_bytes_that_look_like_a_packet(
            start in prop::sample::select(vec![0x45, 0x46, 0x4f, 0x60]),
            proto in prop::sample::select(vec![0, 1, 6, 17, 43, 44, 51, 58, 60]),
            mut bytes in prop::collection::vec(any::<u8>(), 60..200),
            length in 0..260_u16,
        ) {
            bytes[0] = start;
            let (length_at, proto_at) = if start == 0x60 { (4, 6) } else { (2, 9) };
            bytes[length_at..length_at + 2].copy_from_slice(&length.to_be_bytes());
            bytes[proto_at] = proto;
            if start != 0x60 {
                bytes[6..8].fill(0);
            }
            for cut in 0..bytes.len() {
                check(&bytes[..cut]);
            }
        }
    }
}
