//! Capture files as frames: pcap in both byte orders, with micro- or nanoseconds, also Kuznetzov's; and
//! pcapng with its sections and interfaces. From any `Read`, one record in memory at a time. What is
//! inside a frame is `link`'s.
//! <https://datatracker.ietf.org/doc/draft-ietf-opsawg-pcap/>, `…/draft-ietf-opsawg-pcapng/`.

mod pcapng;

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use crate::replay::link::LinkType;
use crate::time::Micros;

/// Longest frame believed, captured bytes: libpcap's own bound for all but USB and D-Bus.
pub const MAX_FRAME_BYTES: u32 = 256 * 1024;

/// One captured frame. Time stamps are the file's: they may go backwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Since 1970-01-01 UTC.
    pub at: Micros,
    /// How `bytes` begin.
    pub link: LinkType,
    /// What was captured, at most [`MAX_FRAME_BYTES`].
    pub bytes: &'a [u8],
    /// Length on the wire.
    pub wire_len: u32,
}

/// A capture file that cannot be read, or not further. Frames before it stand.
#[derive(Debug, thiserror::Error)]
#[error("capture {file}: {fault}, at byte {offset}")]
pub struct CaptureError {
    /// Name of the file.
    pub file: String,
    /// Where the record begins that could not be read.
    pub offset: u64,
    /// What is wrong; part of the message above, so not its source as well.
    pub fault: Fault,
}

/// What is wrong with a capture file.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// Neither of the two formats.
    #[error("not a pcap or pcapng file (compressed files must be unpacked first)")]
    Format,
    /// The file ends inside a record.
    #[error("the file ends in the middle of a record")]
    Truncated,
    /// A frame longer than [`MAX_FRAME_BYTES`], or a block that is shorter than what it says it holds.
    #[error("a record claims an impossible length of {0} bytes")]
    Length(u32),
    /// A pcapng frame of an interface the section has not described, or too many interfaces.
    #[error("interface {0} is not described, or one too many")]
    Interface(u32),
    /// Reading failed.
    #[error("reading failed: {0}")]
    Io(io::Error),
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Fault::Truncated,
            _ => Fault::Io(error),
        }
    }
}

/// A capture file being read.
pub struct Capture<R> {
    source: Source<R>,
    name: String,
    format: Format,
    /// The frame in hand; grows to the longest seen.
    frame: Vec<u8>,
    over: bool,
}

enum Format {
    Pcap {
        link: LinkType,
        nanos: bool,
        /// Bytes of a record's header.
        header_len: usize,
    },
    PcapNg {
        interfaces: Vec<pcapng::Interface>,
        /// Time of the latest frame that had one; simple packet blocks have none.
        last: Micros,
    },
}

/// A frame's place in time and kind; its bytes are in `Capture::frame`.
struct Meta {
    at: Micros,
    link: LinkType,
    wire_len: u32,
}

impl Capture<File> {
    /// Opens the capture file at `path`.
    pub fn open(path: &Path) -> Result<Self, CaptureError> {
        let name = path.display().to_string();
        match File::open(path) {
            Ok(file) => Capture::new(file, name),
            Err(error) => Err(CaptureError {
                file: name,
                offset: 0,
                fault: Fault::Io(error),
            }),
        }
    }
}

impl<R: Read> Capture<R> {
    /// Reads the file header from `input`, called `name` in errors.
    pub fn new(input: R, name: impl Into<String>) -> Result<Self, CaptureError> {
        let mut source = Source {
            input: BufReader::new(input),
            big_endian: false,
            offset: 0,
        };
        match Format::read(&mut source) {
            Ok(format) => Ok(Capture {
                source,
                name: name.into(),
                format,
                frame: Vec::new(),
                over: false,
            }),
            Err(fault) => Err(CaptureError {
                file: name.into(),
                offset: 0,
                fault,
            }),
        }
    }

    /// The next frame; `None` at the end, which an error is, too.
    pub fn next_frame(&mut self) -> Result<Option<Frame<'_>>, CaptureError> {
        if self.over {
            return Ok(None);
        }
        let (mut begin, source, frame) = (self.source.offset, &mut self.source, &mut self.frame);
        let next = match &mut self.format {
            Format::Pcap {
                link,
                nanos,
                header_len,
            } => pcap_record(source, frame, *link, *nanos, *header_len),
            Format::PcapNg { interfaces, last } => loop {
                begin = source.offset;
                match pcapng::block(source, frame, interfaces, last) {
                    Ok(pcapng::Block::Other) => continue,
                    Ok(pcapng::Block::Frame(meta)) => break Ok(Some(meta)),
                    Ok(pcapng::Block::End) => break Ok(None),
                    Err(fault) => break Err(fault),
                }
            },
        };
        match next {
            Ok(Some(meta)) => Ok(Some(Frame {
                at: meta.at,
                link: meta.link,
                bytes: &self.frame,
                wire_len: meta.wire_len,
            })),
            Ok(None) => {
                self.over = true;
                Ok(None)
            }
            Err(fault) => {
                self.over = true;
                Err(CaptureError {
                    file: self.name.clone(),
                    offset: begin,
                    fault,
                })
            }
        }
    }
}

