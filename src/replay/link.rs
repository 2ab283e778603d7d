//! Bytes of a captured frame to the IP packet in it: Ethernet with its tags, PPPoE, MPLS, Linux cooked,
//! loopback, PPP, raw IP. Radio frames and everything else are counted and left. IP itself is `packet`'s.
//! Numbers: <https://www.tcpdump.org/linktypes.html>, IEEE 802 numbers at IANA.

/// Link type of an interface, as capture files number it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct LinkType(pub u32);

impl LinkType {
    /// BSD loopback: address family in the capturing host's byte order.
    pub const NULL: LinkType = LinkType(0);
    /// Ethernet.
    pub const ETHERNET: LinkType = LinkType(1);
    /// PPP, with or without HDLC's address and control bytes.
    pub const PPP: LinkType = LinkType(9);
    /// PPP in HDLC-like framing (RFC 1662), or Cisco HDLC.
    pub const PPP_HDLC: LinkType = LinkType(50);
    /// PPPoE session without the Ethernet header.
    pub const PPP_ETHER: LinkType = LinkType(51);
    /// IP of either version.
    pub const RAW: LinkType = LinkType(101);
    /// Cisco HDLC.
    pub const C_HDLC: LinkType = LinkType(104);
    /// OpenBSD loopback: address family in network order.
    pub const LOOP: LinkType = LinkType(108);
    /// Linux cooked capture, as `-i any` gives.
    pub const LINUX_SLL: LinkType = LinkType(113);
    /// IPv4 alone.
    pub const IPV4: LinkType = LinkType(228);
    /// IPv6 alone.
    pub const IPV6: LinkType = LinkType(229);
    /// Linux cooked capture, second version.
    pub const LINUX_SLL2: LinkType = LinkType(276);
    /// IP of either version, as files written with BSD's own number have it.
    pub const RAW_BSD: LinkType = LinkType(12);
    /// The same, with OpenBSD's.
    pub const RAW_OPENBSD: LinkType = LinkType(14);
}

/// Why a frame has no packet for us. Each is a counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum NoPacket {
    /// ARP, LLDP, spanning tree, PPP negotiation: not IP.
    NotIp,
    /// Cut before the IP header.
    Truncated,
    /// A link type we do not read.
    UnsupportedLink,
}

impl NoPacket {
    /// Every kind, in the order of their numbers.
    pub const ALL: [NoPacket; 3] = [
        NoPacket::NotIp,
        NoPacket::Truncated,
        NoPacket::UnsupportedLink,
    ];

    /// Names of all counters, in the same order.
    pub const NAMES: [&str; NoPacket::ALL.len()] = [
        NoPacket::ALL[0].name(),
        NoPacket::ALL[1].name(),
        NoPacket::ALL[2].name(),
    ];

    /// Name of its counter.
    pub const fn name(self) -> &'static str {
        match self {
            NoPacket::NotIp => "not_ip",
            NoPacket::Truncated => "link_truncated",
            NoPacket::UnsupportedLink => "unsupported_link",
        }
    }
}

/// What a frame carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Net<'a> {
    /// From the IP header to the end of the frame, link padding included.
    pub ip: &'a [u8],
    /// 802.1Q id of the innermost tag, 0 without one.
    pub vlan: u16,
    /// Sender's MAC address, where the link has one.
    pub source_mac: Option<[u8; 6]>,
}

/// VLAN tags and MPLS labels looked past in one frame.
const MAX_TAGS: usize = 8;

/// IP bytes and VLAN.
type Found<'a> = Result<(&'a [u8], u16), NoPacket>;

