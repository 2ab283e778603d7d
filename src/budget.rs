//! One number of bytes in, the size of every table out.
//!
//! The number comes from a class (`board/S.json` .. `XL.json`, by the router's memory), from a file for its
//! board name, or from the configuration. Everything is taken once at start; resident memory stays under the
//! number whatever traffic does.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::alerts;
use crate::config::Config;
use crate::events::Event;
use crate::flow::{Detail, Flow};

/// Where files that stand above the built-in ones are looked for.
pub const BOARD_DIR: &str = "/usr/share/flowreeve/board";

/// Program text, stacks, netlink and configuration: what an engine with twenty small scripts and no flows
/// has resident, rounded up.
const BASE_BYTES: usize = 4 << 20;
/// A flow's record and its statuses and facts.
const FLOW_BYTES: usize = size_of::<Flow>() + size_of::<Detail>();
/// First bytes of one direction (4 KiB) and the list of what of them has come.
const STREAM_BYTES: usize = 4_800;
/// A host's counters.
const HOST_BYTES: usize = 256;
/// Packets taken from a queue in one go.
const BATCH: usize = 64;
/// What the kernel tells of a packet beside its bytes.
const META_BYTES: usize = 512;
/// Fewer flows than this are no table.
const MIN_FLOWS: u32 = 512;

/// How much of everything there is. Counts are for all packet threads together unless said otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Resident memory of the daemon that is never exceeded.
    pub rss_cap_bytes: usize,
    /// Flows; a power of two.
    pub flows: u32,
    /// Hosts with counters.
    pub hosts: u32,
    /// Memory of all Lua states.
    pub lua_bytes: usize,
    /// Buffers for first bytes, one a direction of a flow under detection.
    pub stream_buffers: u32,
    /// Events on their way to the worker.
    pub event_ring: u32,
    /// Alerts kept to be shown.
    pub alert_ring: u32,
    /// Queues, a packet thread each.
    pub queues: u8,
    /// Bytes of a packet that the kernel copies to us. More than the 4,096 first bytes of a stream with their
    /// headers serves nobody.
    pub copy_range: u32,
    /// Receive buffer of a queue's socket. Kernel memory, and only while packets wait: not in the sum.
    pub recv_buffer_bytes: usize,
}

/// The machine we are on, as far as sizes depend on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    /// Memory the kernel manages.
    pub ram_bytes: u64,
    /// Name of the board as the firmware knows it.
    pub board: Option<String>,
    /// Cores we may use.
    pub cores: usize,
    /// Connections the kernel tracks at most; none if it tracks none.
    pub conntrack_max: Option<u32>,
}

/// Why there is no budget.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // the messages say it
pub enum BudgetError {
    #[error("memory profile '{name}' is unknown: there is no {}, and the built-in ones are {}", file.display(), built_in_names())]
    Unknown { name: String, file: PathBuf },
    #[error("cannot read memory profile {}: {source}", file.display())]
    Read { file: PathBuf, source: io::Error },
    #[error("memory profile {}: {what}", file.display())]
    Wrong { file: PathBuf, what: String },
    #[error("tables of {} KiB do not fit the {} KiB allowed: raise memory_kb, or lower flows, hosts, lua_kb or stream_buffers", needed / 1024, cap / 1024)]
    DoesNotFit { needed: usize, cap: usize },
}

/// A file in `board/`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Board {
    /// For people.
    #[serde(rename = "about")]
    _about: String,
    /// Class whose values hold where this file has none.
    class: Option<String>,
    up_to_ram_mb: Option<u64>,
    memory_kb: Option<u32>,
    flows: Option<u32>,
    hosts: Option<u32>,
    lua_kb: Option<u32>,
    stream_buffers: Option<u32>,
    queues: Option<u8>,
    copy_range: Option<u32>,
    recv_buffer_kb: Option<u32>,
}

impl Board {
    /// What the configuration says of sizes.
    fn of(config: &Config) -> Board {
        Board {
            memory_kb: config.memory_kb,
            flows: config.flows,
            hosts: config.hosts,
            lua_kb: config.lua_kb,
            stream_buffers: config.stream_buffers,
            ..Board::default()
        }
    }

