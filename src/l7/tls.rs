//! TLS over TCP (RFC 8446, RFC 5246): what the client asks for, what the server chose and, below 1.3 where
//! it is in the clear, whose certificate it shows.
//!
//! This file walks records and joins handshake messages cut over several of them; what is in a message is
//! read in `tls/`. A direction is read up to its ClientHello, or up to the server's certificate. Of a
//! certificate longer than what can be kept, issuer, dates and subject are read still: they come first.

mod certificate;
mod fingerprint;
pub(crate) mod hello;

use crate::flow::stream::STREAM_BYTES;
use crate::l7::reader::Reader;
use crate::l7::{Dissector, Facts, Input, Probe, Proto, Step, Transport};

/// The dissector. The limit is one record of the largest size: with segments joined by the network card a
/// server's whole flight comes in one packet.
pub const TLS: Dissector = Dissector {
    proto: Proto::TLS,
    transport: Transport::Tcp,
    limit_bytes: 16_384,
    probe,
};

/// Content types of records (RFC 8446, 5.1).
mod content {
    pub const CHANGE_CIPHER_SPEC: u8 = 20;
    pub const ALERT: u8 = 21;
    pub const HANDSHAKE: u8 = 22;
    pub const APPLICATION_DATA: u8 = 23;
}

/// Handshake types (RFC 8446, 4; RFC 5246, 7.4).
mod handshake {
    pub const CLIENT_HELLO: u8 = 1;
    pub const SERVER_HELLO: u8 = 2;
    pub const CERTIFICATE: u8 = 11;
    pub const SERVER_KEY_EXCHANGE: u8 = 12;
    pub const SERVER_HELLO_DONE: u8 = 14;
}

/// A record's plain length is at most 2^14; RFC 5246 allows 2048 more for what encryption adds.
const MAX_RECORD: u16 = 16_384 + 2_048;
/// Version, random, empty session id, one cipher, one compression: no ClientHello is shorter.
const MIN_CLIENT_HELLO: u32 = 41;
/// Version, random, empty session id, cipher, compression: no ServerHello is shorter.
const MIN_SERVER_HELLO: u32 = 38;
/// What claims to be a longer hello is not TLS.
const MAX_HELLO: u32 = 0x1_ffff;

fn probe(input: &Input, facts: &mut Facts) -> Probe {
    match first_record(input.data) {
        Ok(content::HANDSHAKE) => {}
        // In the middle of a connection, or a refusal: nothing in the clear will follow.
        Ok(_) => return Probe::Yes(Step::Done),
        Err(verdict) => return verdict,
    }
    let mut messages = Messages::new(input.data);
    let mut joined = Joined::new();
    let hello = match messages.next(&mut joined) {
        Next::Message(message) => message,
        Next::Incomplete => return Probe::NeedMore,
        Next::Over => return Probe::No,
    };
    match (is_hello(&hello), hello.kind) {
        (Some(true), handshake::CLIENT_HELLO) => {
            if hello.complete || hello.too_long || input.cut {
                hello::note_client(hello.body, hello.complete, facts);
            }
            let settled = hello.complete || hello.too_long;
            Probe::Yes(if settled { Step::Request } else { Step::Begun })
        }
        (Some(true), _) if !hello.complete => Probe::Yes(Step::Begun),
        (Some(true), _) => match hello::note_server(hello.body, facts) {
            Some(hello::Follows::InTheClear) => {
                Probe::Yes(certificate_in(&mut messages, &mut joined, input.cut, facts))
            }
            Some(hello::Follows::Encrypted) | None => Probe::Yes(Step::Done),
        },
        (Some(false), _) => Probe::No,
        (None, _) => Probe::NeedMore,
    }
}

/// Content type of the first record if it is one that says TLS; else what to answer.
fn first_record(data: &[u8]) -> Result<u8, Probe> {
    let kind = *data.first().ok_or(Probe::NeedMore)?;
    if !(content::CHANGE_CIPHER_SPEC..=content::APPLICATION_DATA).contains(&kind)
        || data.get(1).is_some_and(|major| *major != 3)
        || data.get(2).is_some_and(|minor| *minor > 4)
    {
        return Err(Probe::No);
    }
    let length = data.get(3..5).ok_or(Probe::NeedMore)?;
    let length = u16::from_be_bytes([length[0], length[1]]);
    let fits = match (kind, data.get(5)) {
        // Behind these five bytes anything may follow: it is encrypted.
        (content::APPLICATION_DATA, _) => (1..=MAX_RECORD).contains(&length),
        (_, None) => return Err(Probe::NeedMore),
        (content::HANDSHAKE, Some(&first)) => {
            (1..=MAX_RECORD).contains(&length) && starts_hello(first)
        }
        // Warning or fatal; or encrypted, as the last word of a connection picked up late.
        (content::ALERT, Some(level)) => {
            length == 2 && (1..=2).contains(level) || (18..=64).contains(&length)
        }
        (_, Some(message)) => length == 1 && *message == 1,
    };
    if fits { Ok(kind) } else { Err(Probe::No) }
}

fn starts_hello(kind: u8) -> bool {
    kind == handshake::CLIENT_HELLO || kind == handshake::SERVER_HELLO
}

