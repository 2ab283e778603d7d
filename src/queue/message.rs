//! Netlink messages of the queue, as bytes: what the kernel sends us, and what we send it. No system
//! call and no state here. To read first: `linux/netlink.h`, `linux/netfilter/nfnetlink_queue.h`.
//!
//! Message headers are in host order, attributes of the queue in network order.

use libc::c_int;

/// Bytes a message may need beyond the packet it carries.
pub const OVERHEAD_BYTES: usize = 512;

/// Bytes of the largest verdict message.
pub const VERDICT_BYTES: usize = 40;

const HEADER_BYTES: usize = 20; // nlmsghdr and nfgenmsg

/// One packet as the kernel showed it. The payload is cut at the queue's copy range.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Packet<'a> {
    /// The kernel's number for it, to answer with.
    pub id: u32,
    /// Packet mark, other people's bits included.
    pub mark: u32,
    /// From the IP header on.
    pub payload: &'a [u8],
    /// Its length on its way, from the IP header on; of a GSO packet the length of the whole.
    pub wire_bytes: u32,
    /// Sender's address on the wire it came in by, where that wire has such.
    pub mac: Option<[u8; 6]>,
    /// Interface index it came in by; of a bridge, not its port. 0: none.
    pub indev: u32,
    /// Interface index it goes out by. 0: none.
    pub outdev: u32,
    /// Bridge port it came in by. 0: none.
    pub physindev: u32,
    /// Bridge port it goes out by. 0: none.
    pub physoutdev: u32,
    /// EtherType.
    pub ethertype: u16,
    /// Hook it waits at: 2 is forward.
    pub hook: u8,
    /// 802.1Q id; 0 without. Only given for bridged packets: a routed VLAN is an interface of its own.
    pub vlan: u16,
    /// Its transport checksum is yet to be filled in by the device: do not verify it.
    pub checksum_pending: bool,
    /// Several segments in one.
    pub gso: bool,
}

/// What the kernel sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message<'a> {
    /// A packet that waits for its answer.
    Packet(Packet<'a>),
    /// How a message of ours fared: 0, or the error number.
    Ack(c_int),
    /// Something else; well formed.
    Other,
    /// Not a message, or a packet without a number.
    Malformed,
}

/// Reads the first message of a datagram; the kernel sends the queue's one by one. Of one that is cut short
/// it takes what is there: a packet whose number is known can be answered.
pub fn parse(datagram: &[u8]) -> Message<'_> {
    let (Some(length), Some(kind)) = (word(datagram, 0), half(datagram, 4)) else {
        return Message::Malformed;
    };
    let message = datagram.get(..length as usize).unwrap_or(datagram);
    if c_int::from(kind) == libc::NLMSG_ERROR {
        return match word(message, 16) {
            Some(error) => Message::Ack((error as c_int).wrapping_neg()),
            None => Message::Malformed,
        };
    }
    if kind != queue_message(libc::NFQNL_MSG_PACKET) {
        return Message::Other;
    }
    match message.get(HEADER_BYTES..).and_then(packet) {
        Some(packet) => Message::Packet(packet),
        None => Message::Malformed,
    }
}

