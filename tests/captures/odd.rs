//! What is no conversation as the book has it: fragments, pings, scans, refusals, a protocol nobody knows.

use std::net::SocketAddr;

use super::dns::Message;
use super::{File, Net, both, ip, noise};
use crate::support::packets::{ACK, RST, SYN, datagram, echo, fragment, ipv4, tcp};
use crate::support::talk::Talk;

const UDP: u8 = 17;

pub fn captures() -> Vec<File> {
    [
        both("udp_fragments", udp_fragments),
        both("icmp_echo", |net| {
            let mut talk = net.talk(net.web, 0);
            for sequence in 1..=3 {
                talk.push(true, echo(ip(net.client), ip(net.web), false, sequence))
                    .push(false, echo(ip(net.web), ip(net.client), true, sequence));
            }
            talk
        }),
        both("unknown_tcp", |net| {
            let mut talk = net.talk(net.web, 4711);
            talk.open();
            for (turn, words) in noise(11 * 40).chunks(40).enumerate() {
                talk.say(turn % 2 == 0, words);
            }
            talk
        }),
        both("syn_scan", syn_scan),
        both("rst_refused", |net| {
            let mut talk = net.talk(net.web, 8443);
            talk.flags(true, SYN);
            let refusal = tcp(talk.server, talk.client, 0, 1_001, RST | ACK, &[]);
            talk.push(false, refusal);
            talk
        }),
    ]
    .concat()
}

/// A DNS answer too long for one packet, in two fragments, the second also alone and late.
fn udp_fragments(net: Net) -> Talk {
    const TXT: u16 = 16;
    const FIRST: usize = 1448; // a multiple of 8
    let query = Message::query(0x2001, "long.example.org", TXT);
    let mut answer = query.clone();
    answer.answered(0);
    for letter in b'a'..=b'g' {
        answer.record(&[0xc0, 12], TXT, &[&[255], &[letter; 255][..]].concat());
    }
    let mut talk = net.talk(net.dns, 53);
    let message = datagram(talk.server, talk.client, &answer.bytes);
    let (src, dst) = (talk.server.ip(), talk.client.ip());
    let packet = |offset: usize, more: bool, body: &[u8]| {
        if src.is_ipv4() {
            let field = (offset / 8) as u16 | if more { 0x2000 } else { 0 };
            ipv4(src, dst, UDP, field, &[], body)
        } else {
            let body = fragment(UDP, offset as u16, more, body);
            crate::support::packets::ip(src, dst, 44, &body)
        }
    };
    let late = packet(FIRST, false, &message[FIRST..]);
    talk.datagram(true, &query.bytes)
        .push(false, packet(0, true, &message[..FIRST]))
        .push(false, late.clone())
        .wait(1_000_000)
        .push(false, late);
    talk
}

/// Twenty ports tried from one; 22 and 80 are open, and reset once they have said so.
fn syn_scan(net: Net) -> Talk {
    let mut talk = net.talk(net.web, 0);
    let client = talk.client;
    for port in (20..38).chain([80, 443]) {
        let server = SocketAddr::new(ip(net.web), port);
        talk.push(true, tcp(client, server, 5_000, 0, SYN, &[]));
        if port == 22 || port == 80 {
            talk.push(false, tcp(server, client, 9_000, 5_001, SYN | ACK, &[]))
                .push(true, tcp(client, server, 5_001, 0, RST, &[]));
        } else {
            talk.push(false, tcp(server, client, 0, 5_001, RST | ACK, &[]));
        }
    }
    talk
}
