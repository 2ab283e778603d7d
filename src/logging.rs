//! Our own log lines: to people on stderr, or to the router's log; at most a few of a kind.
//!
//! Nothing on the packet path logs; it counts. `log`'s levels are used, and [`NOTICE`] as the target of
//! lines that an owner wants to see without asking for `info`: what was blocked, what changed.

use std::collections::hash_map::DefaultHasher;
use std::fmt::Write as _;
use std::hash::{Hash, Hasher};
use std::io::{self, IsTerminal, Write};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use log::{Level, LevelFilter, Log, Metadata, Record};

use crate::config::LogLevel;
use crate::time::date::Date;
use crate::time::{Micros, Now};

/// Target that lifts an `info!` line to syslog's "notice": `info!(target: NOTICE, ...)`.
pub const NOTICE: &str = "notice";
/// Socket of the system log.
pub const DEV_LOG: &str = "/dev/log";
/// Lines of one call site that may come at once; afterwards one a second.
const BURST: u8 = 5;
/// Call sites remembered.
const SITES: usize = 64;
/// OpenWrt's logd cuts what is longer than 1,024 bytes with its head.
const MAX_LINE: usize = 960;

/// Where lines go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum To {
    /// Stderr if it is a terminal or there is no system log, else the system log.
    Auto,
    /// Stderr.
    Stderr,
}

/// How urgent a line is, in syslog's numbers (RFC 5424, 6.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)] // the names say it
pub enum Severity {
    Error = 3,
    Warn = 4,
    Notice = 5,
    Info = 6,
    Debug = 7,
}

impl Severity {
    fn of(metadata: &Metadata) -> Severity {
        match metadata.level() {
            Level::Error => Severity::Error,
            Level::Warn => Severity::Warn,
            Level::Info if metadata.target() == NOTICE => Severity::Notice,
            Level::Info => Severity::Info,
            Level::Debug | Level::Trace => Severity::Debug,
        }
    }

    fn least(level: LogLevel) -> Severity {
        match level {
            LogLevel::Error => Severity::Error,
            LogLevel::Warn => Severity::Warn,
            LogLevel::Notice => Severity::Notice,
            LogLevel::Info => Severity::Info,
            LogLevel::Debug => Severity::Debug,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Severity::Error => "error",
            Severity::Warn => "warning",
            Severity::Notice => "notice",
            Severity::Info => "info",
            Severity::Debug => "debug",
        }
    }
}

static LOGGER: OnceLock<Logger> = OnceLock::new();

/// Begins logging. To be called once, early in `main`; a second call only sets the level.
pub fn init(level: LogLevel, to: To) {
    let logger = LOGGER.get_or_init(|| {
        let syslog = match to {
            To::Auto if !io::stderr().is_terminal() => Syslog::open(Path::new(DEV_LOG)).ok(),
            To::Auto | To::Stderr => None,
        };
        match syslog {
            Some(mut syslog) => Logger::new(clock, move |severity, text, now| {
                let _ = syslog.send(severity, now.wall, text.as_bytes()); // nobody to tell
            }),
            None => Logger::new(clock, |severity, text, _| {
                let _ = writeln!(io::stderr(), "{}: {text}", severity.word());
            }),
        }
    });
    let _ = log::set_logger(logger); // fails only if it is set already
    set_level(level);
}

/// Changes the least important lines that are written.
pub fn set_level(level: LogLevel) {
    if let Some(logger) = LOGGER.get() {
        logger.set_level(level);
        log::set_max_level(match level {
            LogLevel::Error => LevelFilter::Error,
            LogLevel::Warn => LevelFilter::Warn,
            LogLevel::Notice | LogLevel::Info => LevelFilter::Info,
            LogLevel::Debug => LevelFilter::Debug,
        });
    }
}

fn clock() -> Now {
    static START: OnceLock<Instant> = OnceLock::new();
    let micros =
        |passed: std::time::Duration| Micros(u64::try_from(passed.as_micros()).unwrap_or(u64::MAX));
    Now {
        mono: micros(START.get_or_init(Instant::now).elapsed()),
        wall: SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map(micros)
            .unwrap_or_default(),
    }
}

/// Where finished lines go.
type Sink = Box<dyn FnMut(Severity, &str, Now) + Send>;

/// Behind `log`'s macros. Its `flush` says what was suppressed; the worker calls it now and then.
struct Logger {
    least: AtomicU8,
    clock: fn() -> Now,
    state: Mutex<(Limiter, Sink)>,
}

impl Logger {
    fn new(clock: fn() -> Now, sink: impl FnMut(Severity, &str, Now) + Send + 'static) -> Logger {
        Logger {
            least: AtomicU8::new(Severity::Notice as u8),
            clock,
            state: Mutex::new((Limiter::default(), Box::new(sink))),
        }
    }

