//! DNS over UDP and TCP, RFC 1035.

use std::net::IpAddr;

use super::{File, Net, both, ip};
use crate::support::talk::Talk;

const A: u16 = 1;
const CNAME: u16 = 5;
const AAAA: u16 = 28;

/// Answer codes.
const NO_ERROR: u8 = 0;
const NAME_ERROR: u8 = 3;

pub fn captures() -> Vec<File> {
    [
        both("dns", |net| {
            let mut talk = net.talk(net.dns, 53);
            for (id, kind, server) in [
                (0x1001, A, "198.51.100.80"),
                (0x1002, AAAA, "2001:db8:2::80"),
            ] {
                talk.datagram(true, &Message::query(id, "www.example.org", kind).bytes)
                    .datagram(false, &chain(id, kind, ip(server)));
            }
            talk
        }),
        both("dns_nxdomain", |net| {
            let query = Message::query(0x1003, "nosuch.example", A);
            let mut answer = query.clone();
            answer.answered(NAME_ERROR);
            udp(net, &query.bytes, Some(&answer.bytes))
        }),
        both("dns_tcp", |net| {
            let query = Message::query(0x1004, "www.example.org", A);
            let mut talk = net.talk(net.dns, 53);
            talk.open()
                .send(true, &framed(&query.bytes))
                .send(false, &framed(&chain(0x1004, A, ip("198.51.100.80"))))
                .close();
            talk
        }),
        both("dns_unanswered", |net| {
            let query = Message::query(0x1005, "www.example.org", A);
            let mut talk = udp(net, &query.bytes, None);
            talk.wait(5_000_000).datagram(true, &query.bytes);
            talk
        }),
        both("dns_pointer_loop", |net| {
            let query = Message::query(0x1006, "www.example.org", A);
            let mut answer = query.clone();
            answer.answered(NO_ERROR);
            let here = answer.bytes.len() as u16;
            // a name that points at itself
            answer.record(&(0xc000 | here).to_be_bytes(), A, &[198, 51, 100, 80]);
            udp(net, &query.bytes, Some(&answer.bytes))
        }),
        both("dns_other_server", |net| {
            let query = Message::query(0x1007, "www.example.org", A);
            let mut talk = net.talk(net.other_dns, 53);
            talk.datagram(true, &query.bytes)
                .datagram(false, &chain(0x1007, A, ip("198.51.100.80")));
            talk
        }),
    ]
    .concat()
}

fn udp(net: Net, query: &[u8], answer: Option<&[u8]>) -> Talk {
    let mut talk = net.talk(net.dns, 53);
    talk.datagram(true, query);
    if let Some(answer) = answer {
        talk.datagram(false, answer);
    }
    talk
}

/// A message with the two bytes of length TCP has before it.
fn framed(message: &[u8]) -> Vec<u8> {
    [&(message.len() as u16).to_be_bytes(), message].concat()
}

/// The answer for www.example.org: two aliases, then `address`.
fn chain(id: u16, kind: u16, address: IpAddr) -> Vec<u8> {
    let mut message = Message::query(id, "www.example.org", kind);
    message.answered(NO_ERROR);
    let first = message.record(&[0xc0, 12], CNAME, &name("edge.example.net"));
    // "node7" before what the first alias is
    let node = [b"\x05node7", &(0xc000 | first).to_be_bytes()[..]].concat();
    let second = message.record(&(0xc000 | first).to_be_bytes(), CNAME, &node);
    let address = match address {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    };
    message.record(&(0xc000 | second).to_be_bytes(), kind, &address);
    message.bytes
}

/// A name in labels.
fn name(text: &str) -> Vec<u8> {
    let mut bytes: Vec<u8> = text
        .split('.')
        .flat_map(|label| [&[label.len() as u8], label.as_bytes()].concat())
        .collect();
    bytes.push(0);
    bytes
}

/// A message being written.
#[derive(Clone)]
pub struct Message {
    pub bytes: Vec<u8>,
}

impl Message {
    /// A query with recursion wanted.
    pub fn query(id: u16, host: &str, kind: u16) -> Self {
        let mut bytes = id.to_be_bytes().to_vec();
        bytes.extend_from_slice(&[1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
        bytes.extend(name(host));
        bytes.extend_from_slice(&kind.to_be_bytes());
        bytes.extend_from_slice(&[0, 1]);
        Message { bytes }
    }

    /// The query becomes its answer, no records yet.
    pub fn answered(&mut self, code: u8) {
        self.bytes[2] = 0x81;
        self.bytes[3] = 0x80 | code;
    }

    /// Adds an answer record that lives five minutes; the offset of its data.
    pub fn record(&mut self, owner: &[u8], kind: u16, data: &[u8]) -> u16 {
        self.bytes[7] += 1;
        self.bytes.extend_from_slice(owner);
        self.bytes.extend_from_slice(&kind.to_be_bytes());
        self.bytes.extend_from_slice(&[0, 1, 0, 0, 0x01, 0x2c]);
        self.bytes
            .extend_from_slice(&(data.len() as u16).to_be_bytes());
        let at = self.bytes.len() as u16;
        self.bytes.extend_from_slice(data);
        at
    }
}
