//! `Config`: all a user may set, with defaults; valid once it exists.
//!
//! It comes from the router's own file (UCI) or from the normalised JSON that `check-config --write` makes
//! of it. What each option may be stands in one table ([`options`]), which both ways in obey. Settings of
//! scripts are not here: they live in `scripts.json`.

pub mod address;
mod options;
mod sections;
pub mod uci;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::score::ScoreMode;
use crate::verdict::Action;
pub use address::{Cidr, Mac};
pub use sections::{Auth, Eve, Exempt, Output, ScriptRule, Web};

/// Where the router keeps it.
pub const UCI_FILE: &str = "/etc/config/flowreeve";
/// Largest file read.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// All a user may set. The documented file `openwrt/flowreeve/files/flowreeve.config` says the same in the
/// user's words; a test holds both together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Whether the service inspects at all. Default no.
    pub enabled: bool,
    /// Version of the options' meaning, for migrations. Default 1.
    pub config_version: u32,
    /// Whether verdicts are put into effect. Default monitor.
    pub mode: Mode,
    /// Flow score that must be exceeded for [`Config::action`], 1..=65535. Default 100.
    pub threshold: u16,
    /// Flow score that must be exceeded for the flow to be marked, below `threshold`. Default none.
    pub mark_threshold: Option<u16>,
    /// What is done with a flow over the threshold. Default drop.
    pub action: Action,
    /// How the statuses of a flow become one score. Default event.
    pub score_mode: ScoreMode,
    /// Logical networks whose forwarded traffic is inspected. Default lan.
    #[serde(rename = "network")]
    pub networks: Vec<String>,
    /// Interfaces by their kernel names, for use without logical networks. Default none.
    #[serde(rename = "device")]
    pub devices: Vec<String>,
    /// Networks whose hosts are our own. Default the private, link-local and loopback ranges.
    #[serde(rename = "local_network")]
    pub local_networks: Vec<Cidr>,
    /// Memory profile: `auto`, a class (S, M, L, XL) or the name of a board file. Default auto.
    pub profile: String,
    /// Memory of the whole daemon, KiB, in place of the profile's. Default the profile's.
    pub memory_kb: Option<u32>,
    /// Flows in the tables, rounded down to a power of two. Default the profile's.
    pub flows: Option<u32>,
    /// Hosts counted. Default the profile's.
    pub hosts: Option<u32>,
    /// Memory of all Lua states, KiB. Default the profile's.
    pub lua_kb: Option<u32>,
    /// Flows whose first bytes are kept at a time, a direction each. Default the profile's.
    pub stream_buffers: Option<u32>,
    /// First NFQUEUE number. Default 4200.
    pub queue_base: u16,
    /// Number of queues, 1..=8. Default chosen by cores and profile.
    #[serde(with = "options::auto")]
    pub queues: Option<u8>,
    /// Whether traffic passes when we cannot keep up or are gone. Default yes.
    pub fail_open: bool,
    /// The four mark bits that are ours. Default 0x0f000000.
    pub ct_mask: CtMask,
    /// What is done about the firewall's flow offloading. Default auto.
    pub offload: Offload,
    /// Packets of a flow until detection gives up, 1..=255. Default 12.
    pub detect_packets: u16,
    /// Seconds of silence until detection gives up, 1..=60. Default 5.
    pub detect_seconds: u16,
    /// Whether a flow with ambiguous TCP segments (overlaps that differ) is refused. Default no.
    pub strict_streams: bool,
    /// Folders of plugins; of equal names the first wins. Default the bundled and the user's.
    #[serde(rename = "plugins")]
    pub plugin_dirs: Vec<PathBuf>,
    /// Folders of loose flow scripts. Default `/etc/flowreeve/callbacks/interface/flow`.
    #[serde(rename = "flow_scripts")]
    pub flow_script_dirs: Vec<PathBuf>,
    /// Folder of the custom flow scripts of ntopng 5.x and 6.x. Default `/etc/flowreeve/callbacks/checks/flows`.
    #[serde(rename = "custom_scripts")]
    pub custom_script_dir: Option<PathBuf>,
    /// Settings of scripts, written by the engine. Default `/etc/flowreeve/scripts.json`.
    pub scripts_file: PathBuf,
    /// Instructions one hook call of a script may take, 1000..=100000000. Default 500000.
    pub instruction_limit: u32,
    /// Language of alert texts. Default en.
    pub locale: String,
    /// Country database (MaxMind format). Default none.
    pub geo_country: Option<PathBuf>,
    /// Autonomous system database (MaxMind format). Default none.
    pub geo_asn: Option<PathBuf>,
    /// Least important log lines that are written. Default notice.
    pub log_level: LogLevel,
    /// The page. One section.
    pub web: Web,
    /// Where event lines go, one section an output. Default nowhere.
    pub eve: Vec<Eve>,
    /// Who is left alone.
    pub exempt: Vec<Exempt>,
    /// What is different for single scripts.
    pub script: Vec<ScriptRule>,
}