    /// Its own values, and those of `under` where it has none.
    fn over(self, under: Board) -> Board {
        Board {
            memory_kb: self.memory_kb.or(under.memory_kb),
            flows: self.flows.or(under.flows),
            hosts: self.hosts.or(under.hosts),
            lua_kb: self.lua_kb.or(under.lua_kb),
            stream_buffers: self.stream_buffers.or(under.stream_buffers),
            queues: self.queues.or(under.queues),
            copy_range: self.copy_range.or(under.copy_range),
            recv_buffer_kb: self.recv_buffer_kb.or(under.recv_buffer_kb),
            ..self
        }
    }
}

/// Files that are compiled in; classes first, the smallest first.
const BUILT_IN: &[(&str, &str)] = &[
    ("S", include_str!("../board/S.json")),
    ("M", include_str!("../board/M.json")),
    ("L", include_str!("../board/L.json")),
    ("XL", include_str!("../board/XL.json")),
    (
        "cznic,turris-mox",
        include_str!("../board/cznic,turris-mox.json"),
    ),
];
const CLASSES: usize = 4;

fn built_in_names() -> String {
    let names: Vec<&str> = BUILT_IN.iter().map(|(name, _)| *name).collect();
    names.join(", ")
}

impl Budget {
    /// How `cap` bytes are divided where nobody says otherwise: a quarter for Lua, small shares for pools and
    /// rings, and flows of the rest.
    pub const fn split(cap: usize) -> Budget {
        Budget {
            rss_cap_bytes: cap,
            flows: 0,
            hosts: (cap / 12_288) as u32,
            lua_bytes: cap / 4,
            stream_buffers: (cap / 24 / STREAM_BYTES) as u32,
            event_ring: (cap / 32 / size_of::<Event>()) as u32,
            alert_ring: (cap / 96 / size_of::<alerts::Entry>()) as u32,
            queues: 1,
            copy_range: 2_048,
            recv_buffer_bytes: 1 << 20,
        }
        .rest_for_flows()
    }

    /// As many flows as fit beside all else, rounded down to a power of two.
    const fn rest_for_flows(mut self) -> Budget {
        self.flows = 0;
        let rest = self.rss_cap_bytes.saturating_sub(self.resident_bytes());
        self.flows = power_of_two_below((rest / FLOW_BYTES) as u32);
        self
    }

