//! An engine as a test wants it: bundled plugins, class S's tables, nothing of the machine in it.

use std::path::PathBuf;

use flowreeve::budget::Budget;
use flowreeve::config::{Config, Mode};
use flowreeve::engine::Engine;
use flowreeve::setup;
use flowreeve::time::Now;

/// Memory of class S.
const BYTES: usize = 12 << 20;

/// An enforcing engine with the plugins of `folders`, below the project's root.
pub fn with_plugins(folders: &[&str]) -> Engine {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let config = Config {
        mode: Mode::Enforce,
        plugin_dirs: folders.iter().map(|folder| root.join(folder)).collect(),
        flow_script_dirs: Vec::new(),
        custom_script_dir: None,
        scripts_file: PathBuf::new(),
        ..Config::default()
    };
    with_config(&config)
}

/// An engine by `config`.
pub fn with_config(config: &Config) -> Engine {
    let budget = Budget::split(BYTES);
    let sources = setup::sources(config);
    let env = setup::env(config);
    let scripts = setup::scripts(
        config,
        &sources,
        &budget,
        &env,
        setup::to_stderr(),
        None,
        Now::default(),
    )
    .expect("a Lua state can be made");
    setup::engine(config, &budget, 1, scripts)
}