/// The IP packet in a frame of `link`.
pub fn net(link: LinkType, frame: &[u8]) -> Result<Net<'_>, NoPacket> {
    let (source_mac, found) = match link {
        LinkType::ETHERNET => {
            let (header, rest) = split::<14>(frame)?;
            (mac(&header[6..12]), ethertype(&header[12..14], rest))
        }
        LinkType::LINUX_SLL => {
            let (header, rest) = split::<16>(frame)?;
            let has_mac = header[4..6] == [0, 6];
            (
                mac(&header[6..12]).filter(|_| has_mac),
                ethertype(&header[14..16], rest),
            )
        }
        LinkType::LINUX_SLL2 => {
            let (header, rest) = split::<20>(frame)?;
            let has_mac = header[11] == 6;
            (
                mac(&header[12..18]).filter(|_| has_mac),
                ethertype(&header[0..2], rest),
            )
        }
        LinkType::NULL | LinkType::LOOP => (None, loopback(frame)),
        LinkType::RAW | LinkType::RAW_BSD | LinkType::RAW_OPENBSD => (None, Ok((frame, 0))),
        LinkType::IPV4 | LinkType::IPV6 => (None, Ok((frame, 0))),
        LinkType::PPP => (None, ppp(frame)),
        LinkType::PPP_HDLC if frame.starts_with(&HDLC_ALL_STATIONS) => (None, ppp(frame)),
        LinkType::PPP_HDLC | LinkType::C_HDLC => (None, cisco_hdlc(frame)),
        LinkType::PPP_ETHER => (None, pppoe(frame)),
        _ => return Err(NoPacket::UnsupportedLink),
    };
    let (ip, vlan) = found?;
    if ip.is_empty() {
        return Err(NoPacket::Truncated);
    }
    Ok(Net {
        ip,
        vlan,
        source_mac,
    })
}

/// The first `N` bytes and the rest.
fn split<const N: usize>(bytes: &[u8]) -> Result<(&[u8; N], &[u8]), NoPacket> {
    bytes.split_first_chunk().ok_or(NoPacket::Truncated)
}

fn mac(bytes: &[u8]) -> Option<[u8; 6]> {
    bytes.try_into().ok()
}

/// What follows an EtherType or, below 0x0600, an 802.3 length.
fn ethertype<'a>(kind: &[u8], mut rest: &'a [u8]) -> Found<'a> {
    let mut kind = [kind[0], kind[1]];
    let mut vlan = 0;
    for _ in 0..MAX_TAGS {
        match u16::from_be_bytes(kind) {
            0x0800 | 0x86dd => return Ok((rest, vlan)),
            // 802.1Q, 802.1ad, and the two that came before 802.1ad
            0x8100 | 0x88a8 | 0x9100 | 0x9200 => {
                let (&[high, low, next @ ..], behind) = split::<4>(rest)?;
                vlan = u16::from_be_bytes([high, low]) & 0x0fff;
                kind = next;
                rest = behind;
            }
            0x8864 => return pppoe(rest).map(|(ip, _)| (ip, vlan)),
            0x8847 | 0x8848 => return mpls(rest).map(|(ip, _)| (ip, vlan)),
            // 802.3: IP only behind the LLC header that says SNAP with EtherTypes (RFC 1042)
            0..0x0600 => {
                let snap = rest
                    .strip_prefix(&[0xaa, 0xaa, 0x03, 0, 0, 0])
                    .ok_or(NoPacket::NotIp)?;
                let (&next, behind) = split::<2>(snap)?;
                kind = next;
                rest = behind;
            }
            _ => return Err(NoPacket::NotIp),
        }
    }
    Err(NoPacket::NotIp)
}

/// PPPoE session, RFC 2516: only sessions' data has code 0.
fn pppoe(bytes: &[u8]) -> Found<'_> {
    match split::<6>(bytes)? {
        ([0x11, 0x00, ..], rest) => ppp(rest),
        _ => Err(NoPacket::NotIp),
    }
}

/// HDLC's address and control bytes before PPP, RFC 1662.
const HDLC_ALL_STATIONS: [u8; 2] = [0xff, 0x03];

/// PPP, the protocol number in two bytes or compressed to one (odd: RFC 1661 section 2).
fn ppp(bytes: &[u8]) -> Found<'_> {
    let bytes = bytes.strip_prefix(&HDLC_ALL_STATIONS).unwrap_or(bytes);
    match bytes {
        [0x00, 0x21 | 0x57, ip @ ..] | [0x21 | 0x57, ip @ ..] => Ok((ip, 0)),
        [] | [0x00] => Err(NoPacket::Truncated),
        _ => Err(NoPacket::NotIp),
    }
}

fn cisco_hdlc(bytes: &[u8]) -> Found<'_> {
    let (header, rest) = split::<4>(bytes)?;
    ethertype(&header[2..4], rest)
}

/// BSD loopback: the family is of whatever system and byte order captured; only IP's are known.
fn loopback(bytes: &[u8]) -> Found<'_> {
    let (&family, rest) = split::<4>(bytes)?;
    let family = match u32::from_be_bytes(family) {
        small if small <= 0xffff => small,
        swapped => swapped.swap_bytes(),
    };
    match family {
        2 | 10 | 24 | 28 | 30 => Ok((rest, 0)), // IPv4; IPv6 of Linux, NetBSD, FreeBSD, macOS
        _ => Err(NoPacket::NotIp),
    }
}

