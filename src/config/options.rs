//! The table of options: what each is called, what it may be, where it goes. Reading UCI sections and
//! checking a `Config` both walk this table, so a rule stands in one place.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::de::DeserializeOwned;
use serde::de::value::{Error as WordError, StrDeserializer};
use serde::{Deserialize, Deserializer, Serializer};

use super::uci::{self, Section};
use super::{Auth, Config, ConfigError, CtMask, Eve, Exempt, Output, ScriptRule, Web};

/// One option of a section that is read into a `T`.
struct Opt<T> {
    name: &'static str,
    /// What it may be, for the error message.
    allowed: &'static str,
    /// Takes the values over, or says which one is not understood.
    set: Set<T>,
    /// Whether what stands there now is allowed.
    check: fn(&T) -> bool,
    list: bool,
}

type Set<T> = fn(&mut T, &[&str]) -> Result<(), usize>;

const fn option<T>(
    name: &'static str,
    allowed: &'static str,
    set: Set<T>,
    check: fn(&T) -> bool,
) -> Opt<T> {
    Opt {
        name,
        allowed,
        set,
        check,
        list: false,
    }
}

const fn list<T>(
    name: &'static str,
    allowed: &'static str,
    set: Set<T>,
    check: fn(&T) -> bool,
) -> Opt<T> {
    Opt {
        name,
        allowed,
        set,
        check,
        list: true,
    }
}

/// The check of options whose type says all.
fn any<T>(_: &T) -> bool {
    true
}

const BOOL: &str = "0 or 1";

#[rustfmt::skip]
const MAIN: &[Opt<Config>] = &[
    option("enabled", BOOL, |c, v| one(&mut c.enabled, v, boolean), any),
    option("config_version", "1", |c, v| one(&mut c.config_version, v, number), |c| c.config_version == 1),
    option("mode", "monitor or enforce", |c, v| one(&mut c.mode, v, word), any),
    option("threshold", "1 to 65535", |c, v| one(&mut c.threshold, v, number), |c| c.threshold > 0),
    option("mark_threshold", "1 to 65534, below threshold",
        |c, v| one(&mut c.mark_threshold, v, some(number)),
        |c| c.mark_threshold.is_none_or(|mark| mark > 0 && mark < c.threshold)),
    option("action", "drop, reject or mark", |c, v| one(&mut c.action, v, word), any),
    option("score_mode", "event, additive or max", |c, v| one(&mut c.score_mode, v, word), any),
    list("network", "names of logical networks such as lan",
        |c, v| many(&mut c.networks, v, name), |c| names(&c.networks)),
    list("device", "names of interfaces such as br-lan",
        |c, v| many(&mut c.devices, v, name), |c| names(&c.devices)),
    list("local_network", "networks such as 192.168.0.0/16",
        |c, v| many(&mut c.local_networks, v, parsed), any),
    option("profile", "auto, S, M, L, XL or the name of a board file",
        |c, v| one(&mut c.profile, v, name), |c| name(&c.profile).is_some()),
    option("memory_kb", "8192 to 1048576",
        |c, v| one(&mut c.memory_kb, v, some(number)), |c| within(c.memory_kb, 8_192..=1 << 20)),
    option("flows", "512 to 1048576",
        |c, v| one(&mut c.flows, v, some(number)), |c| within(c.flows, 512..=1 << 20)),
    option("hosts", "64 to 65536",
        |c, v| one(&mut c.hosts, v, some(number)), |c| within(c.hosts, 64..=1 << 16)),
    option("lua_kb", "512 to 524288",
        |c, v| one(&mut c.lua_kb, v, some(number)), |c| within(c.lua_kb, 512..=1 << 19)),
    option("stream_buffers", "16 to 16384",
        |c, v| one(&mut c.stream_buffers, v, some(number)), |c| within(c.stream_buffers, 16..=1 << 14)),
    option("queue_base", "0 to 65528", |c, v| one(&mut c.queue_base, v, number), |c| c.queue_base <= 65_528),
    option("queues", "auto or 1 to 8",
        |c, v| one(&mut c.queues, v, queues), |c| c.queues.is_none_or(|n| (1..=8).contains(&n))),
    option("fail_open", BOOL, |c, v| one(&mut c.fail_open, v, boolean), any),
    option("ct_mask", "four contiguous bits such as 0x0f000000", |c, v| one(&mut c.ct_mask, v, mask), any),
    option("offload", "auto, leave or off", |c, v| one(&mut c.offload, v, word), any),
    option("detect_packets", "1 to 255",
        |c, v| one(&mut c.detect_packets, v, number), |c| (1..=255).contains(&c.detect_packets)),
    option("detect_seconds", "1 to 60",
        |c, v| one(&mut c.detect_seconds, v, number), |c| (1..=60).contains(&c.detect_seconds)),
    option("strict_streams", BOOL, |c, v| one(&mut c.strict_streams, v, boolean), any),
    list("plugins", PATHS,
        |c, v| many(&mut c.plugin_dirs, v, path), |c| c.plugin_dirs.iter().all(|p| p.is_absolute())),
    list("flow_scripts", PATHS,
        |c, v| many(&mut c.flow_script_dirs, v, path),
        |c| c.flow_script_dirs.iter().all(|p| p.is_absolute())),
    option("custom_scripts", PATH,
        |c, v| one(&mut c.custom_script_dir, v, some(path)), |c| absolute(&c.custom_script_dir)),
    option("scripts_file", PATH, |c, v| one(&mut c.scripts_file, v, path), |c| c.scripts_file.is_absolute()),
    option("instruction_limit", "1000 to 100000000",
        |c, v| one(&mut c.instruction_limit, v, number),
        |c| (1_000..=100_000_000).contains(&c.instruction_limit)),
    option("locale", "a language such as en",
        |c, v| one(&mut c.locale, v, name), |c| name(&c.locale).is_some()),
    option("geo_country", PATH, |c, v| one(&mut c.geo_country, v, some(path)), |c| absolute(&c.geo_country)),
    option("geo_asn", PATH, |c, v| one(&mut c.geo_asn, v, some(path)), |c| absolute(&c.geo_asn)),
    option("log_level", "error, warn, notice, info or debug", |c, v| one(&mut c.log_level, v, word), any),
];

