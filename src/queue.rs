//! NFQUEUE in and out: packets come up in batches, each is given to a handler that returns its answer, and
//! all answers go down in one send. What an answer means for the rest of the flow is in its mark bits
//! ([`Marks`]); the firewall rules that read them are `nft.rs`.
//!
//! One [`Queue`] belongs to one thread. After [`Queue::open`] nothing is allocated. No error on the way loses the
//! queue, but one: the watchdog takes it from a thread that holds packets too long ([`QueueError::Released`]).
//!
//! Why our own socket and not the `nfq` crate: version 0.2.5 shows no descriptor, so its receive buffer stays at
//! the system's default (256 small packets or 92 large ones), there is no timeout, and it takes one system
//! call in and one out for each packet. Measured on two cores: 1.8 Gbit/s and 29,000 retransmissions in bulk TCP
//! where this one has 15 and next to none, 18,000 short connections a second against 23,000. It remains as
//! the thing to compare with, in `benches/lab/bare_loop.rs`.
//!
//! To read first: `linux/netfilter/nfnetlink_queue.h`.

mod losses;
mod marks;
mod message;
mod socket;
mod watchdog;

use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

pub use losses::Losses;
pub use marks::Marks;
pub use message::{Message, Packet, parse};
pub use watchdog::{LIMIT, Watchdog, Watched};

use crate::time::{Micros, Now};
use message::{OVERHEAD_BYTES, VERDICT_BYTES, Writer};
use socket::{Buffers, Socket};
use watchdog::Heart;

/// What a queue is opened with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueConfig {
    /// Number the rule sends packets to.
    pub number: u16,
    /// Bytes of each packet that are shown, from the IP header on; at most 65,535. 1,536: any packet of an
    /// Ethernet wire whole, and of a GSO packet a TLS ClientHello.
    pub copy_range: u32,
    /// Packets that may wait. Beyond it they pass or die, as `fail_open` says.
    pub max_len: u32,
    /// Receive buffer to ask for, in bytes. A small packet takes some 800 of them, one of 1,500 about 2,300.
    pub recv_buffer: usize,
    /// A packet that finds queue or buffer full passes unseen, instead of being dropped.
    pub fail_open: bool,
    /// Take GSO packets whole, instead of having the kernel cut them to size first (a quarter of the throughput).
    pub gso: bool,
    /// Packets taken at once, 1 to 64. 16 to 32 were best; more do not fit the cache.
    pub batch: usize,
    /// Answer a run of packets with one message where all get the same answer.
    pub batch_verdicts: bool,
}

impl QueueConfig {
    /// Queue `number` with everything else as it measured best.
    pub const fn new(number: u16) -> QueueConfig {
        QueueConfig {
            number,
            copy_range: 1536,
            max_len: 8192,
            recv_buffer: 8 << 20,
            fail_open: true,
            gso: true,
            batch: 32,
            batch_verdicts: true,
        }
    }
}

/// What becomes of one packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "the kernel holds a packet until it gets an answer"]
pub enum Answer {
    /// It goes on as it came.
    Accept,
    /// It goes on with this packet mark.
    AcceptMarked(u32),
    /// It dies.
    Drop,
}

/// Why a queue could not be opened, or not be used further.
#[derive(Debug, thiserror::Error)]
pub enum QueueError {
    /// The kernel, or its configuration, is without.
    #[error(
        "opening queue {number}: this kernel has no NFQUEUE; install kmod-nft-queue (module nfnetlink_queue)"
    )]
    NoKernelSupport {
        /// Number of the queue.
        number: u16,
    },
    /// Somebody else is bound to it.
    #[error(
        "opening queue {number}: another program is bound to it; stop that program or choose another queue_base"
    )]
    Taken {
        /// Number of the queue.
        number: u16,
    },
    /// No CAP_NET_ADMIN.
    #[error("opening queue {number}: not permitted; run as root or with CAP_NET_ADMIN")]
    NotPermitted {
        /// Number of the queue.
        number: u16,
    },
    /// The watchdog closed it; [`Queue::reopen`] gets it back.
    #[error("queue {number} was closed by the watchdog")]
    Released {
        /// Number of the queue.
        number: u16,
    },
    /// A system call failed that should not.
    #[error("{what} queue {number}: {source}")]
    System {
        /// What was tried.
        what: &'static str,
        /// Number of the queue.
        number: u16,
        /// What the system said.
        source: io::Error,
    },
}