    fn set_level(&self, level: LogLevel) {
        self.least
            .store(Severity::least(level) as u8, Ordering::Relaxed);
    }
}

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata) -> bool {
        Severity::of(metadata) as u8 <= self.least.load(Ordering::Relaxed)
    }

    fn log(&self, record: &Record) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let severity = Severity::of(record.metadata());
        let mut text = one_line(record);
        let now = (self.clock)();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (limiter, sink) = &mut *state;
        if let Some(suppressed) = limiter.admit(site(record), severity, &text, now.mono) {
            if suppressed > 0 {
                let _ = write!(text, " ({suppressed} more like this were suppressed)");
            }
            sink(severity, &text, now);
        }
    }

    fn flush(&self) {
        let now = (self.clock)();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (limiter, sink) = &mut *state;
        limiter.overdue(now.mono, |severity, suppressed, last| {
            sink(
                severity,
                &format!("{suppressed} lines were suppressed, the last of them: {last}"),
                now,
            );
        });
    }
}

/// The text on one line, cut, with nothing in it that could move a cursor.
fn one_line(record: &Record) -> String {
    let mut text = String::new();
    for c in record.args().to_string().chars() {
        if text.len() >= MAX_LINE {
            text.push('…');
            break;
        }
        match c {
            '\n' => text.push(' '),
            c if c.is_control() => text.extend(c.escape_default()),
            c => text.push(c),
        }
    }
    text
}

/// Where in our code a line comes from.
fn site(record: &Record) -> u64 {
    let mut hasher = DefaultHasher::new();
    match (record.file(), record.line()) {
        (Some(file), Some(line)) => (file, line).hash(&mut hasher),
        _ => (record.target(), record.args().as_str()).hash(&mut hasher),
    }
    hasher.finish()
}

/// At most a few lines of one call site: a bucket of [`BURST`] tokens each, refilled by one a second.
struct Limiter {
    sites: [Site; SITES],
}

#[derive(Clone, Default)]
struct Site {
    key: Option<u64>,
    tokens: u8,
    /// When tokens were last added.
    filled: Micros,
    suppressed: u32,
    severity: Option<Severity>,
    /// Beginning of the last line suppressed.
    last: heapless::String<120>,
}

impl Default for Limiter {
    fn default() -> Self {
        Limiter {
            sites: std::array::from_fn(|_| Site::default()),
        }
    }
}

impl Limiter {
    /// Whether a line may go: with how many were suppressed before it, or none if it may not.
    fn admit(&mut self, key: u64, severity: Severity, text: &str, now: Micros) -> Option<u32> {
        let at = self
            .sites
            .iter()
            .position(|site| site.key == Some(key))
            .unwrap_or_else(|| {
                let oldest = |at: &usize| (self.sites[*at].suppressed > 0, self.sites[*at].filled);
                let at = (0..SITES).min_by_key(oldest).expect("SITES > 0");
                self.sites[at] = Site {
                    key: Some(key),
                    tokens: BURST,
                    filled: now,
                    ..Site::default()
                };
                at
            });
        let site = &mut self.sites[at];
        site.refill(now);
        if site.tokens == 0 {
            site.suppressed = site.suppressed.saturating_add(1);
            site.severity = Some(severity);
            site.last.clear();
            for c in text.chars() {
                if site.last.push(c).is_err() {
                    break;
                }
            }
            return None;
        }
        site.tokens -= 1;
        Some(std::mem::take(&mut site.suppressed))
    }

    /// Tells of sites that have something suppressed and could speak again, and forgets it.
    fn overdue(&mut self, now: Micros, mut tell: impl FnMut(Severity, u32, &str)) {
        for site in &mut self.sites {
            site.refill(now);
            if let (1.., 1.., Some(severity)) = (site.tokens, site.suppressed, site.severity) {
                site.tokens -= 1;
                tell(severity, std::mem::take(&mut site.suppressed), &site.last);
            }
        }
    }
}

impl Site {
    fn refill(&mut self, now: Micros) {
        let secs = now.since(self.filled).as_secs();
        if secs > 0 {
            let more = u8::try_from(secs).unwrap_or(u8::MAX);
            self.tokens = self.tokens.saturating_add(more).min(BURST);
            self.filled = self.filled + Micros::from_secs(secs);
        }
    }
}

/// The system log by its datagram socket, in the form of RFC 3164 that every syslog daemon reads. Never waits.
pub struct Syslog {
    socket: UnixDatagram,
    path: PathBuf,
    frame: Vec<u8>,
}

impl Syslog {
    /// Fails if nobody listens on `path`.
    pub fn open(path: &Path) -> io::Result<Syslog> {
        let socket = UnixDatagram::unbound()?;
        socket.connect(path)?; // only to see that it is there: it may be replaced later
        let socket = UnixDatagram::unbound()?;
        socket.set_nonblocking(true)?;
        Ok(Syslog {
            socket,
            path: path.into(),
            frame: Vec::with_capacity(MAX_LINE + 80),
        })
    }

    /// Sends one line, as our daemon, with UTC as its time (logd replaces it by its own).
    pub fn send(&mut self, severity: Severity, wall: Micros, text: &[u8]) -> io::Result<()> {
        self.frame.clear();
        frame(severity, wall, std::process::id(), text, &mut self.frame);
        self.socket.send_to(&self.frame, &self.path).map(|_| ())
    }
}