#[rustfmt::skip]
const WEB: &[Opt<Web>] = &[
    option("enabled", BOOL, |w, v| one(&mut w.enabled, v, boolean), any),
    list("listen", "address and port such as 127.0.0.1:8089 or [::1]:8089",
        |w, v| many(&mut w.listen, v, parsed), any),
    option("auth", "luci, token, or none where all listen addresses are loopback",
        |w, v| one(&mut w.auth, v, word),
        |w| w.auth != Auth::None || w.listen.iter().all(|at: &SocketAddr| at.ip().is_loopback())),
];

#[rustfmt::skip]
const EVE: &[Opt<Eve>] = &[
    option("enabled", BOOL, |e, v| one(&mut e.enabled, v, boolean), any),
    option("output", "off, stdout, syslog or the absolute path of a file",
        |e, v| one(&mut e.output, v, output), any),
    list("type", "flow, alert, drop, dns, tls, http, stats", |e, v| many(&mut e.kinds, v, word), any),
    option("max_kb", "16 to 1048576",
        |e, v| one(&mut e.max_kb, v, number), |e| (16..=1 << 20).contains(&e.max_kb)),
];

#[rustfmt::skip]
const EXEMPT: &[Opt<Exempt>] = &[
    option("enabled", BOOL, |e, v| one(&mut e.enabled, v, boolean), any),
    option("src", "an address or network such as 192.168.1.0/24 (a section needs src, dst or mac)",
        |e, v| one(&mut e.src, v, some(parsed)), |e| e.src.is_some() || e.dst.is_some() || e.mac.is_some()),
    option("dst", "an address or network such as 203.0.113.0/24",
        |e, v| one(&mut e.dst, v, some(parsed)), any),
    option("mac", "a MAC address such as 02:00:00:00:00:01", |e, v| one(&mut e.mac, v, some(parsed)), any),
    option("comment", "text of at most 200 bytes",
        |e, v| one(&mut e.comment, v, parsed), |e| e.comment.len() <= 200),
];

#[rustfmt::skip]
const SCRIPT: &[Opt<ScriptRule>] = &[
    option("name", "the script's file name without .lua, here or as the section's name",
        |s, v| one(&mut s.name, v, name), |s| name(&s.name).is_some()),
    option("enabled", BOOL, |s, v| one(&mut s.enabled, v, some(boolean)), any),
    option("early", BOOL, |s, v| one(&mut s.early, v, some(boolean)), any),
    option("action", "drop, reject or mark", |s, v| one(&mut s.action, v, some(word)), any),
];

const PATH: &str = "an absolute path";
const PATHS: &str = "absolute paths";
const SECTIONS: &str = "main, web, eve, exempt, script";

