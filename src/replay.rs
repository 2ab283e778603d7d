//! A capture file in the queue's place: the same engine behind it, events as lines, no clock.

pub mod capture;
pub mod link;

use std::io::{self, Write};
use std::path::Path;

use crate::counters::{Counters, Kinds};
use crate::engine::{Arrival, Engine};
use crate::events::eve::Context;
use crate::time::Now;
use capture::{Capture, CaptureError};
use link::NoPacket;

/// What a capture held.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// Frames read.
    pub frames: u64,
    /// Frames without an IP packet, by reason.
    pub no_packet: Kinds,
    /// What the engine counted.
    pub counters: Counters,
    /// Why reading ended before the file did; all before that counts.
    pub cut_short: Option<String>,
}

/// Runs the capture at `path` through `engine`, writing the lines of its events to `out`. All flows end with
/// the file. Time stamps that go back are taken as standing still.
///
/// # Errors
/// The file cannot be opened or is no capture; or `out` takes no more.
pub fn replay(
    path: &Path,
    engine: &mut Engine,
    context: &Context,
    out: &mut impl Write,
) -> Result<Summary, ReplayError> {
    let mut capture = Capture::open(path)?;
    let mut summary = Summary {
        no_packet: Kinds::new(&NoPacket::NAMES),
        ..Summary::default()
    };
    let mut lines = Lines {
        context,
        out,
        line: Vec::with_capacity(4096),
        failed: None,
    };
    loop {
        let frame = match capture.next_frame() {
            Ok(Some(frame)) => frame,
            Ok(None) => break,
            Err(error) => {
                summary.cut_short = Some(error.to_string());
                break;
            }
        };
        summary.frames += 1;
        match link::net(frame.link, frame.bytes) {
            Ok(net) => {
                let arrival = Arrival {
                    ip: net.ip,
                    vlan: net.vlan,
                    mac: net.source_mac,
                };
                let _ = engine.handle(&arrival, Now::at(frame.at)); // its flow's record tells the verdict
            }
            Err(reason) => summary.no_packet.count(reason as usize),
        }
        lines.drain(engine);
    }
    engine.finish(|engine| lines.drain(engine));
    if let Some(error) = lines.failed {
        return Err(ReplayError::Output(error));
    }
    summary.counters = engine.counters();
    Ok(summary)
}

/// Why a capture was not replayed.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The file is of no use from its first byte.
    #[error(transparent)]
    Capture(#[from] CaptureError),
    /// The lines could not be written.
    #[error("cannot write events")]
    Output(#[source] io::Error),
}

struct Lines<'a, W> {
    context: &'a Context<'a>,
    out: &'a mut W,
    line: Vec<u8>,
    failed: Option<io::Error>,
}

impl<W: Write> Lines<'_, W> {
    fn drain(&mut self, engine: &mut Engine) {
        while let Some(event) = engine.outbox.pop() {
            self.line.clear();
            if self.context.line(&event, &mut self.line) && self.failed.is_none() {
                self.failed = self.out.write_all(&self.line).err();
            }
        }
    }
}
