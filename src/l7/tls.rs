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
            if hello.complete || hello.ended || input.cut {
                hello::note_client(hello.body, hello.complete, facts);
            }
            let settled = hello.complete || hello.ended;
            Probe::Yes(if settled { Step::Request } else { Step::Begun })
        }
        (Some(true), _) if hello.ended => Probe::Yes(Step::Done),
        (Some(true), _) if !hello.complete => Probe::Yes(Step::Begun),
        (Some(true), _) => match hello::note_server(hello.body, facts) {
            Some(hello::Follows::InTheClear) => {
                Probe::Yes(certificate_in(&mut messages, &mut joined, input.cut, facts))
            }
            Some(hello::Follows::Encrypted) | None => Probe::Yes(Step::Done),
        },
        (None, _) if !hello.ended => Probe::NeedMore,
        (Some(false) | None, _) => Probe::No,
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
    if !(1..=MAX_RECORD).contains(&length) {
        return Err(Probe::No);
    }
    let fits = match (kind, data.get(5)) {
        // Behind these five bytes anything may follow: it is encrypted.
        (content::APPLICATION_DATA, _) => true,
        (_, None) => return Err(Probe::NeedMore),
        (content::HANDSHAKE, Some(&first)) => starts_hello(first),
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
                if whole || message.complete || message.ended || cut {
                    certificate::note(leaf, facts);
                    return Step::Done;
                }
                return Step::Begun;
            }
            handshake::SERVER_KEY_EXCHANGE | handshake::SERVER_HELLO_DONE => return Step::Done,
            _ if message.ended => return Step::Done,
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
    /// No more of it will come, and nothing can be read behind it: what follows is no handshake, or it is
    /// cut over several records and does not fit [`Joined`].
    ended: bool,
}