/// The configuration in `text`; `file` is named in errors.
pub(super) fn read(text: &str, file: &Path) -> Result<Config, ConfigError> {
    let sections = uci::parse(text).map_err(|error| ConfigError::Text {
        file: file.into(),
        line: error.line,
        what: error.what,
    })?;
    let mut config = Config::default();
    for section in &sections {
        match section.kind.as_str() {
            "main" => fill(&mut config, MAIN, section, file)?,
            "web" => fill(&mut config.web, WEB, section, file)?,
            "eve" => config.eve.push(filled(Eve::default(), EVE, section, file)?),
            "exempt" => config
                .exempt
                .push(filled(Exempt::default(), EXEMPT, section, file)?),
            "script" => {
                let named = section.name.clone().unwrap_or_default();
                let rule = ScriptRule {
                    name: named,
                    ..ScriptRule::default()
                };
                config.script.push(filled(rule, SCRIPT, section, file)?);
            }
            kind => {
                return Err(ConfigError::Section {
                    file: file.into(),
                    line: section.line,
                    kind: kind.into(),
                    known: SECTIONS.into(),
                });
            }
        }
    }
    Ok(config)
}

/// How many options there are.
#[cfg(test)]
pub(super) fn count() -> usize {
    MAIN.len() + WEB.len() + EVE.len() + EXEMPT.len() + SCRIPT.len()
}

/// Whether all of `config` is allowed; for one that did not come through [`read`].
pub(super) fn check(config: &Config, file: &Path) -> Result<(), ConfigError> {
    check_section(config, MAIN, "main", file)?;
    check_section(&config.web, WEB, "web", file)?;
    config
        .eve
        .iter()
        .try_for_each(|eve| check_section(eve, EVE, "eve", file))?;
    config
        .exempt
        .iter()
        .try_for_each(|exempt| check_section(exempt, EXEMPT, "exempt", file))?;
    config
        .script
        .iter()
        .try_for_each(|script| check_section(script, SCRIPT, "script", file))
}

fn check_section<T>(
    to: &T,
    options: &[Opt<T>],
    section: &'static str,
    file: &Path,
) -> Result<(), ConfigError> {
    match options.iter().find(|row| !(row.check)(to)) {
        None => Ok(()),
        Some(row) => Err(ConfigError::Json {
            file: file.into(),
            section,
            option: row.name,
            allowed: row.allowed,
        }),
    }
}

fn filled<T>(
    mut to: T,
    options: &[Opt<T>],
    section: &Section,
    file: &Path,
) -> Result<T, ConfigError> {
    fill(&mut to, options, section, file)?;
    Ok(to)
}

/// Takes a section's options over into `to`. An empty value means "not set".
fn fill<T>(
    to: &mut T,
    options: &[Opt<T>],
    section: &Section,
    file: &Path,
) -> Result<(), ConfigError> {
    for entry in &section.options {
        let Some(row) = options.iter().find(|row| row.name == entry.name) else {
            let known: Vec<&str> = options.iter().map(|row| row.name).collect();
            return Err(ConfigError::Option {
                file: file.into(),
                line: entry.values.last().map_or(section.line, |v| v.line),
                section: title(section),
                option: entry.name.clone(),
                known: known.join(", "),
            });
        };
        let mut values: Vec<(u32, &str)> = Vec::new();
        for word in &entry.values {
            if row.list && !entry.list {
                // `option network 'lan guest'`, as other programs allow it
                values.extend(word.text.split_whitespace().map(|part| (word.line, part)));
            } else if !word.text.is_empty() {
                values.push((word.line, &word.text));
            }
        }
        if values.is_empty() {
            continue;
        }
        let texts: Vec<&str> = values.iter().map(|(_, text)| *text).collect();
        let wrong = match (row.list || texts.len() == 1).then(|| (row.set)(to, &texts)) {
            None => texts.len() - 1, // several values for what takes one
            Some(Err(at)) => at,
            Some(Ok(())) => continue,
        };
        let (line, value) = values[wrong];
        return Err(refused(row, section, line, value, file));
    }
    let Some(row) = options.iter().find(|row| !(row.check)(to)) else {
        return Ok(());
    };
    let given = section
        .options
        .iter()
        .find(|e| e.name == row.name)
        .and_then(|e| e.values.last());
    let (line, value) = given.map_or((section.line, ""), |word| (word.line, word.text.as_str()));
    Err(refused(row, section, line, value, file))
}

