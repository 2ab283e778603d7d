//! One packet at a time: IP, TCP, UDP, ICMP, extension headers, fragments; and link headers around them.

use std::net::{IpAddr, SocketAddr};

/// TCP flags.
pub const FIN: u8 = 0x01;
pub const SYN: u8 = 0x02;
pub const RST: u8 = 0x04;
pub const PSH: u8 = 0x08;
pub const ACK: u8 = 0x10;

/// The client's MAC address in frames made here, and the router's.
pub const CLIENT_MAC: [u8; 6] = [0x02, 0, 0, 0, 0, 0x01];
pub const ROUTER_MAC: [u8; 6] = [0x02, 0, 0, 0, 0, 0xfe];

/// Internet checksum of `bytes`, RFC 1071.
pub fn checksum(bytes: &[u8]) -> u16 {
    let mut sum: u32 = bytes
        .chunks(2)
        .map(|pair| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0)))
        .sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}

/// Checksum of an upper-layer message whose own checksum field is zero.
fn upper_checksum(src: IpAddr, dst: IpAddr, proto: u8, message: &[u8]) -> [u8; 2] {
    let mut bytes = [octets(src), octets(dst)].concat();
    bytes.extend_from_slice(&(message.len() as u32).to_be_bytes());
    bytes.extend_from_slice(&[0, 0, 0, proto]);
    bytes.extend_from_slice(message);
    checksum(&bytes).to_be_bytes()
}

/// An IP packet of the addresses' version.
pub fn ip(src: IpAddr, dst: IpAddr, proto: u8, body: &[u8]) -> Vec<u8> {
    match src {
        IpAddr::V4(_) => ipv4(src, dst, proto, 0x4000, &[], body), // do not fragment
        IpAddr::V6(_) => {
            let mut packet = vec![0x60, 0, 0, 0];
            packet.extend_from_slice(&(body.len() as u16).to_be_bytes());
            packet.extend_from_slice(&[proto, 64]);
            packet.extend([octets(src), octets(dst)].concat());
            packet.extend_from_slice(body);
            packet
        }
    }
}

/// An IPv4 packet with `options` (a multiple of 4 bytes); `fragment` is the flags and offset field.
pub fn ipv4(
    src: IpAddr,
    dst: IpAddr,
    proto: u8,
    fragment: u16,
    options: &[u8],
    body: &[u8],
) -> Vec<u8> {
    let header_len = 20 + options.len();
    let mut packet = vec![0x40 | (header_len / 4) as u8, 0];
    packet.extend_from_slice(&((header_len + body.len()) as u16).to_be_bytes());
    packet.extend_from_slice(&0x1234_u16.to_be_bytes());
    packet.extend_from_slice(&fragment.to_be_bytes());
    packet.extend_from_slice(&[64, proto, 0, 0]);
    packet.extend([octets(src), octets(dst)].concat());
    packet.extend_from_slice(options);
    let sum = checksum(&packet).to_be_bytes();
    packet[10..12].copy_from_slice(&sum);
    packet.extend_from_slice(body);
    packet
}

/// An IPv6 extension header in hop-by-hop's form with 4 bytes of padding option, then `body`.
pub fn extension(next: u8, body: &[u8]) -> Vec<u8> {
    [&[next, 0, 1, 4, 0, 0, 0, 0], body].concat()
}

/// An IPv6 fragment header, then `body`. `offset` in bytes, a multiple of 8.
pub fn fragment(next: u8, offset: u16, more: bool, body: &[u8]) -> Vec<u8> {
    let [high, low] = (offset | u16::from(more)).to_be_bytes();
    [&[next, 0, high, low, 0, 0, 0x12, 0x34], body].concat()
}

/// An authentication header with 12 bytes of check value, then `body`.
pub fn authentication(next: u8, body: &[u8]) -> Vec<u8> {
    let mut header = vec![next, 4, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1];
    header.extend_from_slice(&[0xaa; 12]);
    header.extend_from_slice(body);
    header
}

/// A TCP segment with its checksum, no IP header. A SYN has MSS and window scale options.
pub fn segment(
    src: SocketAddr,
    dst: SocketAddr,
    seq: u32,
    ack: u32,
    flags: u8,
    data: &[u8],
) -> Vec<u8> {
    let options: &[u8] = if flags & SYN != 0 {
        &[2, 4, 0x05, 0xb4, 1, 3, 3, 7]
    } else {
        &[]
    };
    let mut bytes = [src.port().to_be_bytes(), dst.port().to_be_bytes()].concat();
    bytes.extend_from_slice(&seq.to_be_bytes());
    bytes.extend_from_slice(&ack.to_be_bytes());
    bytes.extend_from_slice(&[((20 + options.len()) / 4 * 16) as u8, flags]);
    bytes.extend_from_slice(&0xfaf0_u16.to_be_bytes());
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(options);
    bytes.extend_from_slice(data);
    let sum = upper_checksum(src.ip(), dst.ip(), 6, &bytes);
    bytes[16..18].copy_from_slice(&sum);
    bytes
}

