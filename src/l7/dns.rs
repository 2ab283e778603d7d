//! DNS over UDP and TCP (RFC 1035, RFC 7766; RFC 9267 for how names are abused): question, answer code,
//! addresses. On any port, so a message must fit its counts to the last byte; port 53 is forgiven more.
//! Multicast names (5353, 5355) and NetBIOS names (137) look the same and are other protocols.

use crate::l7::reader::Reader;
use crate::l7::{Dissector, Fact, Facts, Input, Probe, Proto, Step, Transport};

/// DNS over UDP.
pub const DNS_UDP: Dissector = Dissector {
    proto: Proto::DNS,
    transport: Transport::Udp,
    limit_bytes: 4_096,
    probe: probe_datagram,
};

/// DNS over TCP: messages behind their length. Of a response longer than the limit the beginning is read.
pub const DNS_TCP: Dissector = Dissector {
    proto: Proto::DNS,
    transport: Transport::Tcp,
    limit_bytes: 4_096,
    probe: probe_stream,
};

const PORT: u16 = 53;
/// NetBIOS names, mDNS, LLMNR.
const PORTS_OF_OTHERS: [u16; 3] = [137, 5353, 5355];

/// Bytes of a message before its question.
const HEADER: usize = 12;
/// Addresses of an answer that are kept.
const MAX_ADDRESSES: usize = 4;
/// Records read at most; a message of 4 KiB has room for some 370.
const MAX_RECORDS: usize = 400;
/// A name on the wire, its length bytes included (RFC 1035, 2.3.4).
const MAX_NAME: usize = 255;

/// What is wrong with a message, or missing.
enum Flaw {
    /// No message looks so.
    Wrong,
    /// The bytes end before it does.
    Short,
}

fn probe_datagram(input: &Input, facts: &mut Facts) -> Probe {
    if is_others(input) {
        return Probe::No;
    }
    match read(input.data, input, facts, !input.cut) {
        Ok(step) => Probe::Yes(step),
        Err(Flaw::Wrong | Flaw::Short) => Probe::No,
    }
}

fn probe_stream(input: &Input, facts: &mut Facts) -> Probe {
    if is_others(input) {
        return Probe::No;
    }
    let mut stream = Reader(input.data);
    let Some(length) = stream.u16() else {
        return Probe::NeedMore;
    };
    if usize::from(length) < HEADER {
        return Probe::No;
    }
    let (message, complete) = stream.take_some(usize::from(length));
    // Before the whole message is there nothing is noted, but what cannot become one is refused at once.
    if complete || input.cut {
        return match read(message, input, facts, complete) {
            Ok(step) => Probe::Yes(step),
            Err(Flaw::Short) if !complete => Probe::NeedMore,
            Err(_) => Probe::No,
        };
    }
    match read(message, input, &mut Facts::default(), false) {
        Err(Flaw::Wrong) => Probe::No,
        _ => Probe::NeedMore,
    }
}

fn is_others(input: &Input) -> bool {
    PORTS_OF_OTHERS.contains(&input.client_port) || PORTS_OF_OTHERS.contains(&input.server_port)
}

/// Flags and counts (RFC 1035, 4.1.1).
struct Header {
    response: bool,
    code: u8,
    questions: u16,
    answers: u16,
    records: usize,
}

/// Reads one message; of one that is not `complete` the end may be missing.
fn read(message: &[u8], input: &Input, facts: &mut Facts, complete: bool) -> Result<Step, Flaw> {
    let at_home = input.client_port == PORT || input.server_port == PORT;
    let header = header(message, at_home)?;
    let mut at = HEADER;
    let mut question = None;
    if header.questions > 0 {
        let mut name = Name::default();
        at = name.read(message, at)?;
        let fields = message.get(at..at + 4).ok_or(Flaw::Short)?;
        let kind = u16::from_be_bytes([fields[0], fields[1]]);
        let class = u16::from_be_bytes([fields[2], fields[3]]);
        // Internet, Chaos, Hesiod, none, any (RFC 6895, 3.2).
        if kind == 0 || !matches!(class, 1 | 3 | 4 | 254 | 255) {
            return Err(Flaw::Wrong);
        }
        question = Some((name, kind));
        at += 4;
    }
    let mut addresses = heapless::Vec::<&[u8], MAX_ADDRESSES>::new();
    match records(message, &mut at, &header, &mut addresses) {
        Ok(()) if at == message.len() || at_home => {}
        Ok(()) if !complete => {}
        Err(Flaw::Short) if !complete => {}
        // Some are cut without saying so, some are made to be refused.
        Err(_) if at_home => {}
        _ => return Err(Flaw::Wrong),
    }

    if let Some((name, kind)) = &question {
        facts.set(Fact::DnsQuery, &name.text);
        facts.set_number(Fact::DnsType, u64::from(*kind));
        if name.invalid {
            facts.set_number(Fact::DnsInvalidChars, 1);
        }
    }
    if !header.response {
        return Ok(Step::Request);
    }
    if facts.bytes(Fact::DnsCode).is_none() {
        facts.set_number(Fact::DnsCode, u64::from(header.code));
        for address in &addresses {
            facts.add(Fact::DnsAddress, address);
        }
    }
    Ok(Step::Done)
}

