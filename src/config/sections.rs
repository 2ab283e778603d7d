//! What stands beside `config main`: outputs, exemptions, single scripts, the page.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::address::{Cidr, Mac};
use super::options;
use crate::events::Kind;
use crate::verdict::Action;

/// An output of event lines: `config eve`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Eve {
    /// Whether it is used. Default yes.
    pub enabled: bool,
    /// Where to. Default off.
    pub output: Output,
    /// Which events. Default all.
    #[serde(rename = "type")]
    pub kinds: Vec<Kind>,
    /// A file and its predecessor together, KiB, 16..=1048576. Default 256: it is memory on a router.
    pub max_kb: u32,
}

/// Where event lines go.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Output {
    /// Nowhere.
    #[default]
    Off,
    /// Standard output.
    Stdout,
    /// The system log, one message a line.
    Syslog,
    /// This file; when it is full it becomes `FILE.1` and a new one begins.
    File(PathBuf),
}

impl TryFrom<String> for Output {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Output, Self::Error> {
        options::output(&text).ok_or("not off, stdout, syslog or an absolute path")
    }
}

impl From<Output> for String {
    fn from(output: Output) -> String {
        match output {
            Output::Off => "off".into(),
            Output::Stdout => "stdout".into(),
            Output::Syslog => "syslog".into(),
            Output::File(path) => path.to_string_lossy().into_owned(),
        }
    }
}

/// Traffic that is left alone: `config exempt`. All conditions that are given must hold.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Exempt {
    /// Whether it counts. Default yes.
    pub enabled: bool,
    /// Client's address or network.
    pub src: Option<Cidr>,
    /// Server's address or network.
    pub dst: Option<Cidr>,
    /// Client's MAC address.
    pub mac: Option<Mac>,
    /// For people.
    pub comment: String,
}

/// What is different for one script: `config script 'NAME'`. It stands above `scripts.json`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ScriptRule {
    /// The script's name: that of its section, or this option where the name has other characters.
    pub name: String,
    /// Runs at all. Default as `scripts.json` says.
    pub enabled: Option<bool>,
    /// Runs as soon as the request is known, before it leaves. Default as `scripts.json` says.
    pub early: Option<bool>,
    /// What is done when this script decides. Default the global action.
    pub action: Option<Action>,
}

/// The page: `config web`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Web {
    /// Whether it is served. Default yes.
    pub enabled: bool,
    /// Addresses it listens on. Default 127.0.0.1:8089.
    pub listen: Vec<SocketAddr>,
    /// Who may. Default luci.
    pub auth: Auth,
}

/// Who may see the page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Auth {
    /// Whoever is logged in to the router's own interface.
    #[default]
    Luci,
    /// Whoever has the token.
    Token,
    /// Everyone; on loopback addresses only.
    None,
}

impl Default for Eve {
    fn default() -> Self {
        Eve {
            enabled: true,
            output: Output::Off,
            kinds: Kind::ALL.to_vec(),
            max_kb: 256,
        }
    }
}

impl Default for Exempt {
    fn default() -> Self {
        Exempt {
            enabled: true,
            src: None,
            dst: None,
            mac: None,
            comment: String::new(),
        }
    }
}

impl Default for Web {
    fn default() -> Self {
        let here = SocketAddr::from((Ipv4Addr::LOCALHOST, 8089));
        Web {
            enabled: true,
            listen: vec![here],
            auth: Auth::Luci,
        }
    }
}
