//! Feeds flows to dissectors: puts TCP in order, keeps what each flow has ruled out and settled, and says how
//! far detection has come. Which hooks run then is the engine's to know.
//!
//! A segment that is next in line and tells all is read where it lies. Only one that leaves a dissector
//! wanting more, or comes too early, is copied into a buffer of the pool. Bytes that come twice are those that
//! came first; that other ones came is flagged on the flow and counted.

use crate::flow::key::Dir;
use crate::flow::stream::{FINISHED, Inserted, STREAM_BYTES, StreamPool};
use crate::flow::{Detail, Flow, L7, flag};
use crate::l7::{DISSECTORS, Facts, Input, Probe, Proto, Step, Transport};
use crate::time::Micros;

/// Packets of both directions after which a flow settles with what is known (nDPI's number, which scripts
/// expect).
pub const MAX_PACKETS: u32 = 12;
/// The same while a stream is being put together that may become a known protocol, and nothing is known yet:
/// else whoever cuts a request into a dozen pieces is never looked at.
pub const MAX_PACKETS_IN_PIECES: u32 = 256;
/// Silence after which the engine calls [`Detector::give_up`] (ntopng's number, likewise).
pub const MAX_SILENCE: Micros = Micros::from_secs(5);

/// How far detection of a flow has come. Never goes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Progress {
    /// Nothing is known, or a name at most.
    Undecided,
    /// What the client asks for is known.
    Request,
    /// All is known that will be, or the limit is reached.
    Done,
}

/// What detection looks at in a packet.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    /// Its way.
    pub dir: Dir,
    /// TCP only.
    pub tcp: Option<Segment>,
    /// Bytes above TCP or UDP, as far as they were copied to us.
    pub payload: &'a [u8],
    /// How many there were on the wire.
    pub payload_len: usize,
}

/// Where a TCP segment stands in its stream.
#[derive(Clone, Copy, Debug)]
pub struct Segment {
    /// Sequence number.
    pub seq: u32,
    /// SYN is set.
    pub syn: bool,
}

/// What detection counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Streams not followed because no buffer was free.
    pub no_buffer: u64,
    /// Segments not kept because their stream had too many holes.
    pub too_many_holes: u64,
    /// Segments that overlap earlier ones with other bytes.
    pub ambiguous: u64,
    /// Packets of which less was copied to us than detection wanted.
    pub short_copies: u64,
    /// Flows that reached a limit before all was known.
    pub given_up: u64,
}

/// Detection for all flows of one packet thread.
pub struct Detector {
    pool: StreamPool,
    /// Packets of both directions after which a flow settles with what is known; [`MAX_PACKETS`] unless set.
    pub max_packets: u32,
    /// Silence after which the engine calls [`Detector::give_up`]; [`MAX_SILENCE`] unless set.
    pub max_silence: Micros,
    /// What happened since start.
    pub counters: Counters,
}

impl Detector {
    /// With as many stream buffers; the one place that allocates.
    pub fn new(buffers: usize) -> Self {
        Detector {
            pool: StreamPool::new(buffers),
            max_packets: MAX_PACKETS,
            max_silence: MAX_SILENCE,
            counters: Counters::default(),
        }
    }

    /// Buffers in use.
    pub fn buffers_lent(&self) -> usize {
        self.pool.lent()
    }

    /// Prepares a new flow. What is neither TCP nor UDP is known at once.
    pub fn begin(flow: &mut Flow) -> Progress {
        match flow.key.proto {
            TCP => flow.candidates = candidates(Transport::Tcp),
            UDP => flow.candidates = candidates(Transport::Udp),
            other => {
                flow.l7 = known_as(proto_of_l4(other));
                flow.flags |= flag::L7_DONE;
            }
        }
        progress(flow)
    }

    /// Looks at a packet of a flow that is not [`Progress::Done`], with payload or without. The flow's packet
    /// counters include it already.
    pub fn feed(&mut self, flow: &mut Flow, detail: &mut Detail, seen: &Seen) -> Progress {
        if flow.has(flag::L7_DONE) {
            return Progress::Done;
        }
        match seen.tcp {
            Some(segment) => self.feed_segment(flow, &mut detail.facts, seen, segment),
            None => self.feed_datagram(flow, &mut detail.facts, seen),
        }
        if flow.has(flag::L7_DONE) {
            self.release(flow);
        } else if over_limit(flow, self.max_packets) {
            self.give_up(flow, detail);
        }
        progress(flow)
    }