/// Whether a handshake message is a hello as TLS has them; `None` while its version is not there.
fn is_hello(message: &Message) -> Option<bool> {
    let shortest = match message.kind {
        handshake::CLIENT_HELLO => MIN_CLIENT_HELLO,
        handshake::SERVER_HELLO => MIN_SERVER_HELLO,
        _ => return Some(false),
    };
    if !(shortest..=MAX_HELLO).contains(&message.length) || *message.body.first()? != 3 {
        return Some(message.body.is_empty() && (shortest..=MAX_HELLO).contains(&message.length));
    }
    Some(*message.body.get(1)? <= 4)
}

/// Reads on behind a ServerHello, up to the certificate or to where none can follow.
fn certificate_in(
    messages: &mut Messages,
    joined: &mut Joined,
    cut: bool,
    facts: &mut Facts,
) -> Step {
    loop {
        let message = match messages.next(joined) {
            Next::Message(message) => message,
            Next::Incomplete => return Step::Begun,
            // Change of keys (a session resumed), an alert, or no TLS any more.
            Next::Over => return Step::Done,
        };
        match message.kind {
            handshake::CERTIFICATE => {
                let (leaf, whole) = certificate::leaf(message.body);
                if whole || message.complete || message.too_long || cut {
                    certificate::note(leaf, facts);
                    return Step::Done;
                }
                return Step::Begun;
            }
            handshake::SERVER_KEY_EXCHANGE | handshake::SERVER_HELLO_DONE => return Step::Done,
            _ if message.too_long => return Step::Done,
            _ if !message.complete => return Step::Begun,
            _ => {}
        }
    }
}

/// A handshake message joined from its pieces.
type Joined = heapless::Vec<u8, STREAM_BYTES>;

/// Bytes of type and length before a handshake message.
const HEAD: usize = 4;

/// A handshake message, as much of it as is there.
struct Message<'a> {
    kind: u8,
    /// Length it claims.
    length: u32,
    body: &'a [u8],
    complete: bool,
    /// Cut over so many records that it does not fit [`Joined`]; nothing can be read behind it.
    too_long: bool,
}

enum Next<'a> {
    Message(Message<'a>),
    /// What is there ends before the head of another message.
    Incomplete,
    /// No handshake in the clear follows.
    Over,
}

/// The handshake messages of a direction. One that lies in one record is lent as it lies; only one cut over
/// several is copied together.
struct Messages<'a> {
    records: Reader<'a>,
    /// What is left of the record in hand.
    fragment: &'a [u8],
}

impl<'a> Messages<'a> {
    fn new(data: &'a [u8]) -> Self {
        Messages {
            records: Reader(data),
            fragment: &[],
        }
    }

    /// The next message. Ends: each call takes at least its head from the data, or says so.
    fn next<'s>(&mut self, joined: &'s mut Joined) -> Next<'s>
    where
        'a: 's,
    {
        if self.fragment.is_empty()
            && let Some(end) = self.load()
        {
            return end;
        }
        let mut here = Reader(self.fragment);
        if let (Some(kind), Some(length)) = (here.u8(), here.u24()) {
            let (body, complete) = here.take_some(length as usize);
            if complete || self.records.is_empty() {
                self.fragment = here.0;
                return Next::Message(Message {
                    kind,
                    length,
                    body,
                    complete,
                    too_long: false,
                });
            }
        }
        self.join(joined)
    }

    /// A message that goes on behind the record in hand.
    fn join<'s>(&mut self, joined: &'s mut Joined) -> Next<'s> {
        joined.clear();
        loop {
            let whole = match joined.as_slice() {
                [_, a, b, c, ..] => HEAD + u32::from_be_bytes([0, *a, *b, *c]) as usize,
                _ => HEAD,
            };
            let missing = whole.min(STREAM_BYTES) - joined.len();
            let (piece, rest) = self.fragment.split_at(missing.min(self.fragment.len()));
            joined
                .extend_from_slice(piece)
                .expect("no more than the capacity is missing");
            self.fragment = rest;
            let full = joined.len() == STREAM_BYTES;
            if joined.len() > HEAD && (joined.len() == whole || full) {
                break;
            }
            if self.fragment.is_empty() {
                match self.load() {
                    None => {}
                    Some(Next::Incomplete) if joined.len() >= HEAD => break,
                    Some(end) => return end,
                }
            }
        }
        let (head, body) = joined.split_at(HEAD);
        let length = u32::from_be_bytes([0, head[1], head[2], head[3]]);
        let complete = body.len() == length as usize;
        Next::Message(Message {
            kind: head[0],
            length,
            body,
            complete,
            too_long: !complete && joined.len() == STREAM_BYTES,
        })
    }

    /// Takes the next record in hand; says so if there is none.
    fn load<'s>(&mut self) -> Option<Next<'s>> {
        let mut records = self.records;
        let Some(kind) = records.u8() else {
            return Some(Next::Incomplete);
        };
        if kind != content::HANDSHAKE {
            return Some(Next::Over);
        }
        let (Some(version), Some(length)) = (records.u16(), records.u16()) else {
            return Some(Next::Incomplete);
        };
        if version >> 8 != 3 || !(1..=MAX_RECORD).contains(&length) {
            return Some(Next::Over);
        }
        (self.fragment, _) = records.take_some(usize::from(length));
        self.records = records;
        if self.fragment.is_empty() {
            return Some(Next::Incomplete);
        }
        None
    }
}