/// `None` without a number to answer with; whatever else is missing or broken stays at its default.
fn packet(attributes: &[u8]) -> Option<Packet<'_>> {
    let mut packet = Packet::default();
    let mut numbered = false;
    let mut whole_bytes = None;
    for (kind, value) in Attributes(attributes) {
        match kind {
            libc::NFQA_PACKET_HDR if value.len() >= 7 => {
                numbered = true;
                packet.id = be32(value);
                packet.ethertype = be16(value.get(4..).unwrap_or_default());
                packet.hook = value[6];
            }
            libc::NFQA_MARK => packet.mark = be32(value),
            libc::NFQA_PAYLOAD => packet.payload = value,
            libc::NFQA_CAP_LEN => whole_bytes = Some(be32(value)),
            libc::NFQA_IFINDEX_INDEV => packet.indev = be32(value),
            libc::NFQA_IFINDEX_OUTDEV => packet.outdev = be32(value),
            libc::NFQA_IFINDEX_PHYSINDEV => packet.physindev = be32(value),
            libc::NFQA_IFINDEX_PHYSOUTDEV => packet.physoutdev = be32(value),
            libc::NFQA_HWADDR if be16(value) == 6 => {
                packet.mac = value.get(4..10).and_then(|mac| mac.try_into().ok());
            }
            libc::NFQA_SKB_INFO => {
                let info = be32(value);
                packet.checksum_pending = info & libc::NFQA_SKB_CSUMNOTREADY as u32 != 0;
                packet.gso = info & libc::NFQA_SKB_GSO as u32 != 0;
            }
            libc::NFQA_VLAN => {
                let tag = Attributes(value).find(|&(kind, _)| kind == libc::NFQA_VLAN_TCI as c_int);
                packet.vlan = tag.map_or(0, |(_, tag)| be16(tag) & 0x0fff);
            }
            _ => {}
        }
    }
    packet.wire_bytes = whole_bytes.unwrap_or(packet.payload.len() as u32);
    numbered.then_some(packet)
}

/// Attributes one by one, until the end or the first that is not whole.
struct Attributes<'a>(&'a [u8]);

impl<'a> Iterator for Attributes<'a> {
    type Item = (c_int, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let length = usize::from(half(self.0, 0)?);
        let kind = c_int::from(half(self.0, 2)?) & libc::NLA_TYPE_MASK;
        let value = self.0.get(4..length)?; // shorter than its own header: `None` as well
        self.0 = self.0.get(aligned(length)..).unwrap_or_default();
        Some((kind, value))
    }
}

/// Writes messages for the kernel into a buffer, one after another.
pub struct Writer<'a>(pub &'a mut Vec<u8>);

impl Writer<'_> {
    /// Answers packet `id`, or with `batch` every packet that waits up to it; `mark` replaces the packet mark.
    pub fn verdict(&mut self, queue: u16, id: u32, batch: bool, verdict: c_int, mark: Option<u32>) {
        let kind = if batch {
            libc::NFQNL_MSG_VERDICT_BATCH
        } else {
            libc::NFQNL_MSG_VERDICT
        };
        self.message(kind, libc::NLM_F_REQUEST, queue, |out| {
            let mut header = [0; 8];
            header[..4].copy_from_slice(&(verdict as u32).to_be_bytes());
            header[4..].copy_from_slice(&id.to_be_bytes());
            attribute(out, libc::NFQA_VERDICT_HDR, &header);
            if let Some(mark) = mark {
                attribute(out, libc::NFQA_MARK, &mark.to_be_bytes());
            }
        });
    }

    /// Binds the queue and says all about it in one message, acknowledged: there is no moment in which
    /// the queue has packets but no mode to send them in.
    pub fn bind(&mut self, queue: u16, copy_range: u32, max_len: u32, flags: u32, mask: u32) {
        let mut mode = [0; 5];
        mode[..4].copy_from_slice(&copy_range.to_be_bytes());
        mode[4] = libc::NFQNL_COPY_PACKET as u8;
        self.config(queue, libc::NFQNL_CFG_CMD_BIND, |out| {
            attribute(out, libc::NFQA_CFG_PARAMS, &mode);
            attribute(out, libc::NFQA_CFG_QUEUE_MAXLEN, &max_len.to_be_bytes());
            attribute(out, libc::NFQA_CFG_MASK, &mask.to_be_bytes());
            attribute(out, libc::NFQA_CFG_FLAGS, &flags.to_be_bytes());
        });
    }

    /// Asks for nothing: acknowledged with success by any kernel with a queue, to whoever has the right to ask.
    pub fn probe(&mut self) {
        self.config(0, libc::NFQNL_CFG_CMD_PF_BIND, |_| {});
    }

    fn config(&mut self, queue: u16, command: c_int, more: impl FnOnce(&mut Vec<u8>)) {
        let flags = libc::NLM_F_REQUEST | libc::NLM_F_ACK;
        self.message(libc::NFQNL_MSG_CONFIG, flags, queue, |out| {
            attribute(out, libc::NFQA_CFG_CMD, &[command as u8, 0, 0, 0]);
            more(out);
        });
    }

    fn message(&mut self, kind: c_int, flags: c_int, queue: u16, body: impl FnOnce(&mut Vec<u8>)) {
        let start = self.0.len();
        self.0.extend_from_slice(&[0; 4]);
        self.0.extend_from_slice(&queue_message(kind).to_ne_bytes());
        self.0.extend_from_slice(&(flags as u16).to_ne_bytes());
        self.0.extend_from_slice(&[0; 8]); // sequence and port: the kernel fills in its own
        self.0
            .extend_from_slice(&[libc::AF_UNSPEC as u8, libc::NFNETLINK_V0 as u8]);
        self.0.extend_from_slice(&queue.to_be_bytes());
        body(self.0);
        let length = (self.0.len() - start) as u32;
        self.0[start..start + 4].copy_from_slice(&length.to_ne_bytes());
    }
}