/// Length of the message that `joined` begins, as far as its head is there and [`Joined`] can hold it.
fn whole_message(joined: &Joined) -> usize {
    let whole = match joined.as_slice() {
        [_, a, b, c, ..] => HEAD + u32::from_be_bytes([0, *a, *b, *c]) as usize,
        _ => HEAD,
    };
    whole.min(STREAM_BYTES)
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
                    ended: false,
                });
            }
        }
        self.join(joined)
    }

    /// A message that goes on behind the record in hand.
    fn join<'s>(&mut self, joined: &'s mut Joined) -> Next<'s> {
        joined.clear();
        let mut over = false;
        loop {
            let missing = whole_message(joined) - joined.len();
            let (piece, rest) = self.fragment.split_at(missing.min(self.fragment.len()));
            joined
                .extend_from_slice(piece)
                .expect("no more than the capacity is missing");
            self.fragment = rest;
            // Ends: what is missing is taken from a record that has it, and each record is taken once.
            if joined.len() >= HEAD && joined.len() == whole_message(joined) {
                break;
            }
            if self.fragment.is_empty() {
                match self.load() {
                    None => {}
                    Some(end) if joined.len() < HEAD => return end,
                    Some(end) => {
                        over = matches!(end, Next::Over);
                        break;
                    }
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
            ended: !complete && (over || joined.len() == STREAM_BYTES),
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

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::flow::flag;
    use crate::flow::key::Dir;
    use crate::l7::testing::{Talk, assert_never_takes_back, look, look_cut, near};
    use crate::l7::{Fact, Progress};

    pub(crate) const CLIENT_12: &[u8] = include_bytes!("tls/fixtures/client_tls12.bin");
    pub(crate) const SERVER_12: &[u8] = include_bytes!("tls/fixtures/server_tls12.bin");
    pub(crate) const CLIENT_13: &[u8] = include_bytes!("tls/fixtures/client_tls13.bin");
    pub(crate) const SERVER_13: &[u8] = include_bytes!("tls/fixtures/server_tls13.bin");

    /// A ClientHello in one record, from its lists.
    pub(crate) fn hello(version: u16, ciphers: &[u16], extensions: &[(u16, Vec<u8>)]) -> Vec<u8> {
        let mut body = version.to_be_bytes().to_vec();
        body.extend_from_slice(&[0x5a; 32]);
        body.push(0);
        body.extend_from_slice(&(ciphers.len() as u16 * 2).to_be_bytes());
        body.extend(ciphers.iter().flat_map(|cipher| cipher.to_be_bytes()));
        body.extend_from_slice(&[1, 0]);
        let mut list = Vec::new();
        for (number, content) in extensions {
            list.extend_from_slice(&number.to_be_bytes());
            list.extend_from_slice(&(content.len() as u16).to_be_bytes());
            list.extend_from_slice(content);
        }
        if !list.is_empty() {
            body.extend_from_slice(&(list.len() as u16).to_be_bytes());
            body.extend_from_slice(&list);
        }
        let mut message = vec![1, 0];
        message.extend_from_slice(&(body.len() as u16).to_be_bytes());
        message.extend_from_slice(&body);
        records(&message, message.len())
    }

    /// A handshake message in records of at most `size` bytes.
    fn records(message: &[u8], size: usize) -> Vec<u8> {
        let mut stream = Vec::new();
        for piece in message.chunks(size) {
            stream.extend_from_slice(&[22, 3, 1]);
            stream.extend_from_slice(&(piece.len() as u16).to_be_bytes());
            stream.extend_from_slice(piece);
        }
        stream
    }

    /// The content of a `server_name` extension.
    fn server_name(name: &str) -> Vec<u8> {
        let len = name.len() as u8;
        [&[0, len + 3, 0, 0, len], name.as_bytes()].concat()
    }

    /// As browsers send it since key shares of 1,216 bytes: some 1,800 bytes.
    fn post_quantum() -> Vec<u8> {
        let extensions = [
            (0x1a1a, vec![]),
            (51, vec![7; 1_263]),
            (0xfe0d, vec![9; 300]),
            (0, server_name("pq.example.org")),
            (43, vec![4, 3, 4, 3, 3]),
        ];
        hello(0x0303, &[0x1301, 0x1302], &extensions)
    }

    /// Says a ClientHello in these pieces of offset and bytes; the name must come out, and nothing else.
    fn assert_name(pieces: &[(usize, &[u8])], name: &str, case: &str) {
        let mut talk = Talk::tcp(443);
        talk.shake_hands();
        let mut last = Progress::Undecided;

        for (offset, bytes) in pieces {
            let now = talk.say(Dir::ToServer, *offset, bytes);
            assert!(now >= last, "{case}");
            last = now;
        }

        assert_eq!(last, Progress::Request, "{case}");
        assert_eq!(talk.detail.facts.host(), Some(name), "{case}");
        assert!(talk.detail.facts.text(Fact::Ja4).is_some(), "{case}");
        assert!(!talk.flow.has(flag::AMBIGUOUS) && !talk.flow.has(flag::STREAM_LOST));
        assert_eq!(talk.detector.buffers_lent(), 0, "{case}");
    }

    #[test]
    fn a_message_without_body_may_have_its_head_in_two_records() {
        let record = |bytes: &[u8]| {
            let mut record = vec![22, 3, 3, 0, bytes.len() as u8];
            record.extend_from_slice(bytes);
            record
        };
        // Something harmless of no length, its head cut, with a whole message behind it.
        let data = [record(&[0, 0, 0]), record(&[0, 14, 0, 0, 0])].concat();
        let mut messages = Messages::new(&data);
        let mut joined = Joined::new();

        for wanted in [0, 14] {
            match messages.next(&mut joined) {
                Next::Message(message) => {
                    assert_eq!((message.kind, message.length), (wanted, 0));
                    assert!(message.complete && !message.ended);
                }
                Next::Incomplete | Next::Over => panic!("no message {wanted}"),
            }
        }
        assert!(matches!(messages.next(&mut joined), Next::Incomplete));
    }

    #[test]
    fn a_client_says_where_it_wants_to() {
        let (probe, facts) = look(&TLS, CLIENT_13, 443);

        assert_eq!(probe, Probe::Yes(Step::Request));
        assert_eq!(facts.text(Fact::TlsServerName), Some("www.example.org"));
        assert_eq!(facts.text(Fact::TlsAlpn), Some("h2,http/1.1"));
        assert_eq!(facts.text(Fact::TlsSupportedVersions), Some("TLSv1.3"));
        assert_eq!(facts.number(Fact::TlsVersion), Some(771));
        assert_eq!(
            facts.text(Fact::Ja3),
            Some("9dffdb8b608a430b774a2ff7d36c1a0c")
        );
        assert_eq!(
            facts.text(Fact::Ja4),
            Some("t13d0411h2_16476d049b0b_78f1d400d464")
        );
    }

    #[test]
    fn a_handshake_below_13_shows_the_certificate() {
        let mut talk = Talk::tcp(443);
        talk.shake_hands();

        assert_eq!(talk.say(Dir::ToServer, 0, CLIENT_12), Progress::Request);
        assert_eq!(talk.say(Dir::ToClient, 0, SERVER_12), Progress::Done);

        let facts = &talk.detail.facts;
        assert_eq!(facts.number(Fact::TlsVersion), Some(771));
        assert_eq!(facts.number(Fact::TlsCipher), Some(0xc02c));
        assert_eq!(
            facts.text(Fact::Ja3),
            Some("22558766122974704364c9c75c5cce0a")
        );
        assert_eq!(
            facts.text(Fact::Ja4),
            Some("t12d2808h2_d943125447b4_e7e480e5a997")
        );
        assert_eq!(
            facts.text(Fact::Ja3s),
            Some("e195432758194ce2d482396b82e0d48e")
        );
        assert_eq!(
            facts.text(Fact::TlsIssuer),
            Some("C=NL, O=Example Trust, CN=Example Trust CA 1")
        );
        assert_eq!(
            facts.text(Fact::TlsSubject),
            Some("C=NL, ST=Utrecht, L=Utrecht, O=Example Works, CN=www.example.org")
        );
        assert_eq!(
            facts.text(Fact::TlsNames),
            Some("www.example.org,example.org,*.cdn.example.org")
        );
        assert_eq!(facts.number(Fact::TlsNotBefore), Some(1_795_208_658));
        assert_eq!(facts.number(Fact::TlsNotAfter), Some(2_110_568_658));
        assert!(!facts.cut);
        assert_eq!(talk.flow.l7.name().as_str(), "TLS");
    }

    #[test]
    fn a_handshake_of_13_ends_with_the_server_s_hello() {
        let mut talk = Talk::tcp(443);
        talk.say(Dir::ToServer, 0, CLIENT_13);

        assert_eq!(talk.say(Dir::ToClient, 0, SERVER_13), Progress::Done);

        assert_eq!(talk.detail.facts.number(Fact::TlsVersion), Some(0x0304));
        assert_eq!(talk.detail.facts.number(Fact::TlsCipher), Some(0x1302));
        assert_eq!(talk.detail.facts.text(Fact::TlsIssuer), None);
    }

    #[test]
    fn a_name_is_seen_through_every_cut_in_two() {
        for at in 1..CLIENT_13.len() {
            let (a, b) = CLIENT_13.split_at(at);
            assert_name(
                &[(0, a), (at, b)],
                "www.example.org",
                &format!("cut at {at}"),
            );
            assert_name(
                &[(at, b), (0, a)],
                "www.example.org",
                &format!("cut at {at}, second first"),
            );
        }
    }

    #[test]
    fn a_name_is_seen_through_cuts_in_three_in_any_order() {
        let mut random = 1_u32;
        let mut below = |limit: usize| {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (random >> 8) as usize % limit
        };
        let orders = [
            [0, 1, 2],
            [0, 2, 1],
            [1, 0, 2],
            [1, 2, 0],
            [2, 0, 1],
            [2, 1, 0],
        ];
        for _ in 0..1_000 {
            let (one, two) = (
                1 + below(CLIENT_12.len() - 1),
                1 + below(CLIENT_12.len() - 1),
            );
            let (one, two) = (
                one.min(two),
                one.max(two).max(one.min(two) + 1).min(CLIENT_12.len()),
            );
            // Each piece reaches up to 8 bytes into the next one: an overlap with equal bytes.
            let reach = |end: usize| (end + below_const(end)).min(CLIENT_12.len());
            let pieces = [
                (0, &CLIENT_12[..reach(one)]),
                (one, &CLIENT_12[one..reach(two)]),
                (two, &CLIENT_12[two..]),
            ];
            let order = orders[below(6)];
            let mut said: Vec<_> = order.iter().map(|index| pieces[*index]).collect();
            said.insert(1, said[0]); // a duplicate
            assert_name(
                &said,
                "www.example.org",
                &format!("cut at {one} and {two}, order {order:?}"),
            );
        }
    }

    fn below_const(end: usize) -> usize {
        end % 9
    }

    #[test]
    fn a_hello_of_post_quantum_size_is_seen_in_two_segments() {
        let hello = post_quantum();
        assert!((1_600..2_000).contains(&hello.len()));
        for at in [1, 5, 9, 517, 1_448, hello.len() - 1] {
            let (a, b) = hello.split_at(at);
            assert_name(
                &[(0, a), (at, b)],
                "pq.example.org",
                &format!("cut at {at}"),
            );
            assert_name(
                &[(at, b), (0, a)],
                "pq.example.org",
                &format!("cut at {at}, second first"),
            );
        }
    }

    #[test]
    fn a_name_is_seen_through_records_of_any_size() {
        let message = &CLIENT_13[5..];
        for size in 1..message.len() {
            let stream = records(message, size);
            if size > 3 || stream.len() < STREAM_BYTES {
                assert_name(
                    &[(0, &stream)],
                    "www.example.org",
                    &format!("records of {size}"),
                );
            }
        }
    }

    #[test]
    fn a_segment_a_byte_hides_nothing() {
        let mut talk = Talk::tcp(443);
        let short = hello(0x0303, &[0x1301], &[(0, server_name("a.example"))]);

        for (at, byte) in short.iter().enumerate() {
            talk.say(Dir::ToServer, at, &[*byte]);
        }

        assert_eq!(talk.detail.facts.host(), Some("a.example"));
    }

    #[test]
    fn a_certificate_over_segments_is_read_when_the_leaf_is_there() {
        let mut talk = Talk::tcp(443);
        talk.say(Dir::ToServer, 0, CLIENT_12);
        let leaf_end = 5 + 74 + 5 + 4 + 6 + 626; // two records' heads, ServerHello, lengths, leaf

        let before = talk.say(Dir::ToClient, 0, &SERVER_12[..leaf_end - 1]);
        let after = talk.say(
            Dir::ToClient,
            leaf_end - 1,
            &SERVER_12[leaf_end - 1..leaf_end],
        );

        assert_eq!((before, after), (Progress::Request, Progress::Done));
        assert!(talk.detail.facts.text(Fact::TlsNames).is_some());
    }

    #[test]
    fn of_a_certificate_cut_off_the_beginning_is_read() {
        let (probe, facts) = look_cut(&TLS, &SERVER_12[..450], 443);

        assert_eq!(probe, Probe::Yes(Step::Done));
        assert!(facts.text(Fact::TlsSubject).is_some());
        assert_eq!(facts.text(Fact::TlsNames), None);
    }

    #[test]
    fn a_resumed_session_shows_no_certificate_and_is_done() {
        let change = [&SERVER_12[..79], &[20, 3, 3, 0, 1, 1]].concat();

        assert_eq!(look(&TLS, &SERVER_12[..79], 443).0, Probe::Yes(Step::Begun));
        assert_eq!(look(&TLS, &change, 443).0, Probe::Yes(Step::Done));
    }

    #[test]
    fn a_hello_cut_off_still_gives_its_name() {
        let hello = post_quantum();

        let (probe, facts) = look_cut(&TLS, &hello[..hello.len() - 3], 443);

        assert_eq!(probe, Probe::Yes(Step::Begun));
        assert_eq!(facts.text(Fact::TlsServerName), Some("pq.example.org"));
        assert_eq!(
            facts.text(Fact::Ja4),
            None,
            "half a hello has no fingerprint"
        );
    }

    #[test]
    fn a_connection_picked_up_late_is_tls_by_its_records() {
        assert_eq!(
            look(&TLS, b"\x17\x03\x03\x01\x00\xab\xcd", 443).0,
            Probe::Yes(Step::Done)
        );
        assert_eq!(
            look(&TLS, b"\x15\x03\x03\x00\x02\x02\x28", 443).0,
            Probe::Yes(Step::Done)
        );
        assert_eq!(
            look(&TLS, b"\x14\x03\x03\x00\x01\x01\x16", 443).0,
            Probe::Yes(Step::Done)
        );
    }

    #[test]
    fn what_only_looks_like_it_is_not_it() {
        let changed = |at: usize, value: u8| {
            let mut hello = CLIENT_13.to_vec();
            hello[at] = value;
            hello
        };
        let misses: [Vec<u8>; 10] = [
            changed(0, 24),   // heartbeat
            changed(1, 2),    // a version before SSL 3
            changed(2, 9),    // one that is none
            changed(3, 0x50), // a record of 20 KiB
            changed(5, 0),    // HelloRequest
            changed(6, 9),    // a hello of 600 KiB
            changed(9, 2),    // a hello of SSL 2
            b"\x80\x2e\x01\x03\x01\x00\x15".to_vec(),
            b"\x16\x03\x01\x00\x00".to_vec(),
            b"\x14\x03\x03\x00\x01\x02".to_vec(),
        ];
        for bytes in &misses {
            assert_eq!(
                look(&TLS, bytes, 443).0,
                Probe::No,
                "{}",
                bytes[..10.min(bytes.len())].escape_ascii()
            );
        }
    }

    #[test]
    fn no_answer_is_taken_back() {
        for data in [CLIENT_12, SERVER_12, CLIENT_13, SERVER_13, &post_quantum()] {
            assert_never_takes_back(&TLS, data, 443);
        }
        assert_never_takes_back(&TLS, &records(&CLIENT_12[5..], 7), 443);
    }

    proptest! {
        #[test]
        fn of_any_bytes_no_answer_is_taken_back(data in prop_oneof![near(CLIENT_12), near(&SERVER_12[..700]), near(CLIENT_13), near(SERVER_13)]) {
            assert_never_takes_back(&TLS, &data, 443);
        }

        #[test]
        fn of_any_records_no_answer_is_taken_back(message in near(&SERVER_12[5..79]), size in 1usize..20) {
            assert_never_takes_back(&TLS, &records(&message, size), 443);
        }
    }
}