    /// What is taken, how many of it, and bytes of each.
    const fn parts(&self) -> [(&'static str, usize, usize); 8] {
        [
            ("program", 1, BASE_BYTES),
            ("flows", self.flows as usize, FLOW_BYTES),
            ("hosts", self.hosts as usize, HOST_BYTES),
            ("Lua", 1, self.lua_bytes),
            ("stream buffers", self.stream_buffers as usize, STREAM_BYTES),
            (
                "events on their way",
                self.event_ring as usize,
                size_of::<Event>(),
            ),
            (
                "alerts kept",
                self.alert_ring as usize,
                size_of::<alerts::Entry>(),
            ),
            (
                "packets in hand",
                self.queues as usize * BATCH,
                self.copy_range as usize + META_BYTES,
            ),
        ]
    }

    /// Resident memory when everything is full.
    pub const fn resident_bytes(&self) -> usize {
        let parts = self.parts();
        let (mut sum, mut at) = (0usize, 0);
        while at < parts.len() {
            sum = sum.saturating_add(parts[at].1.saturating_mul(parts[at].2));
            at += 1;
        }
        sum
    }

    /// Flows of one packet thread's table; a power of two.
    pub const fn flows_per_queue(&self) -> u32 {
        power_of_two_below(self.flows / self.queues as u32)
    }

    /// Stream buffers of one packet thread.
    pub const fn streams_per_queue(&self) -> u32 {
        self.stream_buffers / self.queues as u32
    }

    /// Events one packet thread may have on their way.
    pub const fn events_per_queue(&self) -> u32 {
        self.event_ring / self.queues as u32
    }

    /// Memory of one Lua state: each packet thread has one, the worker another.
    pub const fn lua_bytes_per_state(&self) -> usize {
        self.lua_bytes / (self.queues as usize + 1)
    }

    /// The budget for `config` on `machine`. Files in `dir` stand above the built-in ones.
    pub fn choose(config: &Config, machine: &Machine, dir: &Path) -> Result<Budget, BudgetError> {
        let name = match (config.profile.as_str(), &machine.board) {
            ("auto", Some(board)) if known(board, dir) => board.clone(),
            ("auto", _) => class_for(machine.ram_bytes, dir)?,
            (named, _) => named.to_owned(),
        };
        let mut board = load(&name, dir)?;
        if let Some(class) = &board.class {
            let class = load(class, dir)?;
            board = board.over(class);
        }
        let sizes = Board::of(config).over(board);
        let wrong = |what: &str| BudgetError::Wrong {
            file: file_of(&name, dir),
            what: what.into(),
        };
        let memory_kb = match sizes.memory_kb {
            Some(kb @ 8_192..=0x10_0000) => kb,
            Some(_) => return Err(wrong("memory_kb must be 8192 to 1048576")),
            None => return Err(wrong("neither memory_kb nor a class that has it")),
        };
        let bytes = |kb: u32| (kb as usize).saturating_mul(1024);
        let mut budget = Budget::split(bytes(memory_kb));
        budget.queues = queues(config, machine, sizes.queues);
        budget.hosts = sizes.hosts.unwrap_or(budget.hosts);
        budget.stream_buffers = sizes.stream_buffers.unwrap_or(budget.stream_buffers);
        budget.lua_bytes = sizes.lua_kb.map_or(budget.lua_bytes, bytes);
        budget.copy_range = sizes.copy_range.unwrap_or(budget.copy_range);
        budget.recv_buffer_bytes = sizes.recv_buffer_kb.map_or(budget.recv_buffer_bytes, bytes);
        if !(256..=65_535).contains(&budget.copy_range) {
            return Err(wrong("copy_range must be 256 to 65535"));
        }
        budget.flows = match sizes.flows {
            Some(..MIN_FLOWS) => return Err(wrong("flows must be 512 or more")),
            Some(flows) => power_of_two_below(flows),
            None => {
                // More slots than connections that can be is memory for nothing.
                let most = machine
                    .conntrack_max
                    .and_then(u32::checked_next_power_of_two);
                let fits = budget.rest_for_flows().flows;
                fits.min(most.unwrap_or(u32::MAX)).max(MIN_FLOWS)
            }
        };
        let (needed, cap) = (budget.resident_bytes(), budget.rss_cap_bytes);
        if needed > cap {
            return Err(BudgetError::DoesNotFit { needed, cap });
        }
        Ok(budget)
    }

    /// A table for people: every size, what it takes, and the sum.
    pub fn describe(&self) -> String {
        use std::fmt::Write as _;
        let mut text = String::new();
        for (what, count, each) in self.parts() {
            let kib = (count * each).div_ceil(1024);
            let _ = match count {
                1 => writeln!(text, "{what:<20} {kib:>8} KiB"),
                _ => writeln!(text, "{what:<20} {kib:>8} KiB  {count} of {each} bytes"),
            };
        }
        let kib = |bytes: usize| bytes.div_ceil(1024);
        let _ = writeln!(
            text,
            "{:<20} {:>8} KiB  of {} KiB allowed",
            "together",
            kib(self.resident_bytes()),
            kib(self.rss_cap_bytes)
        );
        let _ = writeln!(
            text,
            "queues {}, {} bytes of a packet copied, {} KiB socket buffer each",
            self.queues,
            self.copy_range,
            kib(self.recv_buffer_bytes)
        );
        text
    }
}

const _: () = {
    let caps = [8usize << 20, 12 << 20, 24 << 20, 48 << 20, 96 << 20];
    let mut at = 0;
    while at < caps.len() {
        let budget = Budget::split(caps[at]);
        assert!(
            budget.resident_bytes() <= caps[at],
            "a split exceeds its cap"
        );
        assert!(budget.flows >= MIN_FLOWS, "a split without a flow table");
        at += 1;
    }
};

impl Machine {
    /// The machine we run on. What cannot be read counts as small.
    pub fn read() -> Machine {
        let text = |path: &str| fs::read_to_string(path).ok();
        let meminfo = text("/proc/meminfo").unwrap_or_default();
        Machine {
            ram_bytes: mem_total(&meminfo).unwrap_or(64 << 20),
            board: text("/tmp/sysinfo/board_name").map(|name| name.trim().to_owned()),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            conntrack_max: text("/proc/sys/net/netfilter/nf_conntrack_max")
                .and_then(|n| n.trim().parse().ok()),
        }
    }
}

/// `MemTotal` of `/proc/meminfo`, in bytes.
fn mem_total(meminfo: &str) -> Option<u64> {
    let line = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

/// The smallest class made for so much memory.
fn class_for(ram_bytes: u64, dir: &Path) -> Result<String, BudgetError> {
    for (name, _) in &BUILT_IN[..CLASSES] {
        let up_to = load(name, dir)?.up_to_ram_mb;
        if up_to.is_none_or(|mb| ram_bytes <= mb.saturating_mul(1 << 20)) {
            return Ok((*name).into());
        }
    }
    Ok("XL".into())
}

/// As many queues as asked for. On two cores or fewer a second one gains nothing: the kernel's half of the
/// work needs the other core.
fn queues(config: &Config, machine: &Machine, most: Option<u8>) -> u8 {
    let auto = match machine.cores {
        0..=2 => 1,
        cores => u8::try_from(cores).unwrap_or(8).min(most.unwrap_or(1)),
    };
    config.queues.unwrap_or(auto).clamp(1, 8)
}

fn file_of(name: &str, dir: &Path) -> PathBuf {
    dir.join(format!("{name}.json"))
}

/// A board's name comes from the firmware: only one that is a plain file name is looked up.
fn known(name: &str, dir: &Path) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.,+".contains(&b);
    !name.starts_with('.')
        && name.bytes().all(plain)
        && (BUILT_IN.iter().any(|(built_in, _)| *built_in == name) || file_of(name, dir).exists())
}

fn load(name: &str, dir: &Path) -> Result<Board, BudgetError> {
    let file = file_of(name, dir);
    let text = match fs::read_to_string(&file) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            match BUILT_IN.iter().find(|(built_in, _)| *built_in == name) {
                Some((_, text)) => (*text).to_owned(),
                None => {
                    return Err(BudgetError::Unknown {
                        name: name.into(),
                        file,
                    });
                }
            }
        }
        Err(source) => return Err(BudgetError::Read { file, source }),
    };
    serde_json::from_str(&text).map_err(|error| BudgetError::Wrong {
        file,
        what: error.to_string(),
    })
}