    /// Settles a flow with what is known: one that reached a limit, was silent for [`MAX_SILENCE`], or is over.
    /// One of which nothing is known gets the protocol of its port, if nothing spoke against it.
    pub fn give_up(&mut self, flow: &mut Flow, detail: &mut Detail) {
        if flow.has(flag::L7_DONE) {
            return;
        }
        for dir in [Dir::ToServer, Dir::ToClient] {
            let number = flow.streams[dir as usize];
            if is_lent(number) {
                let prefix = self.pool.prefix(number);
                probe(flow, &mut detail.facts, dir, prefix, true);
            }
        }
        if flow.dissector == 0 {
            let guess = guess(flow);
            flow.l7 = known_as(guess);
            flow.l7.guessed = guess != Proto::UNKNOWN;
        }
        flow.flags |= flag::L7_DONE;
        self.counters.given_up += 1;
        self.release(flow);
    }

    /// Takes back the buffers of a flow that is decided or gone. Whoever frees a flow's slot calls it.
    pub fn release(&mut self, flow: &mut Flow) {
        for stream in &mut flow.streams {
            self.pool.give_back(*stream);
            *stream = FINISHED;
        }
    }

    fn feed_datagram(&mut self, flow: &mut Flow, facts: &mut Facts, seen: &Seen) {
        if seen.payload.is_empty() || flow.candidates == 0 {
            return;
        }
        let cut = seen.payload.len() < seen.payload_len;
        self.counters.short_copies += u64::from(cut);
        probe(flow, facts, seen.dir, seen.payload, cut);
    }

    fn feed_segment(&mut self, flow: &mut Flow, facts: &mut Facts, seen: &Seen, segment: Segment) {
        let way = seen.dir as usize;
        let Some(offset) = place(flow, seen, segment) else {
            return;
        };
        // What lies before the first byte is a keep-alive's, or came before we did.
        let before = offset.min(0).unsigned_abs() as usize;
        let offset = offset.max(0) as usize;
        if before >= seen.payload_len || offset >= STREAM_BYTES {
            return;
        }
        let payload = seen.payload.get(before..).unwrap_or(&[]);
        let short = seen.payload.len() < seen.payload_len;
        self.counters.short_copies += u64::from(short);

        if flow.streams[way] == 0 {
            if offset == 0 {
                let cut = short || payload.len() >= STREAM_BYTES;
                let wanted = probe(flow, facts, seen.dir, payload, cut);
                if !wanted || cut {
                    return self.finish(flow, seen.dir, wanted);
                }
            }
            let Some(number) = self.pool.lend() else {
                self.counters.no_buffer += 1;
                flow.flags |= flag::STREAM_LOST;
                if offset == 0 {
                    probe(flow, facts, seen.dir, payload, true);
                    self.finish(flow, seen.dir, true);
                }
                return;
            };
            flow.streams[way] = number;
            if offset == 0 {
                self.insert(flow, way, 0, payload);
                return; // looked at already
            }
        }
        let had = self.pool.prefix(flow.streams[way]).len();
        self.insert(flow, way, offset, payload);
        let prefix = self.pool.prefix(flow.streams[way]);
        let gone = short && offset + payload.len() == prefix.len();
        let cut = gone || prefix.len() == STREAM_BYTES;
        if prefix.len() > had || cut {
            let wanted = probe(flow, facts, seen.dir, prefix, cut);
            if !wanted || cut {
                self.finish(flow, seen.dir, wanted);
            }
        }
    }

    fn insert(&mut self, flow: &mut Flow, way: usize, offset: usize, payload: &[u8]) {
        match self.pool.insert(flow.streams[way], offset, payload) {
            Inserted::Clean => {}
            Inserted::Ambiguous => {
                self.counters.ambiguous += 1;
                flow.flags |= flag::AMBIGUOUS;
            }
            Inserted::TooManyHoles => self.counters.too_many_holes += 1,
        }
    }

    /// No more of a direction is looked at, whether more was `wanted` or not.
    fn finish(&mut self, flow: &mut Flow, dir: Dir, wanted: bool) {
        let way = dir as usize;
        self.pool.give_back(flow.streams[way]);
        flow.streams[way] = FINISHED;
        if wanted {
            flow.flags |= flag::STREAM_LOST;
        }
        if flow.candidates == 0 {
            self.release(flow);
        }
        if flow.dissector != 0 && flow.streams == [FINISHED; 2] {
            flow.flags |= flag::L7_DONE;
        }
    }
}

