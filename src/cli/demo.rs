//! `rekeyd demo`: a make-believe Ops Manager and the real daemon side by side, with a live account of what happens.

mod account;
mod outcome;

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use self::account::{Account, Narrator};
use super::output::{BOLD, DIM, Output, styled};
use super::{Answer, Stop, runtime};
use crate::app::{self, Daemon, Extras};
use crate::config::{self, Environment};
use crate::domain::Period;
use crate::ports::Observer;
use crate::simulator::{Fault, FleetSpec, KeyTiming, Simulator, SimulatorSpec};

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  rekeyd demo --for 20s\n  rekeyd demo --targets 100 --fault cut-after:0.2 --fault hang@get:0.05"
)]
pub(super) struct Args {
    /// End by itself after this time; without it Ctrl-C does.
    #[arg(long = "for", value_name = "TIME")]
    length: Option<Period>,
    /// So many stand-alone replica sets instead of the small mixed fleet.
    #[arg(long, value_name = "N")]
    targets: Option<usize>,
    /// The interval of the rotations.
    #[arg(long, default_value = "10s")]
    every: Period,
    /// What goes wrong at the far end, as for `simulate`; may be given several times.
    #[arg(long, value_name = "FAULT", default_value = "cut-after:0.1")]
    fault: Vec<Fault>,
}

pub(super) fn demo(args: &Args, output: &mut Output) -> Answer {
    let folder = tempfile::Builder::new().prefix("rekeyd-demo-").tempdir();
    let folder = folder.map_err(|error| Stop::Words(format!("no temporary folder: {error}")))?;
    runtime()?.block_on(show(args, folder.path(), output))
}

async fn show(args: &Args, folder: &Path, output: &mut Output) -> Answer {
    let simulator = Simulator::start(SimulatorSpec {
        fleet: args.targets.map_or_else(FleetSpec::default, FleetSpec::uniform),
        timing: KeyTiming::After(Duration::from_millis(300)),
        faults: args.fault.clone(),
        ..SimulatorSpec::default()
    })
    .await
    .map_err(|error| Stop::Words(format!("the make-believe Ops Manager cannot start: {error}")))?;
    let path = folder.join("rekeyd.toml");
    let configuration = configuration(folder, &simulator, args.every);
    write_secret(&folder.join("private-key"), &simulator.credentials().private_key)
        .and_then(|()| write_secret(&path, &configuration))
        .map_err(|error| Stop::Words(format!("cannot write into {}: {error}", folder.display())))?;
    let config =
        config::load(&path, &Environment::default()).map_err(|problems| Stop::Config(path.clone(), problems))?;

    let (tell, mut told) = mpsc::unbounded_channel();
    let witness: Arc<dyn Observer> = Arc::new(Account(tell));
    let daemon = Daemon::start(&config, Extras { witness: Some(witness), ..Extras::default() }).await;
    let daemon = daemon.map_err(|error| Stop::Words(error.to_string()))?;
    introduce(args, &simulator, &daemon, &path, output)?;
    let mut narrator = Narrator::default();
    let end = async {
        match args.length {
            Some(length) => tokio::select! { () = app::pause(length.as_duration()) => {}, () = interrupted() => {} },
            None => interrupted().await,
        }
    };
    tokio::pin!(end);
    loop {
        tokio::select! {
            () = &mut end => break,
            Some(entry) = told.recv() => narrator.tell(&entry, output)?,
        }
    }
    output.line(styled(DIM, "stopping: rotations in hand may finish …"))?;
    daemon.stop().await;
    while let Ok(entry) = told.try_recv() {
        narrator.tell(&entry, output)?;
    }
    let answer = outcome::summarize(&config, &simulator, output).await;
    drop(simulator.stop().await);
    answer
}

/// What the daemon is run with: the configuration that anyone could write, with short times.
fn configuration(folder: &Path, simulator: &Simulator, every: Period) -> String {
    let (url, public_key) = (simulator.url(), &simulator.credentials().public_key);
    let folder = folder.display();
    format!(
        r#"version = 1
state_dir = "{folder}/state"

[http]
listen = "127.0.0.1:0"

[control]
socket = "{folder}/control.sock"

[policy.default]
every = "{every}"
spread = "20%"
alert_after = "90d"
first_rotation = "now"
confirm_within = "{every}"
settle = "3s"
observe_every = "5s"

[[ops_manager]]
name = "demo"
url = "{url}"
public_key = "{public_key}"
private_key = {{ file = "{folder}/private-key" }}
request_timeout = "2s"
max_concurrent = 4
requests_per_second = 200
"#
    )
}

fn introduce(
    args: &Args,
    simulator: &Simulator,
    daemon: &Daemon,
    config: &Path,
    output: &mut Output,
) -> io::Result<()> {
    let (manager, address, config) = (simulator.url(), daemon.address(), config.display());
    let faults: Vec<_> = args.fault.iter().map(ToString::to_string).collect();
    output.line(styled(
        BOLD,
        "rekeyd rotates the backup master keys of a make-believe Ops Manager, and proves each rotation.",
    ))?;
    output.line("")?;
    output.line(format_args!("  Ops Manager  {manager}  (what goes wrong there: {})", faults.join(", ")))?;
    output.line(format_args!("  policy       every {}; each rotation is confirmed by a GET", args.every))?;
    output.line(format_args!("  page         http://{address}/"))?;
    output.line(format_args!("  metrics      curl http://{address}/metrics"))?;
    output.line(format_args!("  health       curl http://{address}/healthz"))?;
    output.line(format_args!("  status       rekeyd --config {config} status"))?;
    output.line(format_args!("  history      rekeyd --config {config} history"))?;
    output.line("")?;
    output.line(styled(
        BOLD,
        format_args!("{:<8}  {:<38}  {:<27}  {}", "TIME", "TARGET", "OLD KEY → NEW KEY", "CONFIRMED BY GET"),
    ))
}

/// Returns when Ctrl-C is pressed or a SIGTERM comes.
pub(super) async fn interrupted() {
    use tokio::signal::unix::{SignalKind, signal};
    match (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) {
        (Ok(mut terminate), Ok(mut interrupt)) => {
            tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
        }
        // Without signals there is nothing to wait for.
        (Err(_), _) | (_, Err(_)) => {}
    }
}

/// Writes a file that only its owner may read.
pub(super) fn write_secret(path: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())
}