fn frame(severity: Severity, wall: Micros, pid: u32, text: &[u8], out: &mut Vec<u8>) {
    const DAEMON: u8 = 3 << 3; // facility
    let at = Date::of(wall);
    let _ = write!(
        out,
        "<{}>{} {:2} {:02}:{:02}:{:02} flowreeve[{pid}]: ",
        DAEMON | severity as u8,
        at.month_name(),
        at.day,
        at.hour,
        at.minute,
        at.second
    ); // a vector takes all
    out.extend_from_slice(text);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::AtomicU64;

    type Lines = Arc<Mutex<Vec<String>>>;

    fn logger(clock: fn() -> Now) -> (Logger, Lines) {
        let lines = Lines::default();
        let kept = Arc::clone(&lines);
        let logger = Logger::new(clock, move |severity, text, _| {
            kept.lock()
                .unwrap()
                .push(format!("{}: {text}", severity.word()));
        });
        (logger, lines)
    }

    fn say(logger: &Logger, level: Level, target: &str, line: u32, text: &str) {
        let mut record = Record::builder();
        record
            .level(level)
            .target(target)
            .file(Some("x.rs"))
            .line(Some(line));
        logger.log(&record.args(format_args!("{text}")).build());
    }

    fn taken(lines: &Lines) -> Vec<String> {
        std::mem::take(&mut lines.lock().unwrap())
    }

    #[test]
    fn the_level_decides_what_is_written_and_a_notice_is_above_info() {
        let (logger, lines) = logger(Now::default);
        let all = |logger: &Logger| {
            say(logger, Level::Error, "a", 1, "broken");
            say(logger, Level::Info, NOTICE, 2, "blocked");
            say(logger, Level::Info, "a", 3, "loaded");
        };

        logger.set_level(LogLevel::Notice);
        all(&logger);
        assert_eq!(taken(&lines), ["error: broken", "notice: blocked"]);

        logger.set_level(LogLevel::Info);
        all(&logger);
        assert_eq!(
            taken(&lines),
            ["error: broken", "notice: blocked", "info: loaded"]
        );
    }

    #[test]
    fn a_site_that_repeats_itself_is_suppressed_and_the_count_is_told() {
        static TIME: AtomicU64 = AtomicU64::new(0);
        let (logger, lines) = logger(|| Now::at(Micros::from_secs(TIME.load(Ordering::Relaxed))));

        for _ in 0..105 {
            say(&logger, Level::Warn, "a", 1, "again");
        }
        say(&logger, Level::Warn, "a", 2, "other");
        assert_eq!(taken(&lines).len(), usize::from(BURST) + 1);

        TIME.store(1, Ordering::Relaxed);
        say(&logger, Level::Warn, "a", 1, "again");
        say(&logger, Level::Warn, "a", 1, "again");
        assert_eq!(
            taken(&lines),
            ["warning: again (100 more like this were suppressed)"]
        );

        TIME.store(2, Ordering::Relaxed);
        logger.flush();
        logger.flush();
        assert_eq!(
            taken(&lines),
            ["warning: 1 lines were suppressed, the last of them: again"]
        );
    }

    #[test]
    fn more_sites_than_remembered_still_get_their_lines() {
        let (logger, lines) = logger(Now::default);

        for line in 0..10 * SITES as u32 {
            say(&logger, Level::Warn, "a", line, "once");
        }

        assert_eq!(taken(&lines).len(), 10 * SITES);
    }

    #[test]
    fn a_line_is_one_line_and_bounded() {
        let (logger, lines) = logger(Now::default);

        say(&logger, Level::Warn, "a", 1, "one\ntwo\u{1b}[2J");
        say(&logger, Level::Warn, "a", 2, &"x".repeat(5_000));

        let lines = taken(&lines);
        assert_eq!(lines[0], r"warning: one two\u{1b}[2J");
        assert!(lines[1].len() < MAX_LINE + 20);
    }

    #[test]
    fn a_datagram_has_priority_time_and_tag() {
        let mut out = Vec::new();

        frame(
            Severity::Notice,
            Micros::from_secs(1_767_323_045),
            42,
            b"hello",
            &mut out,
        );

        assert_eq!(
            String::from_utf8(out).unwrap(),
            "<29>Jan  2 03:04:05 flowreeve[42]: hello"
        );
    }

    #[test]
    fn the_system_log_gets_datagrams_and_its_absence_is_an_error() {
        let path = std::env::temp_dir().join(format!("flowreeve-log-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        assert!(Syslog::open(&path).is_err());
        let listener = UnixDatagram::bind(&path).unwrap();

        let mut syslog = Syslog::open(&path).unwrap();
        syslog.send(Severity::Info, Micros(0), b"line").unwrap();

        let mut buffer = [0; 200];
        let length = listener.recv(&mut buffer).unwrap();
        assert!(buffer[..length].starts_with(b"<30>Jan  1 00:00:00 flowreeve["));
        assert!(buffer[..length].ends_with(b"]: line"));
        drop(listener);
        std::fs::remove_file(&path).unwrap();
        assert!(syslog.send(Severity::Info, Micros(0), b"line").is_err());
    }
}
