//! Where event lines go: standard output, a file of bounded size, the system log.
//!
//! Used by the worker. No output makes it wait, and none that fails stops anything: what cannot be written is
//! counted, and the first failure in a row is logged.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, channel, sync_channel};
use std::thread;
use std::time::Duration;

use super::eve::{self, Context};
use super::{Event, Kind};
use crate::config;
use crate::counters::Counters;
use crate::logging::{DEV_LOG, Severity, Syslog};
use crate::time::{Micros, Now};

/// Lines that may wait for a slow reader of standard output.
const WAITING_LINES: usize = 256;
/// How long a slow reader is waited for at the end.
const LAST_LINES: Duration = Duration::from_secs(1);

/// All outputs of the configuration.
pub struct Outputs {
    sinks: Vec<Sink>,
    line: Vec<u8>,
    /// Lines written, an output each.
    pub lines: u64,
    /// Lines an output could not take.
    pub lost: u64,
}

struct Sink {
    kinds: Vec<Kind>,
    to: To,
    failing: bool,
}

enum To {
    Stream(Stream),
    File(Rotating),
    Syslog(Option<Syslog>, PathBuf),
}

impl Outputs {
    /// The outputs that are enabled. A file is opened with its first line.
    pub fn open(outputs: &[config::Eve]) -> Outputs {
        let used = outputs.iter().filter(|eve| eve.enabled);
        let sink = |eve: &config::Eve| {
            let to = match &eve.output {
                config::Output::Off => return None,
                config::Output::Stdout => To::Stream(Stream::new(io::stdout())),
                config::Output::Syslog => To::Syslog(None, DEV_LOG.into()),
                config::Output::File(path) => {
                    To::File(Rotating::new(path, u64::from(eve.max_kb) * 1024))
                }
            };
            Some(Sink {
                kinds: eve.kinds.clone(),
                to,
                failing: false,
            })
        };
        Outputs {
            sinks: used.filter_map(sink).collect(),
            line: Vec::new(),
            lines: 0,
            lost: 0,
        }
    }

    /// Whether any output takes events of this kind.
    pub fn wants(&self, kind: Kind) -> bool {
        self.sinks.iter().any(|sink| sink.kinds.contains(&kind))
    }

    /// Writes the line of `event` to whoever takes its kind.
    pub fn event(&mut self, event: &Event, context: &Context) {
        let (Event::FlowEnd(record, _)
        | Event::Alert(record, _)
        | Event::Drop(record)
        | Event::Detected(record)) = event;
        if let Some(kind) = event.kind().filter(|kind| self.wants(*kind)) {
            self.line.clear();
            context.line(event, &mut self.line);
            self.write(kind, record.now.wall);
        }
    }

    /// Writes a line of counters; `uptime` since start.
    pub fn stats(&mut self, now: Now, uptime: Micros, counters: &Counters) {
        if self.wants(Kind::Stats) {
            self.line.clear();
            eve::stats(now.wall, uptime, counters, &mut self.line);
            self.write(Kind::Stats, now.wall);
        }
    }

    fn write(&mut self, kind: Kind, wall: Micros) {
        for sink in self
            .sinks
            .iter_mut()
            .filter(|sink| sink.kinds.contains(&kind))
        {
            match sink.to.write(&self.line, wall) {
                Ok(()) => {
                    self.lines += 1;
                    sink.failing = false;
                }
                Err(error) => {
                    self.lost += 1;
                    if !sink.failing {
                        log::warn!("event lines are lost: {}: {error}", sink.to.name());
                    }
                    sink.failing = true;
                }
            }
        }
    }
}

impl To {
    fn write(&mut self, line: &[u8], wall: Micros) -> io::Result<()> {
        match self {
            To::Stream(stream) => stream.write(line),
            To::File(file) => file.write(line),
            To::Syslog(socket, path) => {
                let syslog = match socket {
                    Some(syslog) => syslog,
                    None => socket.insert(Syslog::open(path)?),
                };
                syslog.send(Severity::Info, wall, line.trim_ascii_end())
            }
        }
    }

    fn name(&self) -> String {
        match self {
            To::Stream(_) => "standard output".into(),
            To::File(file) => file.path.display().to_string(),
            To::Syslog(_, path) => format!("system log {}", path.display()),
        }
    }
}

/// A writer that may block, behind a thread of its own and a bounded queue.
struct Stream {
    lines: Option<SyncSender<Vec<u8>>>,
    done: Receiver<()>,
}