impl QueueError {
    /// What the program ends with if it ends of this.
    pub fn exit_code(&self) -> u8 {
        match self {
            QueueError::NoKernelSupport { .. } => 3,
            QueueError::Taken { .. } => 4,
            QueueError::NotPermitted { .. }
            | QueueError::Released { .. }
            | QueueError::System { .. } => 1,
        }
    }
}

/// What happened at a queue since it was first opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueCounters {
    /// Packets that came up, each of which was answered.
    pub packets: u64,
    /// Batches they came in.
    pub batches: u64,
    /// Packets that did not fit the receive buffer: gaps in the kernel's numbers. They passed unseen when failing
    /// open and were dropped otherwise. A full *queue* leaves no gap; the rule's own counter shows those.
    pub unseen: u64,
    /// Messages we could not read.
    pub malformed: u64,
    /// Messages with answers for packets the kernel no longer had: normal whenever firewall rules are loaded.
    pub late: u64,
    /// Answers the kernel refused for another reason.
    pub refused: u64,
    /// Times the kernel said that the receive buffer overran.
    pub overruns: u64,
}

/// A bound queue.
pub struct Queue {
    config: QueueConfig,
    socket: Arc<Socket>,
    heart: Arc<Heart>,
    buffers: Buffers,
    verdicts: Vec<u8>,
    /// Datagrams already in `buffers`: what came together with the acknowledgement of the binding.
    pending: usize,
    timeout: Duration,
    last_id: u32,
    receive_buffer: usize,
    counters: QueueCounters,
}

impl Queue {
    /// Binds the queue in the calling thread's network namespace. All memory it will use is taken here.
    pub fn open(config: &QueueConfig) -> Result<Queue, QueueError> {
        let config = QueueConfig {
            copy_range: config.copy_range.min(0xffff),
            batch: config.batch.clamp(1, 64),
            ..*config
        };
        let each_bytes = config.copy_range as usize + OVERHEAD_BYTES;
        let mut queue = Queue {
            config,
            socket: Arc::new(new_socket(&config)?),
            heart: Arc::default(),
            buffers: Buffers::new(config.batch, each_bytes),
            verdicts: Vec::with_capacity((config.batch * VERDICT_BYTES).max(128)),
            pending: 0,
            timeout: Duration::ZERO,
            last_id: 0,
            receive_buffer: 0,
            counters: QueueCounters::default(),
        };
        queue.bind()?;
        Ok(queue)
    }

    /// Gets back a queue the watchdog has closed. What was in hand is gone; counters go on.
    pub fn reopen(&mut self) -> Result<(), QueueError> {
        self.socket.release(); // ours may be the program that holds it
        self.socket.replace(&new_socket(&self.config)?);
        self.bind()
    }

