//! `synod start`: a node, from its settings to its end.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use tracing_subscriber::EnvFilter;

use crate::settings::{Layers, Log, LogFormat, Settings};
use crate::transport::wire::Versions;

/// Runs a node until SIGTERM, SIGINT or a failure.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  synod start --settings /etc/synod/synod.toml
  synod start --settings cluster.toml --node use1-b --data-dir /var/lib/synod-b
  synod start --settings node-6.toml --join join.toml
  SYNOD_LOG_FORMAT=json synod start --settings cluster.toml --set timing.election_timeout=2s

Exit codes: 0 stopped when told to; 1 the node failed; 2 the settings are faulty.")]
pub(super) struct Arguments {
    /// The settings file (TOML); deploy/synod.toml documents every key
    #[arg(long, value_name = "FILE", env = "SYNOD_SETTINGS")]
    settings: Option<PathBuf>,
    /// Which member this node is, by number or name
    #[arg(long)]
    node: Option<String>,
    /// Where journal and store live
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Sets any key, for example listen.clients=127.0.0.1:2379; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Starts on an empty disk as a founding member; refused if there is data already
    #[arg(long, env = "SYNOD_BOOTSTRAP")]
    bootstrap: bool,
    /// Joins a running cluster with the document that `synod member add` or `replace` wrote
    #[arg(long, value_name = "FILE", conflicts_with = "bootstrap")]
    join: Option<PathBuf>,
    /// Stops when standard input ends: a parent that dies takes the node along
    #[arg(long, hide = true)]
    exit_with_stdin: bool,
    /// Speaks these wire versions instead of this build's, such as 2-3: a test plays another build
    #[arg(long, hide = true, value_parser = parse_versions)]
    wire_versions: Option<Versions>,
}

fn parse_versions(text: &str) -> Result<Versions, String> {
    let (oldest, newest) = text.split_once('-').ok_or("two numbers with a hyphen between them")?;
    let number = |text: &str| text.parse::<u16>().map_err(|error| error.to_string());
    let (oldest, newest) = (number(oldest)?, number(newest)?);
    if oldest == 0 || newest < oldest || newest - oldest > 255 {
        return Err("from a version above 0 to one that is not below it".to_owned());
    }
    Ok(Versions { oldest, newest })
}

pub(super) fn run(arguments: &Arguments) -> ExitCode {
    let settings = match resolve(arguments) {
        Ok(settings) => settings,
        Err(reason) => {
            eprintln!("synod start: {reason}");
            return ExitCode::from(2);
        }
    };
    start_logging(&settings.log);
    abort_on_panic();
    let start = crate::server::Start {
        bootstrap: arguments.bootstrap,
        exit_with_stdin: arguments.exit_with_stdin,
        speaks: arguments.wire_versions,
    };
    match crate::server::run(settings, start) {
        Ok(()) => leave(0),
        Err(error) => {
            tracing::error!(%error, "the node failed");
            eprintln!("synod start: {error}");
            leave(1)
        }
    }
}

/// Ends the process as it is. A disk that fails may hold up threads that still have the journal or the state open (A5), and a usual
/// exit takes RocksDB's globals from under them: now and then one of them then ends the process by a signal instead.
fn leave(code: i32) -> ! {
    signal_hook::low_level::exit(code)
}

fn resolve(arguments: &Arguments) -> Result<Settings, String> {
    let mut layers = Layers::new();
    if let Some(path) = &arguments.settings {
        layers = layers.with_file(path)?;
    }
    layers = layers.with_environment(std::env::vars());
    if let Some(node) = &arguments.node {
        layers = layers.with_flag("node", node);
    }
    if let Some(folder) = &arguments.data_dir {
        layers = layers.with_flag("data_dir", &folder.to_string_lossy());
    }
    if let Some(document) = &arguments.join {
        layers = layers.with_flag("join", &document.to_string_lossy());
    }
    for pair in &arguments.set {
        let (key, value) = pair
            .split_once('=')
            .ok_or_else(|| format!("--set {pair} is not KEY=VALUE"))?;
        layers = layers.with_flag(key.trim(), value.trim());
    }
    Settings::resolve(&layers).map_err(|faults| faults.to_string())
}

/// Logs go to standard error; standard output belongs to results.
fn start_logging(log: &Log) {
    let filter = EnvFilter::new(&log.level);
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    match log.format {
        LogFormat::Text => lines.init(),
        LogFormat::Json => lines.json().flatten_event(true).init(),
    }
}

/// A panic is a broken invariant. The whole process ends at once, so that no thread goes on from a broken state.
fn abort_on_panic() {
    std::panic::set_hook(Box::new(|panic| {
        let backtrace = std::backtrace::Backtrace::force_capture();
        tracing::error!(%panic, "an invariant is broken; the process ends at once\n{backtrace}");
        std::process::abort();
    }));
}