const fn power_of_two_below(n: u32) -> u32 {
    match n.checked_ilog2() {
        Some(log) => 1 << log,
        None => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nowhere() -> &'static Path {
        Path::new("/nonexistent/board")
    }

    fn machine(ram_mb: u64, cores: usize) -> Machine {
        Machine {
            ram_bytes: ram_mb << 20,
            board: None,
            cores,
            conntrack_max: None,
        }
    }

    fn chosen(config: &Config, machine: &Machine) -> Budget {
        Budget::choose(config, machine, nowhere()).unwrap()
    }

    #[test]
    fn memory_chooses_the_class() {
        for (ram_mb, cap_mb, flows) in [
            (58, 12, 4_096),
            (116, 12, 4_096),
            (238, 24, 16_384),
            (490, 48, 32_768),
            (980, 96, 65_536),
            (7_800, 96, 65_536),
        ] {
            let budget = chosen(&Config::default(), &machine(ram_mb, 4));

            assert_eq!(
                (budget.rss_cap_bytes, budget.flows),
                (cap_mb << 20, flows),
                "{ram_mb} MiB"
            );
        }
    }

    #[test]
    fn every_class_fits_its_cap_with_all_its_queues() {
        for (name, _) in &BUILT_IN[..CLASSES] {
            let config = Config {
                profile: (*name).into(),
                queues: Some(8),
                ..Config::default()
            };

            let budget = chosen(&config, &machine(100, 8));

            assert!(budget.resident_bytes() <= budget.rss_cap_bytes, "{name}");
            assert!(budget.flows_per_queue() >= 64, "{name}");
        }
    }

    #[test]
    fn a_known_board_stands_above_its_memory() {
        let mox = Machine {
            board: Some("cznic,turris-mox".into()),
            ..machine(1_000, 2)
        };
        let other = Machine {
            board: Some("../../etc/passwd".into()),
            ..machine(1_000, 2)
        };

        assert_eq!(chosen(&Config::default(), &mox).rss_cap_bytes, 48 << 20);
        assert_eq!(chosen(&Config::default(), &other).rss_cap_bytes, 96 << 20);
    }

    #[test]
    fn a_file_stands_above_the_built_in_one_and_says_what_is_wrong_with_it() {
        let dir = std::env::temp_dir().join(format!("flowreeve-board-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        fs::write(
            dir.join("S.json"),
            r#"{"up_to_ram_mb":128,"memory_kb":16384,"flows":1000}"#,
        )
        .unwrap();
        fs::write(dir.join("mine.json"), r#"{"class":"M","lua_kb":2048}"#).unwrap();
        fs::write(dir.join("odd.json"), r#"{"memory":1}"#).unwrap();
        fs::write(dir.join("none.json"), r#"{"class":"M","flows":0}"#).unwrap();
        let of = |profile: &str| {
            let config = Config {
                profile: profile.into(),
                ..Config::default()
            };
            Budget::choose(&config, &machine(100, 1), &dir)
        };

        let (auto, mine) = (of("auto").unwrap(), of("mine").unwrap());
        let [odd, none] = ["odd", "none"].map(|name| of(name).unwrap_err().to_string());

        fs::remove_dir_all(&dir).unwrap();
        assert_eq!((auto.rss_cap_bytes, auto.flows), (16 << 20, 512));
        assert_eq!((mine.rss_cap_bytes, mine.lua_bytes), (24 << 20, 2 << 20));
        assert!(odd.contains("odd.json: unknown field `memory`"), "{odd}");
        assert!(
            none.ends_with("none.json: flows must be 512 or more"),
            "{none}"
        );
    }

    #[test]
    fn the_configuration_stands_above_all() {
        let config = Config {
            memory_kb: Some(32_768),
            lua_kb: Some(1_024),
            hosts: Some(100),
            queues: Some(3),
            ..Config::default()
        };

        let budget = chosen(&config, &machine(100, 1));

        assert_eq!(
            (
                budget.rss_cap_bytes,
                budget.lua_bytes,
                budget.hosts,
                budget.queues
            ),
            (32 << 20, 1 << 20, 100, 3)
        );
        assert_eq!((budget.flows, budget.flows_per_queue()), (32_768, 8_192));
    }

    #[test]
    fn what_does_not_fit_is_refused_with_what_to_do() {
        for config in [
            Config {
                flows: Some(1 << 20),
                ..Config::default()
            },
            Config {
                lua_kb: Some(1 << 19),
                ..Config::default()
            },
        ] {
            let error = Budget::choose(&config, &machine(100, 1), nowhere()).unwrap_err();
            assert!(
                error
                    .to_string()
                    .contains("do not fit the 12288 KiB allowed: raise memory_kb"),
                "{error}"
            );
        }
    }

    #[test]
    fn an_unknown_profile_is_refused_by_name() {
        let config = Config {
            profile: "XXL".into(),
            ..Config::default()
        };

        let error = Budget::choose(&config, &machine(100, 1), nowhere()).unwrap_err();

        assert!(
            error
                .to_string()
                .starts_with("memory profile 'XXL' is unknown"),
            "{error}"
        );
    }

    #[test]
    fn there_are_not_many_more_flows_than_connections_the_kernel_tracks() {
        let small = Machine {
            conntrack_max: Some(15_360),
            ..machine(490, 4)
        };

        assert_eq!(chosen(&Config::default(), &small).flows, 16_384);
    }

    #[test]
    fn two_cores_get_one_queue() {
        for (ram, cores, queues) in [
            (490, 2, 1),
            (490, 4, 2),
            (2_000, 3, 3),
            (2_000, 64, 4),
            (100, 4, 1),
        ] {
            assert_eq!(
                chosen(&Config::default(), &machine(ram, cores)).queues,
                queues,
                "{ram} MiB, {cores} cores"
            );
        }
    }

    #[test]
    fn the_table_for_people_adds_up() {
        let budget = Budget::split(12 << 20);

        let text = budget.describe();

        let together = text
            .lines()
            .find(|line| line.starts_with("together"))
            .unwrap();
        assert!(
            together.contains(&format!(
                "{} KiB  of 12288 KiB allowed",
                budget.resident_bytes().div_ceil(1024)
            )),
            "{text}"
        );
        assert!(
            text.contains(&format!("4096 of {FLOW_BYTES} bytes")),
            "{text}"
        );
    }

    #[test]
    fn memory_is_read_from_the_kernel_s_text() {
        assert_eq!(
            mem_total("MemTotal:         118932 kB\nMemFree: 1 kB\n"),
            Some(118_932 * 1024)
        );
        assert_eq!(mem_total("MemFree: 1 kB\n"), None);
        assert!(Machine::read().cores >= 1);
    }
}