/// Numbers and bytes of a file, in its byte order.
struct Source<R> {
    input: BufReader<R>,
    big_endian: bool,
    offset: u64,
}

impl<R: Read> Source<R> {
    /// Fills `into`, or finds the file at its end before the first byte and says `false`.
    fn fill_or_end(&mut self, into: &mut [u8]) -> Result<bool, Fault> {
        let mut filled = 0;
        while filled < into.len() {
            match self.input.read(&mut into[filled..]) {
                Ok(0) if filled == 0 => return Ok(false),
                Ok(0) => return Err(Fault::Truncated),
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Fault::Io(error)),
            }
        }
        self.offset += into.len() as u64;
        Ok(true)
    }

    fn fill(&mut self, into: &mut [u8]) -> Result<(), Fault> {
        self.input.read_exact(into)?;
        self.offset += into.len() as u64;
        Ok(())
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        let mut bytes = [0; N];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    /// `len` bytes into `frame`, in place of what was there.
    fn frame(&mut self, len: u32, frame: &mut Vec<u8>) -> Result<(), Fault> {
        if len > MAX_FRAME_BYTES {
            return Err(Fault::Length(len));
        }
        frame.resize(len as usize, 0);
        self.fill(frame)
    }

    fn skip(&mut self, len: u32) -> Result<(), Fault> {
        let mut rest = self.input.by_ref().take(u64::from(len));
        let skipped = io::copy(&mut rest, &mut io::sink())?;
        self.offset += skipped;
        if skipped < u64::from(len) {
            return Err(Fault::Truncated);
        }
        Ok(())
    }

    fn u16(&self, bytes: &[u8], at: usize) -> u16 {
        let bytes = [bytes[at], bytes[at + 1]];
        if self.big_endian {
            u16::from_be_bytes(bytes)
        } else {
            u16::from_le_bytes(bytes)
        }
    }

    fn u32(&self, bytes: &[u8], at: usize) -> u32 {
        let (first, second) = (
            u32::from(self.u16(bytes, at)),
            u32::from(self.u16(bytes, at + 2)),
        );
        if self.big_endian {
            first << 16 | second
        } else {
            second << 16 | first
        }
    }
}

impl Format {
    fn read<R: Read>(source: &mut Source<R>) -> Result<Format, Fault> {
        let mut magic = [0; 4];
        if !source.fill_or_end(&mut magic)? {
            return Err(Fault::Format);
        }
        if magic == pcapng::SECTION_HEADER {
            pcapng::section(source)?;
            return Ok(Format::PcapNg {
                interfaces: Vec::new(),
                last: Micros(0),
            });
        }
        source.big_endian = magic[0] == 0xa1;
        let (nanos, header_len) = match source.u32(&magic, 0) {
            0xa1b2_c3d4 => (false, 16),
            0xa1b2_3c4d => (true, 16),
            0xa1b2_cd34 => (false, 24), // Kuznetzov's: interface, protocol and packet type added
            _ => return Err(Fault::Format),
        };
        let header: [u8; 20] = source.array()?;
        Ok(Format::Pcap {
            // the upper bits tell of a frame check sequence
            link: LinkType(source.u32(&header, 16) & 0x03ff_ffff),
            nanos,
            header_len,
        })
    }
}

