//! An engine as a test wants it: bundled plugins, class S's tables, nothing of the machine in it.
#![allow(dead_code, reason = "each test crate uses a part of it")]

use std::path::PathBuf;

use flowreeve::budget::Budget;
use flowreeve::config::{Config, Mode};
use flowreeve::engine::Engine;
use flowreeve::script::Scripts;
use flowreeve::setup;
use flowreeve::time::Now;

/// Memory of class S.
const BYTES: usize = 12 << 20;

/// Sizes of class S.
pub fn budget() -> Budget {
    Budget::split(BYTES)
}

/// An enforcing configuration with the plugins of `folders`, below the project's root.
pub fn config(folders: &[&str]) -> Config {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    Config {
        mode: Mode::Enforce,
        plugin_dirs: folders.iter().map(|folder| root.join(folder)).collect(),
        flow_script_dirs: Vec::new(),
        custom_script_dir: None,
        scripts_file: PathBuf::new(),
        ..Config::default()
    }
}

/// An enforcing engine with the plugins of `folders`, below the project's root.
pub fn with_plugins(folders: &[&str]) -> Engine {
    with_config(&config(folders))
}

/// An engine by `config`.
pub fn with_config(config: &Config) -> Engine {
    let budget = budget();
    setup::engine(config, &budget, 1, scripts(config, &budget))
}

/// The scripts of `config`.
pub fn scripts(config: &Config, budget: &Budget) -> Scripts {
    setup::scripts(
        config,
        &setup::sources(config),
        budget,
        &setup::env(config),
        setup::to_stderr(),
        None,
        Now::default(),
    )
    .expect("a Lua state can be made")
}
