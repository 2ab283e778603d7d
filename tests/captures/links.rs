//! One small HTTP flow behind every link header, and in every form of file.

use super::http::small;
use super::{File, START, V4, V6};
use crate::support::files::{Kind, Order, Pcap, PcapNg, ethernet_frame, stations};
use crate::support::packets::{cooked, cooked2, ethernet, ethertype, ppp, pppoe};
use crate::support::talk::Timed;

/// A packet to a frame.
type Framing<'a> = dyn Fn(&Timed) -> Vec<u8> + 'a;

pub fn captures() -> Vec<File> {
    let tagged = |packet: &Timed, tags: &[(u16, u16)]| {
        let (src, dst) = stations(packet);
        ethernet(src, dst, tags, ethertype(&packet.ip), &packet.ip)
    };
    let links: [(&str, u32, &Framing); 10] = [
        ("vlan", 1, &|packet| tagged(packet, &[(0x8100, 7)])),
        ("qinq", 1, &|packet| {
            tagged(packet, &[(0x88a8, 100), (0x8100, 7)])
        }),
        ("pppoe", 1, &|packet| {
            let (src, dst) = stations(packet);
            ethernet(src, dst, &[], [0x88, 0x64], &pppoe(&packet.ip))
        }),
        ("sll", 113, &|packet| cooked(stations(packet).0, &packet.ip)),
        ("sll2", 276, &|packet| {
            cooked2(stations(packet).0, &packet.ip)
        }),
        ("null", 0, &|packet| loopback(packet, u32::to_le_bytes)),
        ("null_swapped", 0, &|packet| {
            loopback(packet, u32::to_be_bytes)
        }),
        ("loop", 108, &|packet| loopback(packet, u32::to_be_bytes)),
        ("raw", 101, &|packet| packet.ip.clone()),
        ("ppp", 9, &|packet| {
            [&[0xff, 0x03], &ppp(&packet.ip)[..]].concat()
        }),
    ];
    let mut files: Vec<File> = links
        .iter()
        .map(|(name, link, frame)| {
            let file = pcap(Order::Little, Kind::Micros, *link, frame);
            (format!("link_{name}.pcap"), file)
        })
        .collect();
    files.push((
        "big_endian.pcap".into(),
        pcap(Order::Big, Kind::Micros, 1, &ethernet_frame),
    ));
    files.push((
        "nanoseconds.pcap".into(),
        pcap(Order::Little, Kind::Nanos, 1, &ethernet_frame),
    ));
    files.push(("two_interfaces.pcapng".into(), two_interfaces()));
    files.push(("truncated.pcap".into(), truncated()));
    files.push(("absurd_length.pcap".into(), absurd_length()));
    files
}

/// The small flow over IPv4, a second later over IPv6.
fn packets() -> Vec<Timed> {
    let mut late = small(V6).packets;
    late.iter_mut().for_each(|packet| packet.at += 1_000_000);
    [small(V4).packets, late].concat()
}

fn pcap(order: Order, kind: Kind, link: u32, frame: &Framing) -> Vec<u8> {
    let mut file = Pcap::new(order, kind, link);
    for packet in packets() {
        file.frame(packet.at, &frame(&packet));
    }
    file.bytes
}

/// FreeBSD's loopback header.
fn loopback(packet: &Timed, bytes: fn(u32) -> [u8; 4]) -> Vec<u8> {
    let family = if packet.ip[0] >> 4 == 6 { 28 } else { 2 };
    [&bytes(family)[..], &packet.ip].concat()
}

/// IPv4 as Ethernet with nanoseconds, IPv6 as raw IP with microseconds, a block of no known kind between.
fn two_interfaces() -> Vec<u8> {
    let mut file = PcapNg::new(Order::Little);
    file.interface(1, 0, 9, 0).interface(101, 0, 6, 0);
    let packets = packets();
    let (four, six) = packets.split_at(packets.len() / 2);
    for packet in four {
        file.frame(0, packet.at * 1_000, &ethernet_frame(packet));
    }
    file.block(0x0bad_cafe, b"skip me");
    for packet in six {
        file.frame(1, packet.at, &packet.ip);
    }
    file.bytes
}

/// The last record has 20 bytes less than it says.
fn truncated() -> Vec<u8> {
    let mut bytes = pcap(Order::Little, Kind::Micros, 1, &ethernet_frame);
    bytes.truncate(bytes.len() - 20);
    bytes
}

/// After the flow a record that claims to be 2 GiB long.
fn absurd_length() -> Vec<u8> {
    let mut file = Pcap::new(Order::Little, Kind::Micros, 1);
    for packet in packets() {
        file.frame(packet.at, &ethernet_frame(&packet));
    }
    file.header(START + 2_000_000, 0x8000_0000, 60);
    file.bytes.extend_from_slice(&[0x55; 60]);
    file.bytes
}
