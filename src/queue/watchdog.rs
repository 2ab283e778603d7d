//! Watches over packet threads: one that has had packets in hand for too long loses its queue, so that
//! the rule's `bypass` (or, failing closed, its drop) holds meanwhile. The kernel notices no hang by itself.
//!
//! A process that is stopped as a whole (SIGSTOP, a frozen cgroup) stops this thread too; only a full queue with
//! fail-open, or whoever supervises the process, helps then.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::socket::Socket;

/// How long packets may be in hand: reliability tests give an outage 300 ms, noticing takes a tenth of this.
pub const LIMIT: Duration = Duration::from_millis(250);

/// Beats when a batch is taken in hand and when it is answered: odd in between. One plain store each.
#[derive(Default)]
pub struct Heart(AtomicU32);

impl Heart {
    /// Packets are in hand.
    pub(super) fn begin(&self) {
        self.0.store(self.beat() | 1, Ordering::Relaxed); // one writer, so no read-modify-write
    }

    /// They are answered.
    pub(super) fn done(&self) {
        self.0
            .store((self.beat() | 1).wrapping_add(1), Ordering::Relaxed);
    }

    fn beat(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What the watchdog needs of a queue. Holding it does not keep the queue open.
#[derive(Clone)]
pub struct Watched {
    pub(super) number: u16,
    pub(super) heart: Arc<Heart>,
    pub(super) socket: Arc<Socket>,
}

/// When a heart last beat, and whether something was done about it.
struct Pulse {
    beat: u32,
    since: Instant,
    released: bool,
}

impl Pulse {
    fn new(now: Instant) -> Pulse {
        Pulse {
            beat: 0,
            since: now,
            released: false,
        }
    }

    /// True once for each time the heart stops for longer than `limit` with packets in hand.
    fn stopped(&mut self, beat: u32, now: Instant, limit: Duration) -> bool {
        if beat != self.beat {
            *self = Pulse {
                beat,
                ..Pulse::new(now)
            };
        }
        let stopped = beat % 2 == 1 && !self.released && now.duration_since(self.since) > limit;
        self.released |= stopped;
        stopped
    }
}

/// The watching thread; ends when dropped.
pub struct Watchdog {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Watchdog {
    /// Watches over `queues` from now on; packets may be in hand for `limit` ([`LIMIT`]), give or take a tenth.
    /// Errors: no thread to be had.
    pub fn start(limit: Duration, queues: Vec<Watched>) -> io::Result<Watchdog> {
        let (stop, stopped) = mpsc::channel::<()>();
        let thread = thread::Builder::new()
            .name("watchdog".into())
            .spawn(move || {
                let mut pulses: Vec<Pulse> =
                    queues.iter().map(|_| Pulse::new(Instant::now())).collect();
                while stopped.recv_timeout(limit / 10) == Err(RecvTimeoutError::Timeout) {
                    watch(&queues, &mut pulses, limit);
                }
            })?;
        Ok(Watchdog {
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join(); // it does nothing that could panic; if it did, there is nothing to add here
        }
    }
}

fn watch(queues: &[Watched], pulses: &mut [Pulse], limit: Duration) {
    for (queue, pulse) in queues.iter().zip(pulses) {
        if pulse.stopped(queue.heart.beat(), Instant::now(), limit) {
            queue.socket.release(); // first: the log may be what hangs
            log::error!(
                "queue {}: packets without an answer for over {} ms; closed it, traffic goes by the rule's bypass until its thread is back",
                queue.number,
                limit.as_millis()
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_thread_is_never_stuck() {
        let start = Instant::now();
        let mut pulse = Pulse::new(start);

        assert!(!pulse.stopped(0, start + Duration::from_secs(3600), LIMIT));
        assert!(!pulse.stopped(4, start + Duration::from_secs(7200), LIMIT));
    }

    #[test]
    fn a_thread_that_answers_slowly_but_in_time_is_not_stuck() {
        let start = Instant::now();
        let mut pulse = Pulse::new(start);

        for batch in 0..100 {
            let at = start + LIMIT * batch;
            assert!(!pulse.stopped(batch * 2 + 1, at, LIMIT));
        }
    }

    #[test]
    fn packets_in_hand_for_too_long_are_noticed_once() {
        let start = Instant::now();
        let mut pulse = Pulse::new(start);
        pulse.stopped(7, start, LIMIT);

        assert!(!pulse.stopped(7, start + LIMIT, LIMIT));
        assert!(pulse.stopped(7, start + LIMIT * 2, LIMIT));
        assert!(!pulse.stopped(7, start + LIMIT * 3, LIMIT));
    }

    #[test]
    fn a_second_hang_is_noticed_like_the_first() {
        let start = Instant::now();
        let mut pulse = Pulse::new(start);
        pulse.stopped(1, start, LIMIT);
        assert!(pulse.stopped(1, start + LIMIT * 2, LIMIT));

        pulse.stopped(3, start + LIMIT * 3, LIMIT);

        assert!(pulse.stopped(3, start + LIMIT * 5, LIMIT));
    }

    #[test]
    fn a_heart_is_odd_while_packets_are_in_hand() {
        let heart = Heart::default();

        heart.begin();
        let in_hand = heart.beat();
        heart.done();

        assert_eq!(in_hand % 2, 1);
        assert_eq!(heart.beat() % 2, 0);
        assert_ne!(heart.beat(), in_hand.wrapping_sub(1));
    }

    #[test]
    fn a_stuck_queue_loses_its_socket_and_an_idle_one_keeps_it() {
        let (Ok(stuck), Ok(idle)) = (Socket::open(), Socket::open()) else {
            return; // a kernel without netfilter
        };
        let queues = [stuck, idle].map(|socket| Watched {
            number: 0,
            heart: Arc::default(),
            socket: Arc::new(socket),
        });
        queues[0].heart.begin();
        let mut pulses = queues
            .each_ref()
            .map(|_| Pulse::new(Instant::now() - LIMIT * 3));
        pulses[0].beat = 1;

        watch(&queues, &mut pulses, LIMIT);

        assert!(queues[0].socket.receive_buffer(4096).is_err());
        assert!(queues[1].socket.receive_buffer(4096).is_ok());
    }
}
