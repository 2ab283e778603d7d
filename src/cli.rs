//! Arguments to a [`Command`].

use std::ffi::OsString;
use std::path::PathBuf;

use lexopt::prelude::*;

use crate::config::Mode;

/// Where the daemon finds its configuration when none is named.
pub const CONFIG: &str = "/etc/config/flowreeve";

/// What `--help` prints.
pub const USAGE: &str = "\
flowreeve: inline flow inspection with ntopng-compatible Lua plugins

  flowreeve run [--config FILE]
      the engine: takes packets from the kernel's queues and answers them
  flowreeve replay [--config FILE] [--mode monitor|enforce] [--plugins DIR]... [--scripts FILE] FILE...
      captures (pcap, pcapng) through the same engine: events as JSON lines on
      standard output, a summary on standard error
  flowreeve plugins [--config FILE] [--scripts FILE] [--json] [DIR]...
      what would load, and what would not and why
  flowreeve check-config [--config FILE] [--write FILE]
      says what is wrong with the configuration; --write: the checked form as JSON
  flowreeve render-nft [--config FILE] [--no-queue]
      the firewall table for this configuration, to be loaded by `nft -f`
  flowreeve render-iptables [--config FILE]
      for kernels without nft's queue statement, beside `render-nft --no-queue`

FILE of --config: UCI text or the JSON of check-config; default /etc/config/flowreeve.
Exit codes: 0 well, 1 failed, 2 bad usage or configuration, 3 the kernel lacks what is
needed, 4 the queue is taken by another program.
";

/// What is to be done.
#[derive(Debug, PartialEq, Eq)]
#[allow(missing_docs)] // options as the usage text explains them
pub enum Command {
    Run {
        config: Option<PathBuf>,
    },
    Replay(Replay),
    Plugins {
        config: Option<PathBuf>,
        scripts: Option<PathBuf>,
        dirs: Vec<PathBuf>,
        json: bool,
    },
    CheckConfig {
        config: Option<PathBuf>,
        write: Option<PathBuf>,
    },
    RenderNft {
        config: Option<PathBuf>,
        queue: bool,
    },
    RenderIptables {
        config: Option<PathBuf>,
    },
    Help,
    Version,
}

/// Options of `replay`.
#[derive(Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Replay {
    pub config: Option<PathBuf>,
    pub mode: Option<Mode>,
    pub plugins: Vec<PathBuf>,
    pub scripts: Option<PathBuf>,
    pub files: Vec<PathBuf>,
}

/// The command that `args` (without the program's name) ask for.
///
/// # Errors
/// What is wrong with them, for one line on standard error.
pub fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Command, lexopt::Error> {
    let mut parser = lexopt::Parser::from_args(args);
    let name = match parser.next()? {
        Some(Value(name)) => name.string()?,
        Some(Short('h') | Long("help")) | None => return Ok(Command::Help),
        Some(Short('V') | Long("version")) => return Ok(Command::Version),
        Some(other) => return Err(other.unexpected()),
    };
    let mut given = Given::default();
    while let Some(arg) = parser.next()? {
        match arg {
            Short('h') | Long("help") => return Ok(Command::Help),
            Long("config") => given.config = Some(parser.value()?.into()),
            Long("scripts") => given.scripts = Some(parser.value()?.into()),
            Long("write") if name == "check-config" => given.write = Some(parser.value()?.into()),
            Long("plugins") if name == "replay" => given.dirs.push(parser.value()?.into()),
            Long("mode") if name == "replay" => {
                given.mode = Some(parser.value()?.parse_with(mode)?)
            }
            Long("no-queue") if name == "render-nft" => given.no_queue = true,
            Long("json") if name == "plugins" => given.json = true,
            Value(path) if name == "replay" || name == "plugins" => given.paths.push(path.into()),
            other => return Err(other.unexpected()),
        }
    }
    given.command(&name)
}

#[derive(Default)]
struct Given {
    config: Option<PathBuf>,
    scripts: Option<PathBuf>,
    write: Option<PathBuf>,
    dirs: Vec<PathBuf>,
    paths: Vec<PathBuf>,
    mode: Option<Mode>,
    no_queue: bool,
    json: bool,
}

impl Given {
    fn command(self, name: &str) -> Result<Command, lexopt::Error> {
        let Given {
            config,
            scripts,
            write,
            dirs,
            paths,
            mode,
            no_queue,
            json,
        } = self;
        Ok(match name {
            "run" => Command::Run { config },
            "replay" if paths.is_empty() => {
                return Err("replay wants at least one capture file".into());
            }
            "replay" => Command::Replay(Replay {
                config,
                mode,
                plugins: dirs,
                scripts,
                files: paths,
            }),
            "plugins" => Command::Plugins {
                config,
                scripts,
                dirs: paths,
                json,
            },
            "check-config" => Command::CheckConfig { config, write },
            "render-nft" => Command::RenderNft {
                config,
                queue: !no_queue,
            },
            "render-iptables" => Command::RenderIptables { config },
            "help" => Command::Help,
            other => return Err(format!("no command '{other}'; see flowreeve --help").into()),
        })
    }
}

fn mode(text: &str) -> Result<Mode, &'static str> {
    match text {
        "monitor" => Ok(Mode::Monitor),
        "enforce" => Ok(Mode::Enforce),
        _ => Err("is monitor or enforce"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Command, String> {
        parse(line.split_whitespace().map(OsString::from)).map_err(|error| error.to_string())
    }

    #[test]
    fn replay_takes_several_folders_and_files() {
        let replay = Replay {
            mode: Some(Mode::Enforce),
            plugins: vec!["a".into(), "b".into()],
            files: vec!["x.pcap".into(), "y.pcap".into()],
            ..Replay::default()
        };

        assert_eq!(
            parsed("replay --plugins a --mode enforce x.pcap --plugins b y.pcap"),
            Ok(Command::Replay(replay))
        );
    }

    #[test]
    fn an_option_of_another_command_is_refused() {
        assert!(parsed("run --no-queue").is_err_and(|text| text.contains("--no-queue")));
        assert!(parsed("replay").is_err_and(|text| text.contains("capture")));
        assert!(parsed("fly").is_err_and(|text| text.contains("'fly'")));
    }

    #[test]
    fn nothing_asks_for_help() {
        assert_eq!(parsed(""), Ok(Command::Help));
    }
}
