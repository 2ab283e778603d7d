//! From a configuration to what runs by it: the same for live traffic and for replay.

use std::path::{Path, PathBuf};
use std::rc::Rc;

use crate::budget::Budget;
use crate::config::Config;
use crate::engine::Engine;
use crate::events::Outbox;
use crate::flow::table::FlowTable;
use crate::geo::Geo;
use crate::l7::detector::Detector;
use crate::policy::Policy;
use crate::script::configset::{ConfigSets, Origin};
use crate::script::current::Hook;
use crate::script::env::Env;
use crate::script::sandbox::{Limits, Output};
use crate::script::{Scripts, ScriptsError, Settings, Sources};
use crate::time::Now;
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
    now: Now,
) -> Result<Scripts, ScriptsError> {
    let _ = budget;
    let limits = Limits::default();
    let settings = Settings {
        limits,
        output,
        score_mode: config.score_mode,
    };
    Scripts::load(sources, &settings, env, now)
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
        released: if heard_again {
            Class::Plain
        } else {
            Class::Offload
        },
    }
}

/// One packet thread's engine, its tables taken from `budget`. `seed` keys the flow table's hash.
pub fn engine(config: &Config, budget: &Budget, seed: u64, scripts: Scripts) -> Engine {
    let policy = policy(config, &scripts);
    Engine::new(
        FlowTable::new(budget.flows_per_queue() as usize, seed),
        Detector::new(budget.streams_per_queue() as usize),
        scripts,
        policy,
        Outbox::new(budget.events_per_queue() as usize),
    )
}