/// IP protocol numbers.
const TCP: u8 = 6;
const UDP: u8 = 17;

/// Where a segment's payload stands from its stream's first byte on; `None` if it is of no interest.
fn place(flow: &mut Flow, seen: &Seen, segment: Segment) -> Option<i32> {
    let way = seen.dir as usize;
    let known = [flag::FIRST_SEQ_TO_SERVER, flag::FIRST_SEQ_TO_CLIENT][way];
    if flow.streams[way] == FINISHED {
        return None;
    }
    let seq = segment.seq.wrapping_add(u32::from(segment.syn));
    // Of several SYNs the last one counts, until bytes are kept. Without one the stream begins where we came.
    let opens = segment.syn && flow.streams[way] == 0;
    if opens || (!flow.has(known) && seen.payload_len > 0) {
        flow.counters[way].first_seq = seq;
        flow.flags |= known;
    }
    (seen.payload_len > 0).then(|| seq.wrapping_sub(flow.counters[way].first_seq) as i32)
}

/// Shows bytes to the dissectors in question. Says whether more bytes of this direction are wanted.
fn probe(flow: &mut Flow, facts: &mut Facts, dir: Dir, data: &[u8], cut: bool) -> bool {
    let (client_port, server_port) = (flow.client().1, flow.server().1);
    let mut wanted = false;
    let mut left = flow.candidates;
    while left != 0 {
        let index = left.trailing_zeros() as usize;
        let bit = left & left.wrapping_neg();
        left ^= bit;
        let dissector = &DISSECTORS[index];
        let at_limit = data.len() >= dissector.limit_bytes;
        let input = Input {
            dir,
            data: &data[..data.len().min(dissector.limit_bytes)],
            client_port,
            server_port,
            cut: cut || at_limit,
        };
        match (dissector.probe)(&input, facts) {
            // Once settled, bytes that do not fit tell nothing more, and take nothing back.
            Probe::No if flow.dissector != 0 => {}
            Probe::No => flow.candidates ^= bit,
            Probe::NeedMore => wanted |= !at_limit,
            Probe::Yes(step) => {
                flow.candidates = bit;
                flow.dissector = index as u8 + 1;
                flow.l7 = known_as(dissector.proto);
                flow.flags |= match step {
                    Step::Begun if !input.cut => 0,
                    Step::Begun | Step::Request => flag::L7_REQUEST,
                    Step::Done => flag::L7_REQUEST | flag::L7_DONE,
                };
                return step == Step::Begun && !at_limit;
            }
        }
    }
    wanted
}

fn progress(flow: &Flow) -> Progress {
    if flow.has(flag::L7_DONE) {
        Progress::Done
    } else if flow.has(flag::L7_REQUEST) {
        Progress::Request
    } else {
        Progress::Undecided
    }
}

fn over_limit(flow: &Flow, max_packets: u32) -> bool {
    let in_pieces = progress(flow) == Progress::Undecided
        && flow.candidates != 0
        && flow.streams.iter().any(|stream| is_lent(*stream));
    let limit = if in_pieces {
        MAX_PACKETS_IN_PIECES.max(max_packets)
    } else {
        max_packets
    };
    flow.packets() >= limit
}

fn is_lent(number: u16) -> bool {
    number != 0 && number != FINISHED
}

fn known_as(proto: Proto) -> L7 {
    L7 {
        master: proto,
        app: proto,
        guessed: false,
    }
}

/// A bit for each dissector of a transport.
const fn candidates(transport: Transport) -> u128 {
    let mut bits = 0;
    let mut index = 0;
    while index < DISSECTORS.len() {
        if DISSECTORS[index].transport as u8 == transport as u8 {
            bits |= 1 << index;
        }
        index += 1;
    }
    bits
}

const _: () = assert!(DISSECTORS.len() <= u128::BITS as usize);