/// Past the label stack, RFC 3032. Labels do not say what they carry: IP's version nibble does.
fn mpls(mut bytes: &[u8]) -> Found<'_> {
    for _ in 0..MAX_TAGS {
        let (label, rest) = split::<4>(bytes)?;
        bytes = rest;
        if label[2] & 1 == 1 {
            return match bytes.first().ok_or(NoPacket::Truncated)? >> 4 {
                4 | 6 => Ok((bytes, 0)),
                _ => Err(NoPacket::NotIp),
            };
        }
    }
    Err(NoPacket::NotIp)
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use proptest::prelude::*;

    use super::*;
    use crate::support::packets::{
        self, CLIENT_MAC, ROUTER_MAC, cooked, cooked2, ethernet, ethertype,
    };

    fn packets() -> [Vec<u8>; 2] {
        let pair = |src: &str, dst: &str| {
            let (src, dst): (SocketAddr, SocketAddr) = (src.parse().unwrap(), dst.parse().unwrap());
            packets::udp(src, dst, b"x")
        };
        [
            pair("192.0.2.10:4000", "203.0.113.53:53"),
            pair("[2001:db8:1::10]:4000", "[2001:db8:53::53]:53"),
        ]
    }

    fn tagged(tags: &[(u16, u16)], ip: &[u8]) -> Vec<u8> {
        ethernet(CLIENT_MAC, ROUTER_MAC, tags, ethertype(ip), ip)
    }

    #[test]
    fn every_link_gives_the_ip_packet_and_what_it_knows_of_the_sender() {
        for ip in packets() {
            let family = if ip[0] >> 4 == 6 { 30 } else { 2 };
            let mac = Some(CLIENT_MAC);
            let cases = [
                (LinkType::ETHERNET, tagged(&[], &ip), mac),
                (LinkType::LINUX_SLL, cooked(CLIENT_MAC, &ip), mac),
                (LinkType::LINUX_SLL2, cooked2(CLIENT_MAC, &ip), mac),
                (LinkType::NULL, [&[family, 0, 0, 0], &ip[..]].concat(), None),
                (LinkType::NULL, [&[0, 0, 0, family], &ip[..]].concat(), None),
                (LinkType::LOOP, [&[0, 0, 0, family], &ip[..]].concat(), None),
                (LinkType::RAW, ip.clone(), None),
                (LinkType::RAW_BSD, ip.clone(), None),
                (LinkType::RAW_OPENBSD, ip.clone(), None),
                (LinkType::IPV4, ip.clone(), None),
                (LinkType::IPV6, ip.clone(), None),
                (LinkType::PPP, packets::ppp(&ip), None),
                (LinkType::PPP, packets::ppp(&ip)[1..].to_vec(), None),
                (
                    LinkType::PPP,
                    [&[0xff, 3], &packets::ppp(&ip)[..]].concat(),
                    None,
                ),
                (
                    LinkType::PPP_HDLC,
                    [&[0xff, 3], &packets::ppp(&ip)[..]].concat(),
                    None,
                ),
                (
                    LinkType::PPP_HDLC,
                    [&[0x0f, 0], &ethertype(&ip), &ip[..]].concat(),
                    None,
                ),
                (
                    LinkType::C_HDLC,
                    [&[0x0f, 0], &ethertype(&ip), &ip[..]].concat(),
                    None,
                ),
                (LinkType::PPP_ETHER, packets::pppoe(&ip), None),
            ];

            for (link, frame, source_mac) in cases {
                let expected = Net {
                    ip: &ip,
                    vlan: 0,
                    source_mac,
                };
                assert_eq!(net(link, &frame), Ok(expected), "{link:?}");
            }
        }
    }

    #[test]
    fn the_innermost_tag_is_the_vlan() {
        for ip in packets() {
            for (tags, vlan) in [
                (&[(0x8100, 0x2007)][..], 7),
                (&[(0x88a8, 100), (0x8100, 7)], 7),
                (&[(0x9100, 100), (0x8100, 200), (0x8100, 7)], 7),
            ] {
                let frame = tagged(tags, &ip);

                assert_eq!(net(LinkType::ETHERNET, &frame).unwrap().vlan, vlan);
                assert_eq!(net(LinkType::ETHERNET, &frame).unwrap().ip, ip);
            }
        }
    }

    #[test]
    fn what_ethernet_carries_around_ip_is_taken_off() {
        for ip in packets() {
            let session = packets::pppoe(&ip);
            let labels = [&[0, 1, 0, 64, 0, 2, 1, 64], &ip[..]].concat();
            let snap = [&[0xaa, 0xaa, 3, 0, 0, 0][..], &ethertype(&ip), &ip[..]].concat();
            let length = (snap.len() as u16).to_be_bytes();

            for (kind, body) in [
                ([0x88, 0x64], session),
                ([0x88, 0x47], labels),
                (length, snap),
            ] {
                let frame = ethernet(CLIENT_MAC, ROUTER_MAC, &[(0x8100, 7)], kind, &body);

                let expected = Net {
                    ip: &ip,
                    vlan: 7,
                    source_mac: Some(CLIENT_MAC),
                };
                assert_eq!(net(LinkType::ETHERNET, &frame), Ok(expected));
            }
        }
    }

    #[test]
    fn what_is_not_ip_says_so() {
        let ethernet = |kind, body: &[u8]| ethernet(CLIENT_MAC, ROUTER_MAC, &[], kind, body);
        let too_many_tags = vec![(0x8100, 1); MAX_TAGS + 1];

        for (link, frame) in [
            (1, ethernet([0x08, 0x06], &[0; 28])),                  // ARP
            (1, ethernet([0x88, 0xcc], &[0; 28])),                  // LLDP
            (1, ethernet([0x00, 0x26], &[0x42; 38])),               // spanning tree
            (1, ethernet([0x00, 0x06], &[0, 1, 0xaf, 0x81, 1, 0])), // LLC XID
            (1, ethernet([0x88, 0x63], &[0x11; 28])),               // PPPoE discovery
            (1, ethernet([0x88, 0x47], &[0, 0, 1, 0, 0])),          // pseudowire
            (1, tagged(&too_many_tags, &packets()[0])),
            (0, vec![7, 0, 0, 0, 1]),            // PUP
            (9, vec![0xc0, 0x21, 1]),            // LCP
            (104, vec![0x8f, 0, 0x80, 0x35, 0]), // SLARP
        ] {
            let result = net(LinkType(link), &frame);

            assert_eq!(result, Err(NoPacket::NotIp), "{link} {frame:02x?}");
        }
    }

    #[test]
    fn a_frame_cut_before_ip_says_so() {
        let ethernet = |kind, body: &[u8]| ethernet(CLIENT_MAC, ROUTER_MAC, &[], kind, body);

        for (link, frame) in [
            (1, vec![0; 13]),
            (1, ethernet([0x08, 0x00], &[])),
            (1, ethernet([0x81, 0x00], &[0, 7, 8])),
            (1, ethernet([0x88, 0x64], &[0x11, 0, 0, 7])),
            (1, ethernet([0x88, 0x47], &[0, 0, 1])),
            (113, vec![0; 15]),
            (276, vec![0; 19]),
            (0, vec![2, 0, 0]),
            (9, vec![0]),
            (101, vec![]),
        ] {
            let result = net(LinkType(link), &frame);

            assert_eq!(result, Err(NoPacket::Truncated), "{link} {frame:02x?}");
        }
    }

    #[test]
    fn a_link_nobody_reads_here_says_so() {
        let radiotap = LinkType(127);

        assert_eq!(net(radiotap, &[0; 60]), Err(NoPacket::UnsupportedLink));
    }

    #[test]
    fn a_cooked_frame_without_an_ethernet_address_has_no_mac() {
        let [ip, _] = packets();
        let mut frame = cooked(CLIENT_MAC, &ip);
        frame[5] = 0;

        assert_eq!(net(LinkType::LINUX_SLL, &frame).unwrap().source_mac, None);
    }

    proptest! {
        #[test]
        fn no_bytes_panic(
            link in prop::sample::select(vec![0, 1, 9, 12, 14, 50, 51, 101, 104, 108, 113, 228, 229, 276]),
            kind in prop::sample::select(vec![0x0800, 0x8100, 0x88a8, 0x8864, 0x8847, 0x86dd, 40_u16]),
            mut bytes in prop::collection::vec(any::<u8>(), 0..80),
        ) {
            let _ = net(LinkType(link), &bytes);
            if bytes.len() >= 14 {
                bytes[12..14].copy_from_slice(&kind.to_be_bytes());
                let _ = net(LinkType(link), &bytes);
            }
        }
    }
}