impl Stream {
    fn new(mut to: impl Write + Send + 'static) -> Stream {
        let (lines, waiting) = sync_channel::<Vec<u8>>(WAITING_LINES);
        let (end, done) = channel();
        let write = move || {
            // Ends with its sender, or with the first line that cannot be written.
            let _ = waiting
                .iter()
                .try_for_each(|line| to.write_all(&line).and_then(|()| to.flush()));
            drop(waiting);
            let _ = end.send(()); // whoever waited may be gone
        };
        // Without the thread `waiting` is gone, and each line is counted as lost.
        let _ = thread::Builder::new()
            .name("eve-stdout".into())
            .stack_size(128 << 10)
            .spawn(write);
        Stream {
            lines: Some(lines),
            done,
        }
    }

    fn write(&mut self, line: &[u8]) -> io::Result<()> {
        let lines = self.lines.as_ref().expect("taken only when dropped");
        lines
            .try_send(line.to_vec())
            .map_err(|error| io::Error::other(error.to_string()))
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.lines = None;
        let _ = self.done.recv_timeout(LAST_LINES); // what then still waits is lost
    }
}

/// A file that with its predecessor stays within a size.
struct Rotating {
    path: PathBuf,
    /// At this length a file becomes the predecessor.
    most_bytes: u64,
    open: Option<(File, u64)>,
    /// The last line may have been cut short.
    torn: bool,
}

impl Rotating {
    fn new(path: &Path, together_bytes: u64) -> Rotating {
        Rotating {
            path: path.into(),
            most_bytes: together_bytes / 2,
            open: None,
            torn: false,
        }
    }

    fn write(&mut self, line: &[u8]) -> io::Result<()> {
        let result = self.try_write(line);
        if result.is_err() {
            self.open = None;
            self.torn = true;
        }
        result
    }

    fn try_write(&mut self, line: &[u8]) -> io::Result<()> {
        if self.open.is_none() {
            self.open = Some(self.opened()?);
        }
        let (_, length) = self.open.as_ref().expect("opened above");
        if *length > 0 && length + line.len() as u64 + 1 > self.most_bytes {
            self.open = None;
            fs::rename(&self.path, predecessor(&self.path))?;
            self.torn = false;
            self.open = Some(self.opened()?);
        }
        let (file, length) = self.open.as_mut().expect("opened above");
        if std::mem::take(&mut self.torn) && *length > 0 {
            file.write_all(b"\n")?;
            *length += 1;
        }
        file.write_all(line)?;
        *length += line.len() as u64;
        Ok(())
    }

    fn opened(&self) -> io::Result<(File, u64)> {
        let file = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o640)
            .open(&self.path)?;
        let length = file.metadata()?.len();
        Ok((file, length))
    }
}

