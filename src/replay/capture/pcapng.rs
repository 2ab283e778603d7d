//! pcapng: sections, interfaces, and the three kinds of blocks that hold packets. Blocks of any other
//! kind are skipped, whatever their size.

use std::io::Read;

use super::{Fault, Meta, Source};
use crate::replay::link::LinkType;
use crate::time::Micros;

/// Interfaces remembered in one section.
pub(super) const MAX_INTERFACES: usize = 1024;
/// Options read of one interface; any behind are skipped.
const MAX_OPTION_BYTES: u32 = 4096;

/// What both byte orders of a section header begin with.
pub(super) const SECTION_HEADER: [u8; 4] = [0x0a, 0x0d, 0x0d, 0x0a];

/// What pcapng says of an interface.
#[derive(Clone, Copy)]
pub(super) struct Interface {
    link: LinkType,
    /// Most bytes of a frame kept; 0 is all.
    snap_len: u32,
    /// Ticks in a second.
    ticks: u64,
    /// Seconds to add to each time stamp.
    offset_secs: i64,
}

impl Interface {
    fn time(&self, high: u32, low: u32) -> Micros {
        let ticks = u128::from(high) << 32 | u128::from(low);
        let micros = ticks * 1_000_000 / u128::from(self.ticks);
        let shifted = micros as i128 + i128::from(self.offset_secs) * 1_000_000;
        Micros(u64::try_from(shifted.max(0)).unwrap_or(u64::MAX))
    }
}

pub(super) enum Block {
    Frame(Meta),
    Other,
    End,
}

/// Reads one pcapng block; `frame` gets its bytes if it is a packet.
pub(super) fn block<R: Read>(
    source: &mut Source<R>,
    frame: &mut Vec<u8>,
    interfaces: &mut Vec<Interface>,
    last: &mut Micros,
) -> Result<Block, Fault> {
    let mut kind = [0; 4];
    if !source.fill_or_end(&mut kind)? {
        return Ok(Block::End);
    }
    if kind == SECTION_HEADER {
        section(source)?;
        interfaces.clear();
        return Ok(Block::Other);
    }
    let kind = source.u32(&kind, 0);
    let length: [u8; 4] = source.array()?;
    let total = source.u32(&length, 0);
    // type, length, length again; some writers forget that blocks are padded to 4 bytes
    let mut body = Body {
        left: total
            .checked_next_multiple_of(4)
            .and_then(|padded| padded.checked_sub(12))
            .ok_or(Fault::Length(total))?,
        total,
    };
    let meta = match kind {
        1 => {
            if interfaces.len() == MAX_INTERFACES {
                return Err(Fault::Interface(MAX_INTERFACES as u32));
            }
            interfaces.push(interface(source, &mut body, frame)?);
            None
        }
        2 | 6 => Some(packet(source, &mut body, kind, frame, interfaces)?),
        3 => Some(simple_packet(source, &mut body, frame, interfaces, *last)?),
        _ => None,
    };
    source.skip(body.left)?;
    if source.array::<4>()? != length {
        return Err(Fault::Length(total));
    }
    Ok(match meta {
        Some(meta) => {
            *last = meta.at;
            Block::Frame(meta)
        }
        None => Block::Other,
    })
}

/// What is left of a block before its closing length.
struct Body {
    left: u32,
    total: u32,
}

impl Body {
    fn take(&mut self, len: u32) -> Result<u32, Fault> {
        self.left = self
            .left
            .checked_sub(len)
            .ok_or(Fault::Length(self.total))?;
        Ok(len)
    }
}

/// A section header, its first 4 bytes read: from here on its byte order holds.
pub(super) fn section<R: Read>(source: &mut Source<R>) -> Result<(), Fault> {
    let fields: [u8; 8] = source.array()?;
    source.big_endian = match fields[4..] {
        [0x1a, 0x2b, 0x3c, 0x4d] => true,
        [0x4d, 0x3c, 0x2b, 0x1a] => false,
        _ => return Err(Fault::Format),
    };
    let total = source.u32(&fields, 0);
    // type, length, byte order, version, section length, length again
    source.skip(total.checked_sub(12).ok_or(Fault::Length(total))?)
}

fn interface<R: Read>(
    source: &mut Source<R>,
    body: &mut Body,
    buffer: &mut Vec<u8>,
) -> Result<Interface, Fault> {
    body.take(8)?;
    let fields: [u8; 8] = source.array()?;
    let options_len = body.left.min(MAX_OPTION_BYTES);
    source.frame(body.take(options_len)?, buffer)?;

    let mut interface = Interface {
        link: LinkType(u32::from(source.u16(&fields, 0))),
        snap_len: source.u32(&fields, 4),
        ticks: 1_000_000,
        offset_secs: 0,
    };
    let mut options = buffer.as_slice();
    while let Some((header, rest)) = options.split_first_chunk::<4>() {
        let (code, len) = (source.u16(header, 0), usize::from(source.u16(header, 2)));
        let Some(value) = rest.get(..len) else { break };
        match (code, value) {
            (9, &[resolution]) => {
                let power = u32::from(resolution & 0x7f);
                let base: u64 = if resolution & 0x80 == 0 { 10 } else { 2 };
                interface.ticks = base.saturating_pow(power);
            }
            (14, value) if len == 8 => {
                let (first, second) = (source.u32(value, 0), source.u32(value, 4));
                let (high, low) = if source.big_endian {
                    (first, second)
                } else {
                    (second, first)
                };
                interface.offset_secs = (u64::from(high) << 32 | u64::from(low)).cast_signed();
            }
            _ => {}
        }
        options = rest.get(len.next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(interface)
}

/// An enhanced packet block, or the packet block (2) it replaced.
fn packet<R: Read>(
    source: &mut Source<R>,
    body: &mut Body,
    kind: u32,
    frame: &mut Vec<u8>,
    interfaces: &[Interface],
) -> Result<Meta, Fault> {
    body.take(20)?;
    let fields: [u8; 20] = source.array()?;
    let id = match kind {
        2 => u32::from(source.u16(&fields, 0)),
        _ => source.u32(&fields, 0),
    };
    let interface = interfaces.get(id as usize).ok_or(Fault::Interface(id))?;
    source.frame(body.take(source.u32(&fields, 12))?, frame)?;
    Ok(Meta {
        at: interface.time(source.u32(&fields, 4), source.u32(&fields, 8)),
        link: interface.link,
        wire_len: source.u32(&fields, 16),
    })
}

/// A simple packet block: of the first interface, without a time of its own.
fn simple_packet<R: Read>(
    source: &mut Source<R>,
    body: &mut Body,
    frame: &mut Vec<u8>,
    interfaces: &[Interface],
    last: Micros,
) -> Result<Meta, Fault> {
    body.take(4)?;
    let wire_len = source.array::<4>()?;
    let wire_len = source.u32(&wire_len, 0);
    let interface = interfaces.first().ok_or(Fault::Interface(0))?;
    let captured = match interface.snap_len {
        0 => wire_len,
        snap_len => wire_len.min(snap_len),
    };
    source.frame(body.take(captured)?, frame)?;
    Ok(Meta {
        at: last,
        link: interface.link,
        wire_len,
    })
}