    /// Waits up to `timeout` for packets, has each answered by `handle` and sends the answers. Returns how many
    /// messages came; 0 after a timeout or a signal. Give commands a chance between turns.
    ///
    /// `handle` gets the time of the batch: packets that came up together share one reading of the clocks.
    ///
    /// Errors: [`QueueError::Released`], after which only [`Queue::reopen`] helps; [`QueueError::System`] for what
    /// should never be.
    pub fn turn(
        &mut self,
        timeout: Duration,
        handle: impl FnMut(&Packet<'_>, Now) -> Answer,
    ) -> Result<usize, QueueError> {
        let count = match std::mem::take(&mut self.pending) {
            0 => self.receive(timeout)?,
            pending => pending,
        };
        if count > 0 {
            self.heart.begin();
            self.answer(count, handle);
            let sent = self.send();
            self.heart.done();
            sent?;
        }
        Ok(count)
    }

    /// Answers what already waits, without waiting for more: the last thing to do before closing, since the
    /// kernel drops what waits in a queue that closes. Ends after as many as the queue can hold.
    pub fn drain(
        &mut self,
        mut handle: impl FnMut(&Packet<'_>, Now) -> Answer,
    ) -> Result<(), QueueError> {
        let mut left = self.config.max_len as usize;
        while left > 0 {
            match self.turn(Duration::ZERO, &mut handle)? {
                0 => break,
                count => left = left.saturating_sub(count),
            }
        }
        Ok(())
    }

    /// What the watchdog is started with.
    pub fn watched(&self) -> Watched {
        Watched {
            number: self.config.number,
            heart: Arc::clone(&self.heart),
            socket: Arc::clone(&self.socket),
        }
    }

    /// Number of the queue.
    pub fn number(&self) -> u16 {
        self.config.number
    }

    /// Receive buffer the kernel gave, in its own counting: twice what it was asked for, or less than that
    /// where the program may not exceed the system's `rmem_max`.
    pub fn receive_buffer(&self) -> usize {
        self.receive_buffer
    }

    /// What happened so far.
    pub fn counters(&self) -> QueueCounters {
        self.counters
    }

    fn bind(&mut self) -> Result<(), QueueError> {
        let config = self.config;
        let failed = failed("binding", config.number);
        self.receive_buffer = self
            .socket
            .receive_buffer(config.recv_buffer)
            .map_err(&failed)?;
        self.last_id = 0;
        let mut flags = 0;
        if config.fail_open {
            flags |= libc::NFQA_CFG_F_FAIL_OPEN;
        }
        if config.gso {
            flags |= libc::NFQA_CFG_F_GSO;
        }
        let known = libc::NFQA_CFG_F_FAIL_OPEN | libc::NFQA_CFG_F_GSO | libc::NFQA_CFG_F_UID_GID;
        self.verdicts.clear();
        Writer(&mut self.verdicts).bind(
            config.number,
            config.copy_range,
            config.max_len,
            flags as u32,
            known as u32,
        );
        match self.ask().map_err(&failed)? {
            0 => Ok(()),
            libc::EPERM => {
                self.verdicts.clear();
                Writer(&mut self.verdicts).probe();
                let number = config.number;
                // The kernel says the same to whoever may not and to whoever comes second.
                match self.ask().map_err(failed)? {
                    libc::EPERM => Err(QueueError::NotPermitted { number }),
                    _ => Err(QueueError::Taken { number }),
                }
            }
            libc::EINVAL => Err(QueueError::NoKernelSupport {
                number: config.number,
            }),
            error => Err(failed(io::Error::from_raw_os_error(error))),
        }
    }

    /// Sends the one message in `verdicts` and returns how it fared. Packets may come before the
    /// acknowledgement: that they come at all says that we are bound. They stay in hand for the first turn.
    fn ask(&mut self) -> io::Result<i32> {
        const PATIENCE: Duration = Duration::from_secs(5);
        self.socket.receive_timeout(PATIENCE)?;
        self.timeout = PATIENCE;
        self.socket.send(&self.verdicts)?;
        let count = loop {
            match self.buffers.receive(&self.socket, true) {
                Err(error) if error.raw_os_error() == Some(libc::EINTR) => {}
                other => break other?,
            }
        };
        self.pending = count;
        let refused = (0..count).find_map(|index| match parse(self.buffers.datagram(index)) {
            Message::Ack(error) if error != 0 => Some(error),
            _ => None,
        });
        Ok(refused.unwrap_or(0))
    }

    fn receive(&mut self, timeout: Duration) -> Result<usize, QueueError> {
        if !timeout.is_zero() && timeout != self.timeout {
            match self.socket.receive_timeout(timeout) {
                Ok(()) => self.timeout = timeout,
                Err(error) => return self.failed("waiting at", error).map(|()| 0),
            }
        }
        match self.buffers.receive(&self.socket, !timeout.is_zero()) {
            Ok(count) => Ok(count),
            Err(error) => self.failed("receiving from", error).map(|()| 0),
        }
    }

    /// What to make of a failed call: nothing at all, or an error.
    fn failed(&mut self, what: &'static str, error: io::Error) -> Result<(), QueueError> {
        let number = self.config.number;
        match error.raw_os_error() {
            Some(libc::EAGAIN | libc::EINTR) => Ok(()),
            Some(libc::ENOBUFS) => {
                self.counters.overruns += 1;
                Ok(())
            }
            Some(libc::ENOTSOCK) => Err(QueueError::Released { number }),
            _ => Err(failed(what, number)(error)),
        }
    }

    /// Has the first `count` datagrams answered; the answers stand in `verdicts` afterwards.
    fn answer(&mut self, count: usize, mut handle: impl FnMut(&Packet<'_>, Now) -> Answer) {
        let now = now();
        let mut runs = Runs {
            queue: self.config.number,
            longest: if self.config.batch_verdicts {
                u32::MAX
            } else {
                1
            },
            out: Writer(&mut self.verdicts),
            open: None,
        };
        runs.out.0.clear();
        self.counters.batches += 1;
        for index in 0..count {
            match parse(self.buffers.datagram(index)) {
                Message::Packet(packet) => {
                    self.counters.packets += 1;
                    self.counters.unseen += gap(self.last_id, packet.id);
                    self.last_id = packet.id;
                    runs.add(packet.id, handle(&packet, now));
                }
                Message::Ack(0) | Message::Other => {}
                Message::Ack(libc::ENOENT) => self.counters.late += 1,
                Message::Ack(_) => self.counters.refused += 1,
                Message::Malformed => self.counters.malformed += 1,
            }
        }
        runs.end();
    }

    fn send(&mut self) -> Result<(), QueueError> {
        if self.verdicts.is_empty() {
            return Ok(());
        }
        loop {
            match self.socket.send(&self.verdicts) {
                Err(error) if error.raw_os_error() == Some(libc::EINTR) => {}
                Err(error) => return self.failed("answering", error),
                Ok(()) => return Ok(()),
            }
        }
    }
}

impl Drop for Queue {
    /// The kernel drops what waits; what comes later goes by the rule's `bypass`, if it has that.
    fn drop(&mut self) {
        self.socket.release(); // the watchdog may hold the other half
        self.heart.done();
    }
}

/// Both clocks as they are now. The engine's own is the time since the machine started.
pub fn now() -> Now {
    let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    Now {
        mono: socket::monotonic(),
        wall: Micros(wall.map_or(0, |wall| wall.as_micros() as u64)),
    }
}

/// Answers in the order of their packets, a run of equal ones in one message.
///
/// The kernel takes such a message for *every* packet that waits up to the number it names. That is right
/// because numbers come up in order and whatever came before is answered: by an earlier send, or by a message
/// that stands before it in this one.
struct Runs<'a> {
    queue: u16,
    longest: u32,
    out: Writer<'a>,
    open: Option<Run>,
}

#[derive(Clone, Copy)]
struct Run {
    last_id: u32,
    length: u32,
    answer: Answer,
}

impl Runs<'_> {
    fn add(&mut self, id: u32, answer: Answer) {
        match &mut self.open {
            Some(run) if run.answer == answer && run.length < self.longest => {
                run.last_id = id;
                run.length += 1;
            }
            _ => {
                self.end();
                self.open = Some(Run {
                    last_id: id,
                    length: 1,
                    answer,
                });
            }
        }
    }

    fn end(&mut self) {
        let Some(run) = self.open.take() else { return };
        let (verdict, mark) = match run.answer {
            Answer::Accept => (libc::NF_ACCEPT, None),
            Answer::AcceptMarked(mark) => (libc::NF_ACCEPT, Some(mark)),
            Answer::Drop => (libc::NF_DROP, None),
        };
        self.out
            .verdict(self.queue, run.last_id, run.length > 1, verdict, mark);
    }
}

/// How many numbers lie between two that came one after the other; 0 where they do not go up.
fn gap(last: u32, id: u32) -> u64 {
    let step = id.wrapping_sub(last);
    if step < 1 << 31 {
        u64::from(step.saturating_sub(1))
    } else {
        0
    }
}

fn new_socket(config: &QueueConfig) -> Result<Socket, QueueError> {
    let number = config.number;
    Socket::open().map_err(|error| match error.raw_os_error() {
        Some(libc::EPROTONOSUPPORT | libc::EAFNOSUPPORT) => QueueError::NoKernelSupport { number },
        _ => failed("opening a socket for", number)(error),
    })
}

fn failed(what: &'static str, number: u16) -> impl Fn(io::Error) -> QueueError {
    move |source| QueueError::System {
        what,
        number,
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Message kind (1: one, 3: up to), number and verdict of each message.
    fn written(longest: u32, answers: &[(u32, Answer)]) -> Vec<(u8, u32, u32)> {
        let mut bytes = Vec::new();
        let mut runs = Runs {
            queue: 7,
            longest,
            out: Writer(&mut bytes),
            open: None,
        };
        for &(id, answer) in answers {
            runs.add(id, answer);
        }
        runs.end();
        let mut messages = Vec::new();
        let mut rest = bytes.as_slice();
        while let Some(head) = rest.first_chunk::<32>() {
            let length = u32::from_ne_bytes([head[0], head[1], head[2], head[3]]);
            let kind = u16::from_ne_bytes([head[4], head[5]]) as u8;
            let verdict = u32::from_be_bytes([head[24], head[25], head[26], head[27]]);
            let id = u32::from_be_bytes([head[28], head[29], head[30], head[31]]);
            messages.push((kind, id, verdict));
            rest = &rest[length as usize..];
        }
        messages
    }

    #[test]
    fn a_run_of_equal_answers_is_one_message_behind_the_odd_one() {
        let answers = [
            (1, Answer::Accept),
            (2, Answer::Accept),
            (4, Answer::Drop),
            (5, Answer::Accept),
            (6, Answer::AcceptMarked(1)),
            (7, Answer::AcceptMarked(1)),
            (8, Answer::AcceptMarked(2)),
        ];

        let messages = written(u32::MAX, &answers);

        let wanted = [(3, 2, 1), (1, 4, 0), (1, 5, 1), (3, 7, 1), (1, 8, 1)];
        assert_eq!(messages, wanted);
    }

    #[test]
    fn without_batch_verdicts_each_packet_has_its_own() {
        let answers = [(1, Answer::Accept), (2, Answer::Accept), (3, Answer::Drop)];

        assert_eq!(written(1, &answers), [(1, 1, 1), (1, 2, 1), (1, 3, 0)]);
    }

    #[test]
    fn a_full_batch_of_answers_fits_the_room_taken_at_the_start() {
        let mut bytes = Vec::with_capacity(32 * VERDICT_BYTES);
        let mut runs = Runs {
            queue: 7,
            longest: 1,
            out: Writer(&mut bytes),
            open: None,
        };

        for id in 0..32 {
            runs.add(id, Answer::AcceptMarked(id));
        }
        runs.end();

        assert_eq!(bytes.len(), 32 * VERDICT_BYTES);
    }

    #[test]
    fn a_gap_in_the_numbers_is_what_we_did_not_see() {
        assert_eq!(gap(0, 1), 0);
        assert_eq!(gap(7, 10), 2);
        assert_eq!(gap(u32::MAX, 2), 2);
        assert_eq!(gap(10, 10), 0);
        assert_eq!(gap(10, 9), 0);
    }

    #[test]
    fn each_error_says_what_to_do_and_has_its_exit_code() {
        let number = 4200;
        let taken = QueueError::Taken { number };

        assert_eq!(taken.exit_code(), 4);
        assert_eq!(QueueError::NoKernelSupport { number }.exit_code(), 3);
        assert_eq!(QueueError::NotPermitted { number }.exit_code(), 1);
        assert!(taken.to_string().contains("4200") && !taken.to_string().contains('\n'));
    }

    #[test]
    fn the_clocks_go_on() {
        let (first, second) = (now(), now());

        assert!(first.mono.0 > 0 && second.mono >= first.mono);
    }
}