/// Whether verdicts are put into effect.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Everything passes; records say what would have been.
    #[default]
    Monitor,
    /// Verdicts hold.
    Enforce,
}

/// What is done about the firewall's flow offloading.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Offload {
    /// The firewall's rule is narrowed to flows we released.
    #[default]
    Auto,
    /// Nothing is touched; offloaded flows go unseen after their first packets.
    Leave,
    /// Enforcement refuses to start while offloading is on.
    Off,
}

/// Least important log lines that are written, in syslog's words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)] // the names say it
pub enum LogLevel {
    Error,
    Warn,
    #[default]
    Notice,
    Info,
    Debug,
}

/// The four contiguous bits of packet and connection mark that are ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CtMask(u32);

impl CtMask {
    /// None unless `mask` is four neighbouring bits.
    pub fn new(mask: u32) -> Option<CtMask> {
        (mask != 0 && mask >> mask.trailing_zeros() == 0xf).then_some(CtMask(mask))
    }

    /// The bits.
    pub fn bits(self) -> u32 {
        self.0
    }

    /// Place of the lowest of them.
    pub fn shift(self) -> u32 {
        self.0.trailing_zeros()
    }
}

impl TryFrom<String> for CtMask {
    type Error = &'static str;

    fn try_from(text: String) -> Result<CtMask, Self::Error> {
        options::mask(&text).ok_or("not four contiguous bits such as 0x0f000000")
    }
}

impl From<CtMask> for String {
    fn from(mask: CtMask) -> String {
        format!("{:#010x}", mask.0)
    }
}

impl Default for Config {
    fn default() -> Self {
        let net = |address: IpAddr, bits| Cidr::new(address, bits).expect("a prefix that fits");
        let v4 = |a, b, bits| net(Ipv4Addr::new(a, b, 0, 0).into(), bits);
        let v6 = |first, last, bits| net(Ipv6Addr::new(first, 0, 0, 0, 0, 0, 0, last).into(), bits);
        Config {
            enabled: false,
            config_version: 1,
            mode: Mode::Monitor,
            threshold: 100,
            mark_threshold: None,
            action: Action::Drop,
            score_mode: ScoreMode::Event,
            networks: vec!["lan".into()],
            devices: Vec::new(),
            local_networks: vec![
                v4(10, 0, 8),
                v4(172, 16, 12),
                v4(192, 168, 16),
                v4(169, 254, 16),
                v4(127, 0, 8),
                v6(0xfc00, 0, 7),
                v6(0xfe80, 0, 10),
                v6(0, 1, 128),
            ],
            profile: "auto".into(),
            memory_kb: None,
            flows: None,
            hosts: None,
            lua_kb: None,
            stream_buffers: None,
            queue_base: 4200,
            queues: None,
            fail_open: true,
            ct_mask: CtMask(0x0f00_0000),
            offload: Offload::Auto,
            detect_packets: 12,
            detect_seconds: 5,
            strict_streams: false,
            plugin_dirs: vec![
                "/usr/share/flowreeve/plugins".into(),
                "/etc/flowreeve/plugins".into(),
            ],
            flow_script_dirs: vec!["/etc/flowreeve/callbacks/interface/flow".into()],
            custom_script_dir: Some("/etc/flowreeve/callbacks/checks/flows".into()),
            scripts_file: "/etc/flowreeve/scripts.json".into(),
            instruction_limit: 500_000,
            locale: "en".into(),
            geo_country: None,
            geo_asn: None,
            log_level: LogLevel::Notice,
            web: Web::default(),
            eve: Vec::new(),
            exempt: Vec::new(),
            script: Vec::new(),
        }
    }
}