fn header(message: &[u8], at_home: bool) -> Result<Header, Flaw> {
    let mut fields = Reader(message);
    let mut field = || fields.u16().ok_or(Flaw::Short);
    let (_id, flags) = (field()?, field()?);
    let [questions, answers, authorities, additional] = [field()?, field()?, field()?, field()?];
    let response = flags & 0x8000 != 0;
    let opcode = flags >> 11 & 15;
    // Query, notify and update are in use; the bit between RA and AD is reserved (RFC 6895, 2). A query carries
    // options and a signature at most; updates carry records.
    let strict = match (response, opcode) {
        _ if questions != 1 || flags & 0x0040 != 0 => false,
        (false, 0) => answers == 0 && authorities <= 1 && additional <= 2 && flags & 15 == 0,
        (_, opcode) => matches!(opcode, 0 | 4 | 5),
    };
    // A refusal may come without its question. Servers overlook what is reserved, and so must we.
    let at_home = at_home && matches!(opcode, 0 | 4 | 5) && (questions > 0 || response);
    if !strict && !at_home {
        return Err(Flaw::Wrong);
    }
    let records = usize::from(answers) + usize::from(authorities) + usize::from(additional);
    Ok(Header {
        response,
        code: (flags & 15) as u8,
        questions,
        answers,
        records,
    })
}

/// Walks over all records; addresses of answers are collected.
fn records<'a>(
    message: &'a [u8],
    at: &mut usize,
    header: &Header,
    addresses: &mut heapless::Vec<&'a [u8], MAX_ADDRESSES>,
) -> Result<(), Flaw> {
    for number in 0..header.records.min(MAX_RECORDS) {
        let name_end = skip_name(message, *at)?;
        let mut record = Reader(message.get(name_end..).ok_or(Flaw::Short)?);
        let (Some(kind), Some(_class), Some(_ttl)) = (record.u16(), record.u16(), record.take(4))
        else {
            return Err(Flaw::Short);
        };
        let data = record.block16().ok_or(Flaw::Short)?.0;
        *at = message.len() - record.0.len();
        // A and AAAA.
        if number < usize::from(header.answers) && matches!((kind, data.len()), (1, 4) | (28, 16)) {
            let _ = addresses.push(data); // those beyond the first few are left out
        }
    }
    Ok(())
}

/// Where a name ends that is not of interest.
fn skip_name(message: &[u8], mut at: usize) -> Result<usize, Flaw> {
    let limit = at + MAX_NAME;
    while at < limit {
        match *message.get(at).ok_or(Flaw::Short)? {
            0 => return Ok(at + 1),
            length @ 1..=63 => at += 1 + usize::from(length),
            0xc0.. if message.len() > at + 1 => return Ok(at + 2),
            0xc0.. => return Err(Flaw::Short),
            _ => return Err(Flaw::Wrong),
        }
    }
    Err(Flaw::Wrong)
}

/// A name as text: lower case, dots between labels, no dot at its end.
#[derive(Default)]
struct Name {
    text: heapless::Vec<u8, MAX_NAME>,
    /// It has characters no host name has.
    invalid: bool,
}

impl Name {
    /// Reads a question's name, before which there is nothing a pointer could lead to; says where it ends.
    fn read(&mut self, message: &[u8], mut at: usize) -> Result<usize, Flaw> {
        loop {
            match *message.get(at).ok_or(Flaw::Short)? {
                0 => return Ok(at + 1),
                length @ 1..=63 => {
                    let start = at + 1;
                    at = start + usize::from(length);
                    self.push(message.get(start..at).ok_or(Flaw::Short)?)?;
                }
                _ => return Err(Flaw::Wrong),
            }
        }
    }

