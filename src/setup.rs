//! From a configuration to what runs by it: the same for live traffic and for replay.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::rc::Rc;
use std::sync::mpsc::sync_channel;
use std::thread;

use std::time::Duration;

use crate::budget::{BOARD_DIR, Budget, BudgetError, Machine};
use crate::config::{Config, Exempt};
use crate::engine::Engine;
use crate::events::Outbox;
use crate::flow::table::FlowTable;
use crate::geo::Geo;
use crate::l7::detector::Detector;
use crate::nft::Rules;
use crate::policy::Policy;
use crate::queue::Marks;
use crate::script::configset::{ConfigSets, Origin};
use crate::script::current::Hook;
use crate::script::env::Env;
use crate::script::sandbox::{Limits, Output};
use crate::script::{Scripts, ScriptsError, Settings, Sources};
use crate::time::{Micros, Now};
use crate::verdict::Class;

/// Largest geolocation database that is loaded; it is held in memory as a whole.
const GEO_LIMIT_BYTES: usize = 64 << 20;

/// Where files of a running engine are; scripts see it as `ntop.getDirs()`.
const INSTALL_DIR: &str = "/usr/share/flowreeve";
const WORKING_DIR: &str = "/var/run/flowreeve";

/// Where scripts come from, by `config`. What is wrong with `scripts.json` is logged and its last good copy
/// used.
pub fn sources(config: &Config) -> Sources {
    let (sets, origin) = ConfigSets::load(&config.scripts_file);
    match origin {
        Origin::Newest | Origin::Absent => {}
        Origin::LastGood(error) => log::error!("{error}; its last good copy is used"),
        Origin::Defaults(error) => log::error!("{error}; scripts run as they come"),
    }
    let beside = |name: &str| -> Vec<PathBuf> {
        config
            .plugin_dirs
            .iter()
            .map(|dir| dir.join(name))
            .filter(|dir| dir.is_dir())
            .collect()
    };
    let mut loose_flow = config.flow_script_dirs.clone();
    loose_flow.extend(beside("callbacks/interface/flow"));
    let mut custom: Vec<PathBuf> = config.custom_script_dir.iter().cloned().collect();
    custom.extend(beside("callbacks/checks/flows"));
    Sources {
        plugin_roots: config.plugin_dirs.clone(),
        loose_flow,
        loose_syslog: beside("callbacks/syslog"),
        custom,
        config: sets,
        rules: config.script.clone(),
        language: config.locale.clone(),
        alerts: true,
    }
}

/// What scripts may know besides flows. It outlives the Lua states it serves.
pub fn env(config: &Config) -> Rc<Env> {
    let files: Vec<&Path> = [&config.geo_country, &config.geo_asn]
        .into_iter()
        .flatten()
        .map(PathBuf::as_path)
        .collect();
    let geo = (!files.is_empty()).then(|| Geo::open(&files, GEO_LIMIT_BYTES));
    let geo = geo.and_then(|geo| {
        geo.inspect_err(|error| log::error!("{error}; no countries"))
            .ok()
    });
    Rc::new(Env {
        local_networks: config.local_networks.clone(),
        geo,
        interface_name: "nfqueue".into(),
        install_dir: INSTALL_DIR.into(),
        working_dir: WORKING_DIR.into(),
        ..Env::default()
    })
}

/// The scripts of one packet thread, in a Lua state of their own.
///
/// # Errors
/// The state itself cannot be made. A bad plugin is none: the catalogue tells of it.
pub fn scripts(
    config: &Config,
    sources: &Sources,
    budget: &Budget,
    env: &Rc<Env>,
    output: Output,
    wall: Option<Duration>,
    now: Now,
) -> Result<Scripts, ScriptsError> {
    let limits = Limits {
        memory_bytes: budget.lua_bytes_per_state(),
        instructions: u64::from(config.instruction_limit),
        wall,
        ..Limits::default()
    };
    let settings = Settings {
        limits,
        output,
        score_mode: config.score_mode,
    };
    let mut scripts = Scripts::load(sources, &settings, env, now)?;
    scripts.start(None, now);
    Ok(scripts)
}