fn refused<T>(row: &Opt<T>, section: &Section, line: u32, value: &str, file: &Path) -> ConfigError {
    let shown: String = value.chars().take(60).collect();
    ConfigError::Value {
        file: file.into(),
        line,
        section: title(section),
        option: row.name.into(),
        value: shown.escape_debug().to_string(),
        allowed: row.allowed,
    }
}

/// What a section is called in messages: `main`, `exempt` or `script 'x'`.
fn title(section: &Section) -> String {
    match &section.name {
        Some(name) if *name != section.kind => format!("{} '{name}'", section.kind),
        _ => section.kind.clone(),
    }
}

// --- from text to a field

fn one<V>(field: &mut V, values: &[&str], read: impl Fn(&str) -> Option<V>) -> Result<(), usize> {
    *field = values.last().and_then(|value| read(value)).ok_or(0usize)?;
    Ok(())
}

fn many<V>(
    field: &mut Vec<V>,
    values: &[&str],
    read: impl Fn(&str) -> Option<V>,
) -> Result<(), usize> {
    let read = |(at, value): (usize, &&str)| read(value).ok_or(at);
    *field = values
        .iter()
        .enumerate()
        .map(read)
        .collect::<Result<_, _>>()?;
    Ok(())
}

fn some<V>(read: impl Fn(&str) -> Option<V>) -> impl Fn(&str) -> Option<Option<V>> {
    move |text| read(text).map(Some)
}

fn boolean(text: &str) -> Option<bool> {
    match text {
        "1" | "on" | "true" | "yes" | "enabled" => Some(true),
        "0" | "off" | "false" | "no" | "disabled" => Some(false),
        _ => None,
    }
}

/// Decimal digits only: no sign, no blanks.
fn number<N: FromStr>(text: &str) -> Option<N> {
    text.bytes()
        .all(|b| b.is_ascii_digit())
        .then(|| text.parse().ok())?
}

fn parsed<V: FromStr>(text: &str) -> Option<V> {
    text.parse().ok()
}

/// An enum by its word, as JSON would have it.
fn word<V: DeserializeOwned>(text: &str) -> Option<V> {
    V::deserialize(StrDeserializer::<WordError>::new(text)).ok()
}

/// A name that is safe in a path, in the firewall's text and in a log line.
fn name(text: &str) -> Option<String> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"_-.,:@+".contains(&b);
    let fine = (1..=64).contains(&text.len())
        && !text.starts_with(['.', '-'])
        && text.bytes().all(allowed);
    fine.then(|| text.to_owned())
}

fn path(text: &str) -> Option<PathBuf> {
    let path = PathBuf::from(text);
    path.is_absolute().then_some(path)
}

fn queues(text: &str) -> Option<Option<u8>> {
    if text == "auto" {
        Some(None)
    } else {
        number(text).map(Some)
    }
}

pub(super) fn mask(text: &str) -> Option<CtMask> {
    let bits = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(hex) if hex.bytes().all(|b| b.is_ascii_hexdigit()) => {
            u32::from_str_radix(hex, 16).ok()
        }
        Some(_) => None,
        None => number(text),
    };
    bits.and_then(CtMask::new)
}

pub(super) fn output(text: &str) -> Option<Output> {
    match text {
        "off" => Some(Output::Off),
        "stdout" => Some(Output::Stdout),
        "syslog" => Some(Output::Syslog),
        _ => path(text).map(Output::File),
    }
}

// --- what may stand in a field

fn within(value: Option<u32>, range: RangeInclusive<u32>) -> bool {
    value.is_none_or(|value| range.contains(&value))
}

fn absolute(path: &Option<PathBuf>) -> bool {
    path.as_ref().is_none_or(|path| path.is_absolute())
}

fn names(list: &[String]) -> bool {
    list.iter().all(|text| name(text).is_some())
}

/// A number, or `auto` for none: how the normalised JSON writes [`Config::queues`].
pub(super) mod auto {
    use super::*;

    pub fn serialize<S: Serializer>(value: &Option<u8>, to: S) -> Result<S::Ok, S::Error> {
        match value {
            Some(number) => to.serialize_u8(*number),
            None => to.serialize_str("auto"),
        }
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u8>, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Either {
            Number(u8),
            Word(String),
        }
        match Either::deserialize(from)? {
            Either::Number(number) => Ok(Some(number)),
            Either::Word(word) if word == "auto" => Ok(None),
            Either::Word(word) => Err(serde::de::Error::custom(format!(
                "'{word}' is neither auto nor a number"
            ))),
        }
    }
}