/// Why there is no configuration. One line that names file, place, and what is allowed there.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // the messages say it
pub enum ConfigError {
    #[error("cannot read {}: {source}", file.display())]
    Read { file: PathBuf, source: io::Error },
    #[error("cannot write {}: {source}", file.display())]
    Write { file: PathBuf, source: io::Error },
    #[error("{}:{line}: {what}", file.display())]
    Text {
        file: PathBuf,
        line: u32,
        what: String,
    },
    #[error("{}:{line}: section type '{kind}' is unknown; known are {known}", file.display())]
    Section {
        file: PathBuf,
        line: u32,
        kind: String,
        known: String,
    },
    #[error("{}:{line}: section {section}, option {option} is unknown; known are {known}", file.display())]
    Option {
        file: PathBuf,
        line: u32,
        section: String,
        option: String,
        known: String,
    },
    #[error("{}:{line}: section {section}, option {option}: '{value}' is not allowed; allowed: {allowed}", file.display())]
    Value {
        file: PathBuf,
        line: u32,
        section: String,
        option: String,
        value: String,
        allowed: &'static str,
    },
    #[error("{}: section {section}, option {option}: not allowed as it is; allowed: {allowed}", file.display())]
    Json {
        file: PathBuf,
        section: &'static str,
        option: &'static str,
        allowed: &'static str,
    },
}

impl Config {
    /// The configuration in the UCI text of `file` (which is only named in errors).
    pub fn from_uci(text: &str, file: &Path) -> Result<Config, ConfigError> {
        options::read(text, file)
    }

    /// The configuration in the JSON text of `file` (which is only named in errors).
    pub fn from_json(text: &str, file: &Path) -> Result<Config, ConfigError> {
        let config: Config = serde_json::from_str(text).map_err(|error| ConfigError::Text {
            file: file.into(),
            line: u32::try_from(error.line()).unwrap_or(u32::MAX),
            what: error.to_string(),
        })?;
        options::check(&config, file)?;
        Ok(config)
    }

    /// Itself as JSON that [`Config::from_json`] reads back.
    pub fn to_json(&self) -> String {
        let mut text =
            serde_json::to_string_pretty(self).expect("paths come from text, keys are names");
        text.push('\n');
        text
    }

    /// The configuration in `file`: JSON if it begins with `{`, else UCI.
    pub fn load(file: &Path) -> Result<Config, ConfigError> {
        let mut bytes = Vec::new();
        let read =
            File::open(file).and_then(|open| open.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes));
        read.map_err(|source| ConfigError::Read {
            file: file.into(),
            source,
        })?;
        let wrong = |line, what: String| ConfigError::Text {
            file: file.into(),
            line,
            what,
        };
        if bytes.len() as u64 > MAX_FILE_BYTES {
            return Err(wrong(
                1,
                format!("longer than {MAX_FILE_BYTES} bytes: this is no configuration"),
            ));
        }
        let text = std::str::from_utf8(&bytes).map_err(|error| {
            let before = &bytes[..error.valid_up_to()];
            let line = 1 + before.iter().filter(|b| **b == b'\n').count();
            wrong(line as u32, "not UTF-8 text".into())
        })?;
        if text.trim_start().starts_with('{') {
            Config::from_json(text, file)
        } else {
            Config::from_uci(text, file)
        }
    }

    /// Whether `address` belongs to one of our own networks.
    pub fn is_local(&self, address: IpAddr) -> bool {
        self.local_networks.iter().any(|net| net.contains(address))
    }
}

/// Reads and checks `file`; with `write`, puts its normalised JSON there, old or new and never half. Says
/// nothing when all is well and touches nothing else.
pub fn check_config(file: &Path, write: Option<&Path>) -> Result<Config, ConfigError> {
    let config = Config::load(file)?;
    if let Some(target) = write {
        replace(target, config.to_json().as_bytes()).map_err(|source| ConfigError::Write {
            file: target.into(),
            source,
        })?;
    }
    Ok(config)
}

/// Puts `bytes` in the place of `target` by way of a file beside it. That one is made anew, so a link left
/// there by someone with fewer rights leads nowhere.
fn replace(target: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut beside = target.as_os_str().to_owned();
    beside.push(".new");
    let beside = PathBuf::from(beside);
    match fs::remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&beside)?;
    let done = file.write_all(bytes).and_then(|()| file.sync_all());
    done.and_then(|()| fs::rename(&beside, target))
        .inspect_err(|_| {
            let _ = fs::remove_file(&beside);
        })
}

#[cfg(test)]
mod tests;