/// What a flow is by its IP protocol number (IANA) alone.
fn proto_of_l4(number: u8) -> Proto {
    let name = match number {
        1 => return Proto::ICMP,
        2 => return Proto::IGMP,
        58 => return Proto::ICMPV6,
        4 | 41 => "IP_in_IP",
        8 => "EGP",
        47 => "GRE",
        50 | 51 => "IPsec",
        89 => "OSPF",
        103 => "IP_PIM",
        112 => "VRRP",
        113 => "PGM",
        132 => "SCTP",
        _ => return Proto::UNKNOWN,
    };
    Proto::by_name(name).unwrap_or_default()
}

/// Ports whose protocol is likely (IANA), TCP.
const TCP_PORTS: &[(u16, &str)] = &[
    (20, "FTP_DATA"),
    (21, "FTP_CONTROL"),
    (22, "SSH"),
    (23, "Telnet"),
    (25, "SMTP"),
    (43, "Whois-DAS"),
    (53, "DNS"),
    (80, "HTTP"),
    (88, "Kerberos"),
    (110, "POP3"),
    (139, "NetBIOS"),
    (143, "IMAP"),
    (179, "BGP"),
    (389, "LDAP"),
    (443, "TLS"),
    (445, "SMBv23"),
    (465, "SMTPS"),
    (514, "Syslog"),
    (554, "RTSP"),
    (587, "SMTP"),
    (631, "IPP"),
    (853, "DoH_DoT"),
    (873, "RSYNC"),
    (990, "FTPS"),
    (993, "IMAPS"),
    (995, "POPS"),
    (1080, "SOCKS"),
    (1433, "MsSQL-TDS"),
    (1521, "Oracle"),
    (1723, "PPTP"),
    (1883, "MQTT"),
    (1935, "RTMP"),
    (2049, "NFS"),
    (3306, "MySQL"),
    (3389, "RDP"),
    (5060, "SIP"),
    (5432, "PostgreSQL"),
    (5672, "AMQP"),
    (5900, "VNC"),
    (6379, "Redis"),
    (6667, "IRC"),
    (8080, "HTTP"),
    (9418, "Git"),
    (11211, "Memcached"),
];

/// Ports whose protocol is likely (IANA), UDP.
const UDP_PORTS: &[(u16, &str)] = &[
    (53, "DNS"),
    (67, "DHCP"),
    (68, "DHCP"),
    (69, "TFTP"),
    (88, "Kerberos"),
    (123, "NTP"),
    (137, "NetBIOS"),
    (138, "NetBIOS"),
    (161, "SNMP"),
    (162, "SNMP"),
    (177, "XDMCP"),
    (389, "LDAP"),
    (443, "QUIC"),
    (500, "IPsec"),
    (514, "Syslog"),
    (546, "DHCPV6"),
    (547, "DHCPV6"),
    (1194, "OpenVPN"),
    (1812, "Radius"),
    (1813, "Radius"),
    (1900, "SSDP"),
    (2055, "NetFlow"),
    (3478, "STUN"),
    (3544, "Teredo"),
    (4500, "IPsec"),
    (5060, "SIP"),
    (5353, "MDNS"),
    (5355, "LLMNR"),
    (5683, "COAP"),
    (6343, "sFlow"),
    (51820, "WireGuard"),
];

