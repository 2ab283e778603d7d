//! TLS handshakes: real flights, recorded once (`bytes/`), in whatever segments a case wants.

use super::{File, Net, both, noise};
use crate::support::talk::Talk;

const TLS12: &str = include_str!("bytes/tls12.hex");
const TLS13: &str = include_str!("bytes/tls13.hex");
const TLS13_NO_SNI: &str = include_str!("bytes/tls13_no_sni.hex");

pub fn captures() -> Vec<File> {
    let big = || with_big_key_share(&flights(TLS13)[0].1);
    [
        both("tls12", |net| handshake(net, TLS12)),
        both("tls13", |net| handshake(net, TLS13)),
        both("tls13_no_sni", |net| handshake(net, TLS13_NO_SNI)),
        both("tls13_split2", |net| cut(net, &hello(), &[100], &[0, 1])),
        both("tls13_split3", |net| {
            cut(net, &hello(), &[3, 130], &[0, 1, 2])
        }),
        both("tls13_split3_reordered", |net| {
            cut(net, &hello(), &[3, 130], &[2, 0, 1])
        }),
        both("tls13_big_hello", |net| cut(net, &big(), &[1400], &[0, 1])),
        both("tls13_big_hello_reordered", |net| {
            cut(net, &big(), &[1400], &[1, 0])
        }),
    ]
    .concat()
}

/// Flights of a recording: who spoke (`true` the client), and what. A line each, `>` for the client.
fn flights(recording: &str) -> Vec<(bool, Vec<u8>)> {
    let flight = |line: &str| {
        let (who, hex) = line.split_once(' ').expect("who, a space, hex digits");
        let byte = |at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex digits");
        (who == ">", (0..hex.len()).step_by(2).map(byte).collect())
    };
    recording.lines().map(flight).collect()
}

fn hello() -> Vec<u8> {
    flights(TLS13).swap_remove(0).1
}

/// The recording as it went over the wire.
fn handshake(net: Net, recording: &str) -> Talk {
    let mut talk = net.talk(net.web, 443);
    talk.open();
    for (to_server, flight) in flights(recording) {
        talk.send(to_server, &flight);
    }
    talk.close();
    talk
}

/// TLS 1.3 with `hello` cut at `cuts`, its pieces sent in `order`.
fn cut(net: Net, hello: &[u8], cuts: &[usize], order: &[usize]) -> Talk {
    let mut talk = net.talk(net.web, 443);
    talk.open().send_pieces(true, hello, cuts, order);
    for (to_server, flight) in &flights(TLS13)[1..] {
        talk.send(*to_server, flight);
    }
    talk.close();
    talk
}

/// The recorded ClientHello with a share of SecP384r1MLKEM1024 (1,665 bytes) before the one it has. The
/// share is noise: who looks on cannot tell.
fn with_big_key_share(record: &[u8]) -> Vec<u8> {
    const KEY_SHARE: u16 = 51;
    const GROUP: u16 = 0x11ed;
    let be16 = |bytes: &[u8], at: usize| u16::from_be_bytes([bytes[at], bytes[at + 1]]);
    let share = [
        &GROUP.to_be_bytes()[..],
        &1665_u16.to_be_bytes(),
        &noise(1665),
    ]
    .concat();

    // record header, handshake header, version, random; then three fields with lengths
    let mut at = 5 + 4 + 2 + 32;
    at += 1 + usize::from(record[at]);
    at += 2 + usize::from(be16(record, at));
    at += 1 + usize::from(record[at]);
    let mut hello = record.to_vec();
    let lengthen = |hello: &mut [u8], at: usize| {
        let longer = be16(hello, at) + share.len() as u16;
        hello[at..at + 2].copy_from_slice(&longer.to_be_bytes());
    };
    lengthen(&mut hello, 3); // record
    lengthen(&mut hello, 7); // handshake, the lower two of its three bytes
    lengthen(&mut hello, at); // extensions
    at += 2;
    while be16(&hello, at) != KEY_SHARE {
        at += 4 + usize::from(be16(&hello, at + 2));
    }
    lengthen(&mut hello, at + 2); // extension
    lengthen(&mut hello, at + 4); // list of shares
    hello.splice(at + 6..at + 6, share.iter().copied());
    hello
}