/// The policy of `config`, for these scripts.
pub fn policy(config: &Config, scripts: &Scripts) -> Policy {
    let heard_again = scripts.has(Hook::PeriodicUpdate) || scripts.has(Hook::FlowEnd);
    Policy {
        mode: config.mode,
        threshold: config.threshold,
        mark_threshold: config.mark_threshold,
        action: config.action,
        score_mode: config.score_mode,
        exempt: config.exempt.clone().into_boxed_slice(),
        script_actions: scripts
            .catalog()
            .scripts
            .iter()
            .map(|script| script.action)
            .collect(),
        fail_open: config.fail_open,
        released: if heard_again {
            Class::Plain
        } else {
            Class::Offload
        },
    }
}

/// Pieces of text from scripts that may wait for a slow reader of standard output.
const WAITING_PRINTS: usize = 256;

/// What scripts print goes to standard output, by way of a thread: a reader that is slow or stopped holds no
/// packet, and what it leaves no room for is lost. The thread ends with the last copy of the output.
pub fn to_stdout() -> Output {
    let (sender, texts) = sync_channel::<Vec<u8>>(WAITING_PRINTS);
    let write = move || {
        for text in texts {
            let _ = io::stdout().write_all(&text); // nobody left to tell
        }
    };
    let thread = thread::Builder::new().name("script-output".into());
    if let Err(error) = thread.stack_size(128 * 1024).spawn(write) {
        log::error!("what scripts print is lost: {error}");
    }
    Rc::new(move |text| {
        let _ = sender.try_send(text.to_vec());
    })
}

/// What scripts print goes to standard error: where events go to standard output.
pub fn to_stderr() -> Output {
    Rc::new(|text| {
        let _ = io::stderr().write_all(text); // nobody left to tell
    })
}

/// A number no stranger can guess: the hash map's own keys come from the system's source of randomness.
pub fn random_seed() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// The firewall rules of `config`. `queue` false: without nft's queue statement.
///
/// # Errors
/// A logical network has no interface here.
pub fn rules(config: &Config, queue: bool) -> Result<Rules, SetupError> {
    let machine = Machine::read();
    let budget = Budget::choose(config, &machine, Path::new(BOARD_DIR))?;
    let mut interfaces = config.devices.clone();
    if interfaces.is_empty() {
        for network in &config.networks {
            interfaces.push(device_of(network)?);
        }
    }
    let only_mac =
        |exempt: &&Exempt| exempt.enabled && exempt.src.is_none() && exempt.dst.is_none();
    Ok(Rules {
        marks: Marks::new(config.ct_mask.bits())
            .expect("four bits: checked with the configuration"),
        interfaces,
        queue_base: config.queue_base,
        queues: u16::from(budget.queues),
        fail_open: config.fail_open,
        // Those with addresses say which end they mean, which a set cannot: the first packet asks us.
        exempt: Vec::new(),
        exempt_macs: config
            .exempt
            .iter()
            .filter(only_mac)
            .filter_map(|e| Some(e.mac?.0))
            .collect(),
        no_queue: !queue,
        ..Rules::default()
    })
}

/// The interface a logical network of OpenWrt has at present, asked of netifd on the bus.
fn device_of(network: &str) -> Result<String, SetupError> {
    let unknown = |why: String| SetupError::Network {
        network: network.into(),
        why,
    };
    let output = Command::new("ubus")
        .args([
            "-S",
            "call",
            &format!("network.interface.{network}"),
            "status",
        ])
        .output()
        .map_err(|error| unknown(format!("cannot ask the bus: {error}")))?;
    let status: serde_json::Value = serde_json::from_slice(&output.stdout)
        .map_err(|_| unknown("the bus does not know it".into()))?;
    match status["l3_device"].as_str() {
        Some(device) => Ok(device.into()),
        None => Err(unknown("it is down".into())),
    }
}

/// Why there are no rules.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // the messages say it
pub enum SetupError {
    #[error(
        "network '{network}' has no interface: {why}; name interfaces with `list device` instead"
    )]
    Network { network: String, why: String },
    #[error(transparent)]
    Budget(#[from] BudgetError),
}

/// One packet thread's engine, its tables taken from `budget`. `seed` keys the flow table's hash.
pub fn engine(config: &Config, budget: &Budget, seed: u64, scripts: Scripts) -> Engine {
    let policy = policy(config, &scripts);
    let mut detector = Detector::new(budget.streams_per_queue() as usize);
    detector.max_packets = u32::from(config.detect_packets);
    detector.max_silence = Micros::from_secs(u64::from(config.detect_seconds));
    Engine::new(
        FlowTable::new(budget.flows_per_queue() as usize, seed),
        detector,
        scripts,
        policy,
        Outbox::new(budget.events_per_queue() as usize),
    )
}