fn attribute(out: &mut Vec<u8>, kind: c_int, value: &[u8]) {
    let length = 4 + value.len();
    out.extend_from_slice(&(length as u16).to_ne_bytes());
    out.extend_from_slice(&(kind as u16).to_ne_bytes());
    out.extend_from_slice(value);
    out.resize(out.len() + aligned(length) - length, 0);
}

const fn queue_message(kind: c_int) -> u16 {
    (libc::NFNL_SUBSYS_QUEUE as u16) << 8 | kind as u16
}

const fn aligned(length: usize) -> usize {
    length.next_multiple_of(libc::NLA_ALIGNTO as usize)
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn half(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

/// Zero where there is too little.
fn be32(value: &[u8]) -> u32 {
    value
        .first_chunk()
        .map_or(0, |bytes| u32::from_be_bytes(*bytes))
}

/// Zero where there is too little.
fn be16(value: &[u8]) -> u16 {
    value
        .first_chunk()
        .map_or(0, |bytes| u16::from_be_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PACKET: [u8; 16] = *b"an IP packet....";

    /// As the kernel writes it.
    fn sample() -> Vec<u8> {
        let mut out = Vec::new();
        let mut hardware = [0; 12];
        hardware[1] = 6;
        hardware[4..10].copy_from_slice(&[2, 0, 0, 0, 0, 1]);
        Writer(&mut out).message(libc::NFQNL_MSG_PACKET, 0, 7, |out| {
            attribute(out, libc::NFQA_PACKET_HDR, &[0, 0, 1, 2, 0x86, 0xdd, 2]);
            attribute(out, libc::NFQA_IFINDEX_INDEV, &3u32.to_be_bytes());
            attribute(out, libc::NFQA_IFINDEX_OUTDEV, &4u32.to_be_bytes());
            attribute(out, libc::NFQA_MARK, &0xabcdu32.to_be_bytes());
            attribute(out, libc::NFQA_HWADDR, &hardware);
            attribute(out, libc::NFQA_CAP_LEN, &1500u32.to_be_bytes());
            attribute(out, libc::NFQA_SKB_INFO, &3u32.to_be_bytes());
            attribute(out, libc::NFQA_PAYLOAD, &PACKET);
        });
        out
    }

    #[test]
    fn a_packet_message_is_read_whole() {
        let bytes = sample();

        let Message::Packet(packet) = parse(&bytes) else {
            panic!("not a packet");
        };

        let wanted = Packet {
            id: 0x102,
            mark: 0xabcd,
            payload: &PACKET,
            wire_bytes: 1500,
            mac: Some([2, 0, 0, 0, 0, 1]),
            indev: 3,
            outdev: 4,
            ethertype: 0x86dd,
            hook: 2,
            checksum_pending: true,
            gso: true,
            ..Packet::default()
        };
        assert_eq!(packet, wanted);
    }

    #[test]
    fn a_packet_shown_whole_has_the_length_of_its_payload() {
        let mut out = Vec::new();
        Writer(&mut out).message(libc::NFQNL_MSG_PACKET, 0, 7, |out| {
            attribute(out, libc::NFQA_PACKET_HDR, &[0, 0, 0, 1, 8, 0, 2]);
            attribute(out, libc::NFQA_PAYLOAD, &PACKET);
        });

        assert!(matches!(parse(&out), Message::Packet(p) if p.wire_bytes == 16));
    }

    #[test]
    fn the_tag_of_a_bridged_packet_is_its_vlan() {
        let mut out = Vec::new();
        Writer(&mut out).message(libc::NFQNL_MSG_PACKET, 0, 7, |out| {
            attribute(out, libc::NFQA_PACKET_HDR, &[0, 0, 0, 1, 8, 0, 2]);
            let mut tags = Vec::new();
            attribute(&mut tags, libc::NFQA_VLAN_PROTO as c_int, &[0x81, 0]);
            attribute(&mut tags, libc::NFQA_VLAN_TCI as c_int, &[0x60, 42]);
            attribute(out, libc::NFQA_VLAN | libc::NLA_F_NESTED, &tags);
        });

        assert!(matches!(parse(&out), Message::Packet(p) if p.vlan == 42));
    }

    #[test]
    fn a_packet_message_cut_behind_its_number_can_still_be_answered() {
        let bytes = sample();
        let numbered = HEADER_BYTES + 4 + 7;

        for cut in 0..bytes.len() {
            match parse(&bytes[..cut]) {
                Message::Packet(packet) => {
                    assert!(cut >= numbered, "cut at {cut}");
                    assert_eq!((packet.id, packet.payload.len()), (0x102, 0));
                }
                other => {
                    assert!(cut < numbered, "cut at {cut}");
                    assert_eq!(other, Message::Malformed);
                }
            }
        }
    }

    #[test]
    fn a_packet_without_a_number_cannot_be_answered() {
        let mut out = Vec::new();
        Writer(&mut out).message(libc::NFQNL_MSG_PACKET, 0, 7, |out| {
            attribute(out, libc::NFQA_PAYLOAD, &PACKET);
        });

        assert_eq!(parse(&out), Message::Malformed);
    }

    #[test]
    fn an_acknowledgement_tells_the_error() {
        let mut bytes = vec![0; 20];
        bytes[..4].copy_from_slice(&20u32.to_ne_bytes());
        bytes[4..6].copy_from_slice(&(libc::NLMSG_ERROR as u16).to_ne_bytes());
        bytes[16..].copy_from_slice(&(-libc::ENOENT).to_ne_bytes());

        assert_eq!(parse(&bytes), Message::Ack(libc::ENOENT));
    }

    #[test]
    fn verdicts_stand_one_behind_another() {
        let mut out = Vec::with_capacity(2 * VERDICT_BYTES);

        Writer(&mut out).verdict(7, 1, false, libc::NF_ACCEPT, Some(5));
        Writer(&mut out).verdict(7, 2, true, libc::NF_DROP, None);

        assert_eq!(word(&out, 0), Some(40));
        assert_eq!(out[24..32], [0, 0, 0, 1, 0, 0, 0, 1]);
        assert_eq!(out[36..40], [0, 0, 0, 5]);
        assert_eq!(word(&out, 40), Some(32));
        assert_eq!(half(&out, 44), Some(0x0303));
        assert_eq!(out.len(), 72);
    }

    proptest! {
        #[test]
        fn no_bytes_break_the_reader(bytes in proptest::collection::vec(any::<u8>(), 0..256)) {
            let _ = parse(&bytes);
        }

        #[test]
        fn no_changed_byte_breaks_the_reader(at in 0..200usize, value: u8) {
            let mut bytes = sample();
            let at = at % bytes.len();
            bytes[at] = value;
            let _ = parse(&bytes);
        }
    }
}
