//! Wires the parts: arguments, configuration, output, exit codes. Decides nothing.

use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use flowreeve::budget::{BOARD_DIR, Budget, Machine};
use flowreeve::cli::{self, Command, Replay};
use flowreeve::config::{self, Config};
use flowreeve::events::eve::Context;
use flowreeve::logging::{self, To};
use flowreeve::replay::{self, Summary};
use flowreeve::script::catalog::Level;
use flowreeve::time::Now;
use flowreeve::{daemon, nft, setup};

/// A verdict on captures must not depend on chance: replay keys the flow table with this.
const REPLAY_SEED: u64 = 0x666c_6f77_7265_6576;

/// Exit code for bad usage or configuration.
const BAD_USAGE: u8 = 2;

fn main() -> ExitCode {
    let command = match cli::parse(std::env::args_os().skip(1)) {
        Ok(command) => command,
        Err(error) => {
            eprintln!("flowreeve: {error} (flowreeve --help lists what there is)");
            return ExitCode::from(BAD_USAGE);
        }
    };
    match perform(command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("flowreeve: {error:#}");
            exit_code(&error)
        }
    }
}

fn exit_code(error: &anyhow::Error) -> ExitCode {
    let daemon = error
        .downcast_ref::<daemon::DaemonError>()
        .map(daemon::DaemonError::exit_code);
    let config = error.is::<config::ConfigError>().then_some(BAD_USAGE);
    ExitCode::from(daemon.or(config).unwrap_or(1))
}

fn perform(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Help => print!("{}", cli::USAGE),
        Command::Version => println!("flowreeve {}", env!("CARGO_PKG_VERSION")),
        Command::Run { config } => {
            let config = config.unwrap_or_else(|| cli::CONFIG.into());
            logging::init(config::LogLevel::Notice, To::Auto);
            daemon::run(&config)?;
        }
        Command::Replay(options) => return replay_files(&options),
        Command::Plugins {
            config,
            scripts,
            dirs,
            json,
        } => {
            return list_plugins(config, scripts, dirs, json);
        }
        Command::CheckConfig { config, write } => {
            let file = config.unwrap_or_else(|| cli::CONFIG.into());
            let config = config::check_config(&file, write.as_deref())?;
            Budget::choose(&config, &Machine::read(), Path::new(BOARD_DIR))?;
        }
        Command::RenderNft { config, queue } => {
            let config = load(config)?;
            print!("{}", nft::render(&setup::rules(&config, queue)?)?);
        }
        Command::RenderIptables { config } => {
            let config = load(config)?;
            let rules = setup::rules(&config, false)?;
            print!("{}", nft::iptables_rules(&rules, nft::Change::Add)?);
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The configuration of `file`; without one the router's own, or all defaults where there is none.
fn load(file: Option<PathBuf>) -> Result<Config, config::ConfigError> {
    match file {
        Some(file) => Config::load(&file),
        None if Path::new(cli::CONFIG).exists() => Config::load(Path::new(cli::CONFIG)),
        None => Ok(Config::default()),
    }
}

/// Plugins and script settings named on the command line stand in place of the configuration's.
fn narrow(config: &mut Config, plugins: &[PathBuf], scripts: Option<PathBuf>) {
    if !plugins.is_empty() {
        config.plugin_dirs = plugins.to_vec();
        config.flow_script_dirs.clear();
        config.custom_script_dir = None;
    }
    if let Some(file) = scripts {
        config.scripts_file = file;
    } else if !plugins.is_empty() {
        config.scripts_file = PathBuf::new();
    }
}

fn replay_files(options: &Replay) -> anyhow::Result<ExitCode> {
    logging::init(config::LogLevel::Notice, To::Stderr);
    let mut config = load(options.config.clone())?;
    narrow(&mut config, &options.plugins, options.scripts.clone());
    if let Some(mode) = options.mode {
        config.mode = mode;
    }
    let machine = Machine {
        cores: 1,
        ..Machine::read()
    };
    let budget = Budget::choose(&config, &machine, Path::new(BOARD_DIR))?;
    let sources = setup::sources(&config);
    let env = setup::env(&config);
    let mut out = BufWriter::new(io::stdout().lock());
    let mut failed = false;
    for file in &options.files {
        // Flows, scripts' memory and time begin anew with each file.
        let scripts = setup::scripts(
            &config,
            &sources,
            &budget,
            &env,
            setup::to_stderr(),
            None,
            Now::default(),
        )?;
        let catalog = scripts.catalog().clone();
        let context = Context {
            names: &*catalog,
            places: &config,
            mode: config.mode,
            score_mode: config.score_mode,
        };
        let mut engine = setup::engine(&config, &budget, REPLAY_SEED, scripts);
        match replay::replay(file, &mut engine, &context, &mut out) {
            Ok(summary) => report(file, &summary),
            Err(error) => {
                eprintln!("flowreeve: {error:#}");
                failed = true;
            }
        }
    }
    out.flush().context("cannot write events")?;
    Ok(if failed {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

fn report(file: &Path, summary: &Summary) {
    let counters = &summary.counters;
    let verdicts = &counters.verdicts;
    eprintln!(
        "{}: {} frames, {} packets, {} flows; {} condemned, {} packets dropped",
        file.display(),
        summary.frames,
        counters.packets.seen,
        counters.flows.created,
        counters.flows.condemned,
        verdicts.drop + verdicts.drop_flow + verdicts.reject_flow,
    );
    let odd = summary.no_packet.each().chain(counters.malformed.each());
    for (name, count) in odd.filter(|(_, count)| *count > 0) {
        eprintln!("  {name}: {count}");
    }
    if let Some(error) = &summary.cut_short {
        eprintln!("  {error}; what came before it counts");
    }
}

fn list_plugins(
    config: Option<PathBuf>,
    scripts: Option<PathBuf>,
    dirs: Vec<PathBuf>,
    json: bool,
) -> anyhow::Result<ExitCode> {
    logging::init(config::LogLevel::Error, To::Stderr);
    let mut config = load(config)?;
    narrow(&mut config, &dirs, scripts);
    let budget = Budget::choose(&config, &Machine::read(), Path::new(BOARD_DIR))?;
    let (sources, env) = (setup::sources(&config), setup::env(&config));
    let loaded = setup::scripts(
        &config,
        &sources,
        &budget,
        &env,
        setup::to_stderr(),
        None,
        Now::default(),
    )?;
    let catalog = loaded.catalog();
    if json {
        println!("{:#}", catalog.report_json());
    } else {
        print!("{}", catalog.report_text());
    }
    let refused = catalog.findings(Level::Refused).next().is_some();
    Ok(if refused {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}
