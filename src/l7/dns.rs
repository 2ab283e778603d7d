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