fn pcap_record<R: Read>(
    source: &mut Source<R>,
    frame: &mut Vec<u8>,
    link: LinkType,
    nanos: bool,
    header_len: usize,
) -> Result<Option<Meta>, Fault> {
    let mut header = [0; 24];
    let header = &mut header[..header_len];
    if !source.fill_or_end(header)? {
        return Ok(None);
    }
    let seconds = Micros::from_secs(u64::from(source.u32(header, 0)));
    let fraction = u64::from(source.u32(header, 4)) / if nanos { 1_000 } else { 1 };
    let (captured, wire_len) = (source.u32(header, 8), source.u32(header, 12));
    source.frame(captured, frame)?;
    Ok(Some(Meta {
        at: seconds + Micros(fraction),
        link,
        wire_len,
    }))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::support::files::{Kind, Order, Pcap, PcapNg};

    /// Seconds and microseconds that need more than 32 bits together.
    const AT: u64 = 1_767_323_045_678_901;

    type Kept = (u64, u32, Vec<u8>, u32);

    /// Every frame of a file, and what ended it if not its end.
    fn read(bytes: &[u8]) -> (Vec<Kept>, Option<CaptureError>) {
        let mut frames = Vec::new();
        let mut capture = match Capture::new(bytes, "test.pcap") {
            Ok(capture) => capture,
            Err(error) => return (frames, Some(error)),
        };
        loop {
            match capture.next_frame() {
                Ok(Some(frame)) => frames.push((
                    frame.at.0,
                    frame.link.0,
                    frame.bytes.to_vec(),
                    frame.wire_len,
                )),
                Ok(None) => return (frames, None),
                Err(error) => {
                    assert!(capture.next_frame().unwrap().is_none());
                    return (frames, Some(error));
                }
            }
        }
    }

    fn frames(bytes: &[u8]) -> Vec<Kept> {
        let (frames, error) = read(bytes);
        assert!(error.is_none(), "{error:?}");
        frames
    }

    fn fault(bytes: &[u8]) -> (usize, String) {
        let (frames, error) = read(bytes);
        (frames.len(), error.unwrap().to_string())
    }

    #[test]
    fn every_form_of_pcap_gives_the_same_frames() {
        for order in [Order::Little, Order::Big] {
            for kind in [Kind::Micros, Kind::Nanos, Kind::Kuznetzov] {
                let mut file = Pcap::new(order, kind, 0x1400_0001); // with a frame check sequence
                file.frame(AT, b"abc").cut_frame(AT - 5, b"", 9);

                let expected = vec![(AT, 1, b"abc".to_vec(), 3), (AT - 5, 1, vec![], 9)];
                assert_eq!(frames(&file.bytes), expected);
            }
        }
    }

    #[test]
    fn pcapng_interfaces_have_each_their_link_and_clock() {
        for order in [Order::Little, Order::Big] {
            let mut file = PcapNg::new(order);
            file.interface(1, 0, 6, 0)
                .interface(101, 0, 9, 0)
                .interface(113, 0, 0x80 | 20, 0)
                .interface(1, 0, 3, 10)
                .interface(1, 0, 3, -10)
                .frame(0, AT, b"a")
                .frame(1, AT * 1_000, b"bb")
                .frame(2, 5 << 20 | 1 << 19, b"ccc")
                .frame(3, 20_000, b"dddd")
                .frame(4, 20_000, b"eeeee");

            let seen = frames(&file.bytes);

            let times_and_links: Vec<_> = seen.iter().map(|seen| (seen.0, seen.1)).collect();
            let expected = vec![
                (AT, 1),
                (AT, 101),
                (5_500_000, 113),
                (30_000_000, 1),
                (10_000_000, 1),
            ];
            assert_eq!(times_and_links, expected);
            assert_eq!(seen[4].2, b"eeeee");
        }
    }

    #[test]
    fn a_section_may_change_byte_order_and_counts_its_interfaces_anew() {
        let mut file = PcapNg::new(Order::Little);
        file.interface(1, 0, 6, 0).frame(0, AT, b"a");
        file.section(Order::Big)
            .interface(101, 0, 6, 0)
            .frame(0, AT, b"b");

        assert_eq!(
            frames(&file.bytes),
            vec![(AT, 1, b"a".to_vec(), 1), (AT, 101, b"b".to_vec(), 1)]
        );
    }

    #[test]
    fn a_simple_packet_is_cut_by_its_interface_and_has_the_time_before_it() {
        let mut file = PcapNg::new(Order::Little);
        file.interface(1, 3, 6, 0)
            .frame(0, AT, b"a")
            .simple_frame(b"abc", 7)
            .simple_frame(b"de", 2);

        let expected = vec![
            (AT, 1, b"a".to_vec(), 1),
            (AT, 1, b"abc".to_vec(), 7),
            (AT, 1, b"de".to_vec(), 2),
        ];
        assert_eq!(frames(&file.bytes), expected);
    }

    #[test]
    fn old_packet_blocks_are_read_and_unknown_blocks_skipped_whatever_their_size() {
        let mut file = PcapNg::new(Order::Big);
        file.interface(1, 0, 6, 0)
            .block(0x0bad_cafe, &vec![7; 3 * MAX_FRAME_BYTES as usize])
            .old_frame(0, AT, b"old");

        assert_eq!(frames(&file.bytes), vec![(AT, 1, b"old".to_vec(), 3)]);
    }

    #[test]
    fn a_file_cut_anywhere_keeps_the_frames_before_the_cut() {
        let mut pcap = Pcap::new(Order::Little, Kind::Micros, 1);
        pcap.frame(AT, b"abc").frame(AT, b"def");
        let mut pcapng = PcapNg::new(Order::Little);
        pcapng
            .interface(1, 0, 6, 0)
            .frame(0, AT, b"abc")
            .frame(0, AT, b"def");

        for file in [&pcap.bytes, &pcapng.bytes] {
            let whole = frames(file);
            let mut most = 0;
            for cut in 0..file.len() {
                let (before, error) = read(&file[..cut]);
                assert!(whole.starts_with(&before));
                assert!(before.len() >= most);
                most = before.len();
                if let Some(error) = error {
                    let expected = matches!(error.fault, Fault::Truncated | Fault::Format);
                    assert!(expected, "{error}");
                }
            }
        }
    }

    #[test]
    fn an_impossible_length_ends_the_file_with_its_place() {
        let mut pcap = Pcap::new(Order::Little, Kind::Micros, 1);
        pcap.frame(AT, b"abc").header(AT, MAX_FRAME_BYTES + 1, 60);
        let mut pcapng = PcapNg::new(Order::Little);
        pcapng.interface(1, 0, 6, 0).frame(0, AT, b"abc");
        let at = pcapng.bytes.len();
        let mut claims = [0, 0, 0, 40, 40].map(u32::to_le_bytes).concat();
        claims.extend_from_slice(b"only this");
        pcapng.block(6, &claims);

        let said = "capture test.pcap: a record claims an impossible length of";
        assert_eq!(
            fault(&pcap.bytes),
            (1, format!("{said} 262145 bytes, at byte 43"))
        );
        assert_eq!(
            fault(&pcapng.bytes),
            (1, format!("{said} 44 bytes, at byte {at}"))
        );
    }

    #[test]
    fn blocks_that_contradict_themselves_end_the_file() {
        let base = || {
            let mut file = PcapNg::new(Order::Little);
            file.interface(1, 0, 6, 0);
            file
        };
        let mut undeclared = base();
        undeclared.frame(1, AT, b"abc");
        let mut lengths = base();
        lengths.frame(0, AT, b"abc");
        *lengths.bytes.last_mut().unwrap() = 9;
        let mut short = base();
        short
            .bytes
            .extend([6_u32, 8].map(u32::to_le_bytes).concat());
        let mut crowded = base();
        for _ in 0..pcapng::MAX_INTERFACES {
            crowded.interface(1, 0, 6, 0);
        }

        assert!(fault(&undeclared.bytes).1.contains("interface 1 is not"));
        assert!(fault(&lengths.bytes).1.contains("impossible length"));
        assert!(fault(&short.bytes).1.contains("length of 8 bytes"));
        assert!(fault(&crowded.bytes).1.contains("interface 1024"));
    }

    #[test]
    fn what_is_no_capture_is_said_to_be_none() {
        for bytes in [&b""[..], b"\x1f\x8b\x08\x00", b"GET / HTTP/1.1\r\n\r\n"] {
            assert!(fault(bytes).1.contains("not a pcap or pcapng file"));
        }
    }

    #[test]
    fn a_file_that_cannot_be_opened_is_named() {
        let error = Capture::open(Path::new("no/such.pcap")).err().unwrap();

        assert!(error.to_string().starts_with("capture no/such.pcap: "));
    }

    proptest! {
        #[test]
        fn no_file_panics_or_goes_on_for_ever(
            magic in prop::sample::select(vec![
                &[0xd4, 0xc3, 0xb2, 0xa1][..],
                &[0xa1, 0xb2, 0x3c, 0x4d],
                &[0x0a, 0x0d, 0x0d, 0x0a, 28, 0, 0, 0, 0x4d, 0x3c, 0x2b, 0x1a],
            ]),
            rest in prop::collection::vec(prop_oneof![Just(0_u8), 0..40_u8, any::<u8>()], 0..400),
        ) {
            let (frames, _) = read(&[magic, &rest[..]].concat());

            prop_assert!(frames.len() <= rest.len() / 12);
        }

        #[test]
        fn nor_does_a_file_with_one_byte_changed(at in 0..272_usize, to in any::<u8>()) {
            let mut file = PcapNg::new(Order::Little);
            file.interface(1, 0, 6, 0).frame(0, AT, b"abc").simple_frame(b"de", 2);
            file.old_frame(0, AT, b"old");
            let at = at % file.bytes.len();
            file.bytes[at] = to;

            let (frames, _) = read(&file.bytes);

            prop_assert!(frames.len() <= 3);
        }
    }
}