/// A TCP packet from the IP header on.
pub fn tcp(
    src: SocketAddr,
    dst: SocketAddr,
    seq: u32,
    ack: u32,
    flags: u8,
    data: &[u8],
) -> Vec<u8> {
    ip(
        src.ip(),
        dst.ip(),
        6,
        &segment(src, dst, seq, ack, flags, data),
    )
}

/// A UDP datagram with its checksum, no IP header.
pub fn datagram(src: SocketAddr, dst: SocketAddr, data: &[u8]) -> Vec<u8> {
    let mut bytes = [src.port().to_be_bytes(), dst.port().to_be_bytes()].concat();
    bytes.extend_from_slice(&(8 + data.len() as u16).to_be_bytes());
    bytes.extend_from_slice(&[0, 0]);
    bytes.extend_from_slice(data);
    let sum = match upper_checksum(src.ip(), dst.ip(), 17, &bytes) {
        [0, 0] => [0xff, 0xff], // RFC 768: zero means none
        sum => sum,
    };
    bytes[6..8].copy_from_slice(&sum);
    bytes
}

/// A UDP packet from the IP header on.
pub fn udp(src: SocketAddr, dst: SocketAddr, data: &[u8]) -> Vec<u8> {
    ip(src.ip(), dst.ip(), 17, &datagram(src, dst, data))
}

/// An echo request or reply of the addresses' version, from the IP header on.
pub fn echo(src: IpAddr, dst: IpAddr, reply: bool, sequence: u16) -> Vec<u8> {
    let (proto, kind) = match (src, reply) {
        (IpAddr::V4(_), false) => (1, 8),
        (IpAddr::V4(_), true) => (1, 0),
        (IpAddr::V6(_), false) => (58, 128),
        (IpAddr::V6(_), true) => (58, 129),
    };
    let mut message = vec![kind, 0, 0, 0, 0x77, 0x77];
    message.extend_from_slice(&sequence.to_be_bytes());
    message.extend_from_slice(b"abcdefghijklmnopqrstuvwabcdefghi");
    let sum = match src {
        IpAddr::V4(_) => checksum(&message).to_be_bytes(),
        IpAddr::V6(_) => upper_checksum(src, dst, proto, &message),
    };
    message[2..4].copy_from_slice(&sum);
    ip(src, dst, proto, &message)
}

/// EtherType of an IP packet.
pub fn ethertype(ip: &[u8]) -> [u8; 2] {
    if ip[0] >> 4 == 6 {
        [0x86, 0xdd]
    } else {
        [0x08, 0x00]
    }
}

/// An Ethernet frame around `body`, `tags` being (TPID, VLAN id) from the outermost on.
pub fn ethernet(
    src: [u8; 6],
    dst: [u8; 6],
    tags: &[(u16, u16)],
    kind: [u8; 2],
    body: &[u8],
) -> Vec<u8> {
    let mut frame = [dst, src].concat();
    for (tpid, vlan) in tags {
        frame.extend_from_slice(&tpid.to_be_bytes());
        frame.extend_from_slice(&vlan.to_be_bytes());
    }
    frame.extend_from_slice(&kind);
    frame.extend_from_slice(body);
    frame
}

/// A PPPoE session header with PPP's protocol number, then the IP packet.
pub fn pppoe(ip: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0x11, 0, 0, 0x07];
    bytes.extend_from_slice(&(ip.len() as u16 + 2).to_be_bytes());
    bytes.extend_from_slice(&ppp(ip));
    bytes
}

/// PPP's protocol number, then the IP packet.
pub fn ppp(ip: &[u8]) -> Vec<u8> {
    let proto = if ip[0] >> 4 == 6 { 0x57 } else { 0x21 };
    [&[0, proto], ip].concat()
}

/// A Linux cooked header, first version, then the IP packet.
pub fn cooked(mac: [u8; 6], ip: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0, 0, 0, 1, 0, 6];
    bytes.extend_from_slice(&mac);
    bytes.extend_from_slice(&[0, 0]);
    bytes.extend_from_slice(&ethertype(ip));
    bytes.extend_from_slice(ip);
    bytes
}

/// A Linux cooked header, second version, then the IP packet.
pub fn cooked2(mac: [u8; 6], ip: &[u8]) -> Vec<u8> {
    let mut bytes = ethertype(ip).to_vec();
    bytes.extend_from_slice(&[0, 0, 0, 0, 0, 3, 0, 1, 0, 6]);
    bytes.extend_from_slice(&mac);
    bytes.extend_from_slice(&[0, 0]);
    bytes.extend_from_slice(ip);
    bytes
}