fn predecessor(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".1");
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Eve, Mode, Output};
    use crate::events::eve::tests::Few;
    use crate::events::tests::{alert, record};
    use std::os::unix::net::UnixDatagram;
    use std::sync::{Arc, Mutex};

    /// A folder of its own, gone with it.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Folder {
            let path =
                std::env::temp_dir().join(format!("flowreeve-{name}-{}", std::process::id()));
            let _ = fs::remove_dir_all(&path);
            fs::create_dir_all(&path).unwrap();
            Folder(path)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn context(config: &Config) -> Context<'_> {
        Context {
            names: &Few,
            places: config,
            mode: Mode::Enforce,
            score_mode: config.score_mode,
        }
    }

    #[test]
    fn an_output_gets_the_kinds_it_asked_for() {
        let folder = Folder::new("kinds");
        let path = folder.0.join("eve.json");
        let eve = Eve {
            output: Output::File(path.clone()),
            kinds: vec![Kind::Drop, Kind::Stats],
            ..Eve::default()
        };
        let unused = Eve {
            enabled: false,
            output: Output::File("/nonexistent/x".into()),
            ..Eve::default()
        };
        let mut outputs = Outputs::open(&[eve, unused, Eve::default()]);
        let config = Config::default();

        outputs.event(&Event::Alert(record(), alert()), &context(&config));
        outputs.event(&Event::Drop(record()), &context(&config));
        outputs.stats(Now::default(), Micros::from_secs(5), &Counters::default());

        let text = fs::read_to_string(&path).unwrap();
        let kinds: Vec<String> = text
            .lines()
            .map(|line| {
                serde_json::from_str::<serde_json::Value>(line).unwrap()["event_type"].to_string()
            })
            .collect();
        assert_eq!(kinds, ["\"drop\"", "\"stats\""]);
        assert_eq!((outputs.lines, outputs.lost), (2, 0));
        assert!(!outputs.wants(Kind::Alert));
    }

    #[test]
    fn a_file_and_its_predecessor_stay_within_their_size() {
        let folder = Folder::new("size");
        let path = folder.0.join("eve.json");
        let mut file = Rotating::new(&path, 1_000);

        for n in 0..100 {
            file.write(format!("{n:>29}\n").as_bytes()).unwrap();
            let sizes =
                [&path, &predecessor(&path)].map(|p| fs::metadata(p).map_or(0, |m| m.len()));
            assert!(sizes.iter().sum::<u64>() <= 1_000, "{sizes:?}");
        }

        let (now, before) = (
            fs::read_to_string(&path).unwrap(),
            fs::read_to_string(predecessor(&path)).unwrap(),
        );
        let numbers: Vec<u32> = before
            .lines()
            .chain(now.lines())
            .map(|line| line.trim().parse().unwrap())
            .collect();
        assert!(numbers.len() >= 16);
        assert_eq!(
            numbers,
            (100 - numbers.len() as u32..100).collect::<Vec<_>>()
        );
    }

    #[test]
    fn a_file_that_is_there_is_continued() {
        let folder = Folder::new("continue");
        let path = folder.0.join("eve.json");

        Rotating::new(&path, 1_000).write(b"one\n").unwrap();
        Rotating::new(&path, 1_000).write(b"two\n").unwrap();

        assert_eq!(fs::read_to_string(&path).unwrap(), "one\ntwo\n");
    }

    #[test]
    fn what_cannot_be_written_is_counted_and_writing_goes_on_when_it_can() {
        let folder = Folder::new("lost");
        let path = folder.0.join("later/eve.json");
        let eve = Eve {
            output: Output::File(path.clone()),
            ..Eve::default()
        };
        let mut outputs = Outputs::open(&[eve]);
        let config = Config::default();

        outputs.event(&Event::Drop(record()), &context(&config));
        assert_eq!((outputs.lines, outputs.lost), (0, 1));
        fs::create_dir(folder.0.join("later")).unwrap();
        outputs.event(&Event::Drop(record()), &context(&config));

        assert_eq!((outputs.lines, outputs.lost), (1, 1));
        assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 1);
    }

    #[test]
    fn the_system_log_gets_a_datagram_a_line() {
        let folder = Folder::new("syslog");
        let path = folder.0.join("log");
        let listener = UnixDatagram::bind(&path).unwrap();

        To::Syslog(None, path)
            .write(b"{\"a\":1}\n", Micros(0))
            .unwrap();

        let mut buffer = [0; 200];
        let length = listener.recv(&mut buffer).unwrap();
        assert!(buffer[..length].starts_with(b"<30>Jan  1 00:00:00 flowreeve["));
        assert!(buffer[..length].ends_with(b": {\"a\":1}"));
    }

    /// Takes lines only once the gate is open.
    struct Slow {
        gate: Receiver<()>,
        taken: Arc<Mutex<Vec<u8>>>,
    }

    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.gate.recv(); // an error is an open gate
            self.taken.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_does_not_read_costs_lines_and_no_time() {
        let (open, gate) = channel();
        let taken = Arc::new(Mutex::new(Vec::new()));
        let mut stream = Stream::new(Slow {
            gate,
            taken: Arc::clone(&taken),
        });

        let lost = (0..2 * WAITING_LINES)
            .filter(|_| stream.write(b"line\n").is_err())
            .count();
        drop(open);
        drop(stream);

        assert!(
            (WAITING_LINES - 1..=WAITING_LINES).contains(&lost),
            "{lost}"
        );
        assert_eq!(taken.lock().unwrap().len(), 5 * (2 * WAITING_LINES - lost));
    }

    #[test]
    fn a_reader_that_is_gone_is_an_error_and_not_an_end() {
        struct Gone;
        impl Write for Gone {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let mut stream = Stream::new(Gone);

        let _ = stream.write(b"line\n");
        stream.done.recv().unwrap();

        assert!(stream.write(b"line\n").is_err());
    }
}