/// The protocol of the server's port, else of the client's, unless its dissector has said no.
fn guess(flow: &Flow) -> Proto {
    let (ports, transport) = match flow.key.proto {
        TCP => (TCP_PORTS, Transport::Tcp),
        UDP => (UDP_PORTS, Transport::Udp),
        _ => return Proto::UNKNOWN,
    };
    let ruled_out = |proto| {
        DISSECTORS.iter().enumerate().any(|(index, dissector)| {
            let open = flow.candidates & 1 << index != 0;
            dissector.proto == proto && dissector.transport == transport && !open
        })
    };
    [flow.server().1, flow.client().1]
        .iter()
        .find_map(|port| ports.iter().find(|row| row.0 == *port))
        .and_then(|row| Proto::by_name(row.1))
        .filter(|proto| !ruled_out(*proto))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::l7::Fact;
    use crate::l7::testing::Talk;
    use crate::l7::tls::tests::{CLIENT_12, CLIENT_13, SERVER_12};

    const REQUEST: &[u8] = b"GET /a HTTP/1.1\r\nHost: a.example\r\n\r\n";
    const RESPONSE: &[u8] = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";
    /// Bytes no dissector takes for its own.
    const STRANGE: &[u8] = b"\xff\xfe strange";

    fn proto(number: u8) -> Proto {
        let mut talk = Talk::new(number, 0, 0);
        assert_eq!(Detector::begin(&mut talk.flow), Progress::Done);
        talk.flow.l7.master
    }

    #[test]
    fn a_request_and_its_answer_are_read_where_they_lie() {
        let mut talk = Talk::new(6, 80, 0); // no buffers at all
        talk.shake_hands();

        assert_eq!(talk.say(Dir::ToServer, 0, REQUEST), Progress::Request);
        assert_eq!(talk.say(Dir::ToClient, 0, RESPONSE), Progress::Done);

        assert_eq!(talk.flow.l7, known_as(Proto::HTTP));
        assert_eq!(talk.detail.facts.number(Fact::HttpStatus), Some(404));
        assert_eq!(talk.detector.counters, Counters::default());
    }

    #[test]
    fn the_first_segment_may_come_last() {
        let mut talk = Talk::tcp(80);
        talk.shake_hands();

        talk.say(Dir::ToServer, 30, &REQUEST[30..]);
        talk.say(Dir::ToServer, 10, &REQUEST[10..30]);
        assert_eq!(talk.detector.buffers_lent(), 1);
        assert_eq!(
            talk.say(Dir::ToServer, 0, &REQUEST[..10]),
            Progress::Request
        );

        assert_eq!(talk.detail.facts.host(), Some("a.example"));
        assert_eq!(talk.detector.buffers_lent(), 0);
    }

    #[test]
    fn data_in_the_syn_is_the_stream_s_first() {
        let mut talk = Talk::tcp(80);

        talk.packet(Dir::ToServer, Some((0, true)), &REQUEST[..12], 12);
        let last = talk.say(Dir::ToServer, 12, &REQUEST[12..]);

        assert_eq!(last, Progress::Request);
    }

    #[test]
    fn a_connection_picked_up_in_the_middle_begins_with_its_first_data() {
        let mut talk = Talk::tcp(80);

        talk.packet(Dir::ToServer, Some((999, false)), b"", 0); // an acknowledgement
        talk.say(Dir::ToServer, 1_000, &REQUEST[..12]);
        let last = talk.say(Dir::ToServer, 1_012, &REQUEST[12..]);

        assert_eq!(last, Progress::Request);
    }

    #[test]
    fn a_keep_alive_before_the_request_shifts_nothing() {
        let mut talk = Talk::tcp(80);
        talk.shake_hands();

        talk.packet(Dir::ToServer, Some((0, false)), b"\0", 1);

        assert_eq!(talk.say(Dir::ToServer, 0, REQUEST), Progress::Request);
    }

    #[test]
    fn a_second_syn_before_any_data_counts() {
        let mut talk = Talk::tcp(80);
        talk.packet(Dir::ToServer, Some((70_000, true)), b"", 0);
        talk.shake_hands();

        assert_eq!(talk.say(Dir::ToServer, 0, REQUEST), Progress::Request);
    }

    #[test]
    fn other_bytes_for_the_same_place_do_not_count_but_are_told() {
        let mut talk = Talk::tcp(80);
        talk.shake_hands();

        talk.say(Dir::ToServer, 0, &REQUEST[..32]);
        talk.say(Dir::ToServer, 17, b"Host: b.example");
        let last = talk.say(Dir::ToServer, 32, &REQUEST[32..]);

        assert_eq!(last, Progress::Request);
        assert_eq!(talk.detail.facts.host(), Some("a.example"));
        assert!(talk.flow.has(flag::AMBIGUOUS));
        assert_eq!(talk.detector.counters.ambiguous, 1);
    }

    #[test]
    fn without_a_free_buffer_what_is_there_settles() {
        let mut talk = Talk::new(6, 443, 0);
        talk.shake_hands();

        let last = talk.say(Dir::ToServer, 0, &CLIENT_13[..200]);

        assert_eq!(last, Progress::Request);
        assert!(talk.flow.has(flag::STREAM_LOST));
        assert_eq!(talk.detail.facts.host(), Some("www.example.org"));
        assert_eq!(talk.detector.counters.no_buffer, 1);
    }

    #[test]
    fn a_packet_copied_in_part_settles_with_that_part() {
        let mut talk = Talk::tcp(443);
        talk.shake_hands();
        talk.say(Dir::ToServer, 0, CLIENT_12);

        let last = talk.packet(
            Dir::ToClient,
            Some((1, false)),
            &SERVER_12[..450],
            SERVER_12.len(),
        );

        assert_eq!(last, Progress::Done);
        assert!(talk.detail.facts.text(Fact::TlsSubject).is_some());
        assert_eq!(talk.detector.counters.short_copies, 1);
    }

    #[test]
    fn a_request_copied_in_part_is_followed_by_the_answer() {
        let mut talk = Talk::tcp(80);
        talk.shake_hands();

        let first = talk.packet(Dir::ToServer, Some((1, false)), &REQUEST[..35], 2_000);
        let second = talk.say(Dir::ToClient, 0, RESPONSE);

        assert_eq!((first, second), (Progress::Request, Progress::Done));
        assert!(talk.flow.has(flag::STREAM_LOST));
        assert_eq!(talk.detail.facts.host(), Some("a.example"));
    }

    #[test]
    fn a_stream_longer_than_a_buffer_settles_with_what_fits() {
        let mut head = b"GET /a HTTP/1.1\r\nHost: a.example\r\nCookie: ".to_vec();
        head.resize(6_000, b'c');
        let mut talk = Talk::tcp(80);

        let steps: Vec<_> = head
            .chunks(1_000)
            .enumerate()
            .map(|(number, piece)| talk.say(Dir::ToServer, number * 1_000, piece))
            .collect();

        assert_eq!(steps[3], Progress::Undecided);
        assert_eq!(steps[4], Progress::Request);
        assert_eq!(talk.detail.facts.host(), Some("a.example"));
        assert_eq!(talk.detector.buffers_lent(), 0);
    }

    #[test]
    fn after_twelve_packets_an_unknown_flow_is_given_up() {
        let mut talk = Talk::tcp(6_000);
        talk.shake_hands();

        let steps: Vec<_> = (0..9)
            .map(|number| talk.say(Dir::ToServer, number * STRANGE.len(), STRANGE))
            .collect();

        assert_eq!(steps[7], Progress::Undecided, "packet 11");
        assert_eq!(steps[8], Progress::Done, "packet 12");
        assert_eq!(talk.flow.l7, L7::default());
        assert_eq!(talk.detector.counters.given_up, 1);
    }

    #[test]
    fn after_twelve_packets_a_request_without_answer_is_settled() {
        let mut talk = Talk::tcp(80);
        talk.shake_hands();
        talk.say(Dir::ToServer, 0, REQUEST);

        let steps: Vec<_> = (0..8)
            .map(|_| talk.packet(Dir::ToClient, Some((1, false)), b"", 0))
            .collect();

        assert_eq!(steps[6..], [Progress::Request, Progress::Done]);
        assert!(!talk.flow.l7.guessed);
    }

    #[test]
    fn pieces_without_end_are_given_up_too() {
        let mut talk = Talk::tcp(80);
        let mut packets = 0;
        while talk.say(
            Dir::ToServer,
            packets,
            &[*b"GET /".get(packets).unwrap_or(&b'a')],
        ) != Progress::Done
        {
            packets += 1;
        }

        assert_eq!(packets as u32 + 1, MAX_PACKETS_IN_PIECES);
        assert_eq!(talk.detector.buffers_lent(), 0);
    }

    #[test]
    fn a_silent_flow_gets_the_protocol_of_its_port() {
        let mut talk = Talk::tcp(22);
        talk.shake_hands();

        talk.detector.give_up(&mut talk.flow, &mut talk.detail);

        assert_eq!(talk.flow.l7.name().as_str(), "SSH");
        assert!(talk.flow.l7.guessed);
    }

    #[test]
    fn a_port_s_protocol_that_was_ruled_out_is_not_guessed() {
        let mut talk = Talk::tcp(443);
        talk.shake_hands();
        talk.say(Dir::ToServer, 0, STRANGE);

        talk.detector.give_up(&mut talk.flow, &mut talk.detail);

        assert_eq!(talk.flow.l7, L7::default());
    }

    #[test]
    fn a_flow_given_up_settles_with_its_buffers() {
        let mut talk = Talk::tcp(443);
        talk.shake_hands();
        talk.say(Dir::ToServer, 0, &CLIENT_12[..220]);

        talk.detector.give_up(&mut talk.flow, &mut talk.detail);

        assert_eq!(talk.detail.facts.host(), Some("www.example.org"));
        assert_eq!(talk.detector.buffers_lent(), 0);
    }

    #[test]
    fn every_port_in_the_tables_has_a_protocol() {
        for row in TCP_PORTS.iter().chain(UDP_PORTS) {
            assert!(Proto::by_name(row.1).is_some(), "{row:?}");
        }
    }

    #[test]
    fn what_is_neither_tcp_nor_udp_is_known_at_once() {
        assert_eq!(proto(1), Proto::ICMP);
        assert_eq!(proto(58), Proto::ICMPV6);
        assert_eq!(proto(2), Proto::IGMP);
        for (number, name) in [
            (47, "GRE"),
            (50, "IPsec"),
            (132, "SCTP"),
            (112, "VRRP"),
            (253, "Unknown"),
        ] {
            assert_eq!(proto(number).name(), name);
        }
    }

    #[test]
    fn released_twice_a_buffer_comes_back_once() {
        let mut talk = Talk::tcp(80);
        talk.say(Dir::ToServer, 0, b"GE");
        assert_eq!(talk.detector.buffers_lent(), 1);

        talk.detector.release(&mut talk.flow);
        talk.detector.release(&mut talk.flow);

        assert_eq!(talk.detector.buffers_lent(), 0);
    }

    /// Pieces of `stream`: every byte in one at least, in any order, some overlapping, some twice.
    fn pieces(len: usize) -> impl Strategy<Value = Vec<(usize, usize)>> {
        (
            proptest::collection::vec(1..len, 0..5),
            any::<u64>(),
            0usize..20,
        )
            .prop_map(move |(mut cuts, order, reach)| {
                cuts.extend([0, len]);
                cuts.sort_unstable();
                let mut pieces: Vec<_> = cuts
                    .windows(2)
                    .filter(|pair| pair[0] < pair[1])
                    .map(|pair| (pair[0], (pair[1] + reach).min(len)))
                    .collect();
                pieces.push(pieces[order as usize % pieces.len()]);
                for index in 0..pieces.len() {
                    let other = (order >> (index * 7)) as usize % pieces.len();
                    pieces.swap(index, other);
                }
                pieces
            })
    }

    proptest! {
        #[test]
        fn a_handshake_in_any_pieces_tells_the_same(client in pieces(CLIENT_12.len()), server in pieces(SERVER_12.len())) {
            let mut whole = Talk::tcp(443);
            whole.say(Dir::ToServer, 0, CLIENT_12);
            whole.say(Dir::ToClient, 0, SERVER_12);
            let mut talk = Talk::tcp(443);
            talk.packet(Dir::ToServer, Some((0, true)), b"", 0);
            talk.packet(Dir::ToClient, Some((0, true)), b"", 0);
            let mut last = Progress::Undecided;

            for (dir, stream, pieces) in [(Dir::ToServer, CLIENT_12, client), (Dir::ToClient, SERVER_12, server)] {
                for (from, to) in pieces {
                    talk.flow.counters = [crate::flow::Counters { packets: 0, ..talk.flow.counters[0] }, crate::flow::Counters { packets: 0, ..talk.flow.counters[1] }];
                    let now = talk.say(dir, from, &stream[from..to]);
                    prop_assert!(now >= last);
                    last = now;
                }
            }

            prop_assert_eq!(last, Progress::Done);
            prop_assert!(talk.detail.facts.all().eq(whole.detail.facts.all()));
            prop_assert_eq!(talk.detector.buffers_lent(), 0);
        }

        #[test]
        fn any_packets_at_all_are_survived(packets in proptest::collection::vec((any::<bool>(), any::<u32>(), any::<bool>(), 0usize..300, 0usize..300), 0..30)) {
            let mut talk = Talk::new(6, 443, 1);
            let mut last = Progress::Undecided;
            for (to_server, seq, syn, len, wire) in packets {
                let dir = if to_server { Dir::ToServer } else { Dir::ToClient };
                let seq = if seq % 3 == 0 { seq } else { seq % 6_000 };
                let now = talk.packet(dir, Some((seq, syn)), &SERVER_12[..len], len.max(wire));
                prop_assert!(now >= last);
                last = now;
            }
            talk.detector.give_up(&mut talk.flow, &mut talk.detail);
            prop_assert_eq!(talk.detector.buffers_lent(), 0);
        }
    }
}