    fn push(&mut self, label: &[u8]) -> Result<(), Flaw> {
        if !self.text.is_empty() {
            self.text.push(b'.').map_err(|_| Flaw::Wrong)?;
        }
        for byte in label {
            let usual = byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
            self.invalid |= !usual;
            // A dot inside a label would look like one between labels.
            let shown = if byte.is_ascii_graphic() && *byte != b'.' {
                *byte
            } else {
                b'?'
            };
            self.text
                .push(shown.to_ascii_lowercase())
                .map_err(|_| Flaw::Wrong)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::flow::key::Dir;
    use crate::l7::Progress;
    use crate::l7::testing::{Talk, assert_never_takes_back, look, look_cut, near};

    /// `dig www.example.org`: recursion desired, one OPT record.
    const QUERY: &[u8] = b"\x2a\x9c\x01\x20\x00\x01\x00\x00\x00\x00\x00\x01\x03Www\x07example\x03org\x00\x00\x01\x00\x01\
        \x00\x00\x29\x04\xd0\x00\x00\x00\x00\x00\x00";
    /// Its answer: an alias, then one address.
    const ANSWER: &[u8] = b"\x2a\x9c\x81\x80\x00\x01\x00\x02\x00\x00\x00\x00\x03www\x07example\x03org\x00\x00\x01\x00\x01\
        \xc0\x0c\x00\x05\x00\x01\x00\x00\x0e\x10\x00\x06\x03cdn\xc0\x10\
        \xc0\x2d\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04\xc0\x00\x02\x01";

    fn with_length(message: &[u8]) -> Vec<u8> {
        [&(message.len() as u16).to_be_bytes(), message].concat()
    }

    /// A query for labels given as bytes.
    fn query(labels: &[&[u8]], kind: u16) -> Vec<u8> {
        let mut message = b"\x00\x01\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00".to_vec();
        for label in labels {
            message.push(label.len() as u8);
            message.extend_from_slice(label);
        }
        message.push(0);
        message.extend_from_slice(&kind.to_be_bytes());
        message.extend_from_slice(&[0, 1]);
        message
    }

    #[test]
    fn a_query_tells_name_and_type() {
        let (probe, facts) = look(&DNS_UDP, QUERY, 53);

        assert_eq!(probe, Probe::Yes(Step::Request));
        assert_eq!(facts.text(Fact::DnsQuery), Some("www.example.org"));
        assert_eq!(facts.number(Fact::DnsType), Some(1));
        assert_eq!(facts.number(Fact::DnsCode), None);
        assert_eq!(facts.number(Fact::DnsInvalidChars), None);
    }

    #[test]
    fn a_response_tells_code_and_addresses() {
        let mut talk = Talk::new(17, 53, 0);

        assert_eq!(talk.send(Dir::ToServer, QUERY), Progress::Request);
        assert_eq!(talk.send(Dir::ToClient, ANSWER), Progress::Done);

        let facts = &talk.detail.facts;
        assert_eq!(facts.number(Fact::DnsCode), Some(0));
        assert_eq!(
            facts.every(Fact::DnsAddress).collect::<Vec<_>>(),
            [[192, 0, 2, 1]]
        );
    }

    #[test]
    fn a_response_without_answer_counts() {
        let mut no_such_name = query(&[b"nowhere", b"example"], 28);
        no_such_name[2..4].copy_from_slice(&[0x81, 0x83]);

        let (probe, facts) = look(&DNS_UDP, &no_such_name, 53);

        assert_eq!(probe, Probe::Yes(Step::Done));
        assert_eq!(facts.number(Fact::DnsCode), Some(3));
    }

    #[test]
    fn four_addresses_are_kept_of_many() {
        let mut message = query(&[b"a", b"example"], 28);
        message[2] = 0x81;
        message[7] = 6;
        for last in 0..6 {
            message.extend_from_slice(b"\xc0\x0c\x00\x1c\x00\x01\x00\x00\x00\x3c\x00\x10");
            message
                .extend_from_slice(&[0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last]);
        }

        let (probe, facts) = look(&DNS_UDP, &message, 4_000);

        assert_eq!(probe, Probe::Yes(Step::Done));
        let last_bytes: Vec<u8> = facts
            .every(Fact::DnsAddress)
            .map(|address| address[15])
            .collect();
        assert_eq!(last_bytes, [0, 1, 2, 3]);
    }

    #[test]
    fn what_no_host_is_called_is_said() {
        let (_, facts) = look(&DNS_UDP, &query(&[b"a.b\x00\xff*", b"Example"], 16), 53);

        assert_eq!(facts.text(Fact::DnsQuery), Some("a?b??*.example"));
        assert_eq!(facts.number(Fact::DnsInvalidChars), Some(1));
    }

    #[test]
    fn it_is_found_on_any_port_but_those_of_its_kin() {
        assert_eq!(look(&DNS_UDP, QUERY, 9_999).0, Probe::Yes(Step::Request));
        assert_eq!(look(&DNS_UDP, ANSWER, 9_999).0, Probe::Yes(Step::Done));
        for port in [137, 5353, 5355] {
            assert_eq!(look(&DNS_UDP, QUERY, port).0, Probe::No);
        }
    }

    #[test]
    fn what_only_looks_like_it_is_not_it() {
        let changed = |at: usize, value: u8| {
            let mut message = QUERY.to_vec();
            message[at] = value;
            message
        };
        let longer = [QUERY, b"more"].concat();
        let misses: [Vec<u8>; 9] = [
            changed(2, 0x79),  // an opcode nobody uses
            changed(3, 0x60),  // a reserved bit
            changed(5, 2),     // two questions
            changed(7, 1),     // a query with an answer
            changed(12, 0xc0), // a name that begins with a pointer
            changed(12, 70),   // a label of 70 bytes
            changed(32, 9),    // a class that is none
            longer,
            b"\x01\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00".to_vec(),
        ];
        for message in &misses {
            assert_eq!(
                look(&DNS_UDP, message, 9_999).0,
                Probe::No,
                "{}",
                message.escape_ascii()
            );
        }
        // NTP, client mode, and a STUN binding request.
        let mut ntp = [0; 48];
        ntp[0] = 0x23;
        assert_eq!(look(&DNS_UDP, &ntp, 123).0, Probe::No);
        let stun = b"\x00\x01\x00\x00\x21\x12\xa4\x42abcdefghijkl";
        assert_eq!(look(&DNS_UDP, stun, 3478).0, Probe::No);
    }

    #[test]
    fn on_its_own_port_much_is_forgiven() {
        let longer = [QUERY, b"more"].concat();
        let refusal = b"\x2a\x9c\x81\x81\x00\x00\x00\x00\x00\x00\x00\x00";

        assert_eq!(look(&DNS_UDP, &longer, 53).0, Probe::Yes(Step::Request));
        assert_eq!(look(&DNS_UDP, refusal, 53).0, Probe::Yes(Step::Done));
        assert_eq!(look(&DNS_UDP, &QUERY[..20], 53).0, Probe::No);
    }

    #[test]
    fn a_pointer_that_leads_to_itself_ends_the_reading() {
        let mut message = query(&[b"a"], 1);
        message[2] = 0x81;
        message[7] = 1;
        message
            .extend_from_slice(b"\xc0\x13\x00\x01\x00\x01\x00\x00\x00\x00\x00\x04\x01\x02\x03\x04");

        assert_eq!(look(&DNS_UDP, &message, 53).0, Probe::Yes(Step::Done));
    }

    #[test]
    fn a_name_longer_than_names_are_is_none() {
        assert_eq!(
            look(&DNS_UDP, &query(&[&[b'a'; 63][..]; 3], 1), 53).0,
            Probe::Yes(Step::Request)
        );
        assert_eq!(
            look(&DNS_UDP, &query(&[&[b'a'; 63][..]; 5], 1), 53).0,
            Probe::No
        );
    }

    #[test]
    fn a_datagram_copied_in_part_says_what_it_can() {
        let (probe, facts) = look_cut(&DNS_UDP, &ANSWER[..50], 9_999);

        assert_eq!(probe, Probe::Yes(Step::Done));
        assert_eq!(facts.text(Fact::DnsQuery), Some("www.example.org"));
    }

    #[test]
    fn over_tcp_cut_anywhere_it_says_the_same() {
        let (query, answer) = (with_length(QUERY), with_length(ANSWER));
        for at in 1..query.len() {
            let mut talk = Talk::tcp(9_953);
            talk.shake_hands();

            assert_eq!(
                talk.say(Dir::ToServer, 0, &query[..at]),
                Progress::Undecided
            );
            assert_eq!(
                talk.say(Dir::ToServer, at, &query[at..]),
                Progress::Request,
                "cut at {at}"
            );
            assert_eq!(talk.say(Dir::ToClient, 0, &answer), Progress::Done);

            assert_eq!(talk.detail.facts.host(), Some("www.example.org"));
            assert_eq!(talk.flow.l7.master, Proto::DNS);
        }
    }

    #[test]
    fn a_response_longer_than_a_buffer_settles_with_its_beginning() {
        let mut long = ANSWER.to_vec();
        long[7] = 200;
        for _ in 0..198 {
            long.extend_from_slice(b"\xc0\x0c\x00\x10\x00\x01\x00\x00\x00\x3c\x00\x20");
            long.extend_from_slice(&[b'x'; 32]);
        }
        let stream = with_length(&long);
        let mut talk = Talk::tcp(53);

        let mut last = Progress::Undecided;
        for (number, piece) in stream.chunks(1_400).enumerate() {
            last = last.max(talk.say(Dir::ToClient, number * 1_400, piece));
        }

        assert_eq!(last, Progress::Done);
        assert_eq!(talk.detail.facts.every(Fact::DnsAddress).count(), 1);
    }

    proptest! {
        #[test]
        fn of_any_bytes_no_answer_is_taken_back(data in prop_oneof![near(QUERY), near(ANSWER)], port in prop_oneof![Just(53u16), Just(9_999)]) {
            assert_never_takes_back(&DNS_TCP, &with_length(&data), port);
            assert_never_takes_back(&DNS_TCP, &data, port);
            look(&DNS_UDP, &data, port);
            look_cut(&DNS_UDP, &data, port);
        }
    }
}
