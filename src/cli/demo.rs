//! `rekeyd demo`: a make-believe Ops Manager and the real daemon side by side, with a live account of what happens.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use tokio::sync::mpsc;

use super::output::{BAD, BOLD, DIM, GOOD, Output, WARN, styled};
use super::{Answer, Exit, Stop, audit, runtime};
use crate::app::{self, Daemon, Extras, View};
use crate::config::{self, Config, Environment};
use crate::domain::{Entry, Event, Fleet, How, Listing, Period, RotationId, TargetId, TargetName};
use crate::ports::{JournalError, Observer};
use crate::simulator::{Fault, FleetSpec, KeyTiming, Simulator, SimulatorSpec};
use crate::store::{Reader, RotationFilter, RotationRow};

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
    let answer = summarize(&config, &simulator, output).await;
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

/// Hands what is recorded to the account.
struct Account(mpsc::UnboundedSender<Entry>);

impl Observer for Account {
    fn recorded(&self, entries: &[Entry]) {
        for entry in entries {
            // Nobody listens any more when the account has ended.
            let _ = self.0.send(entry.clone());
        }
    }

    fn record_failed(&self, _: &JournalError) {}
    fn rotation_took(&self, _: Duration) {}
}

/// Tells what happens, a line for each thing that a person would want to see.
#[derive(Default)]
struct Narrator {
    names: BTreeMap<TargetId, TargetName>,
    intended: BTreeMap<(TargetId, RotationId), Timestamp>,
}

impl Narrator {
    fn tell(&mut self, entry: &Entry, output: &mut Output) -> io::Result<()> {
        let at = entry.at.to_zoned(TimeZone::UTC).strftime("%H:%M:%S").to_string();
        let name = entry.event.target().and_then(|id| self.names.get(&id)).map_or("", TargetName::as_str).to_owned();
        match &entry.event {
            Event::TargetFound { description, listing } => {
                self.names.insert(description.id(), description.name());
                if *listing != Listing::Eligible {
                    let why = crate::domain::Standing::Listed(listing);
                    output.line(format_args!(
                        "{at}  {:<38}  {}",
                        description.name(),
                        styled(DIM, format_args!("not managed: {why}"))
                    ))?;
                }
            }
            Event::TargetRefused { refusal, .. } => {
                let why = crate::domain::Standing::Refused(refusal);
                output.line(format_args!("{at}  {name:<38}  {}", styled(DIM, format_args!("not managed: {why}"))))?;
            }
            Event::RotationIntended { target, rotation, .. } => {
                self.intended.insert((target.clone(), *rotation), entry.at);
            }
            Event::RotationReplyLost { failure, .. } => {
                let what = format!("the reply was lost ({}): looking before anything else", failure.reason.as_str());
                output.line(format_args!("{at}  {name:<38}  {}", styled(WARN, what)))?;
            }
            Event::RotationFailed { failure, .. } | Event::RotationUnconfirmed { failure, .. } => {
                output.line(format_args!("{at}  {name:<38}  {}", styled(BAD, failure)))?;
            }
            Event::RotationDone { target, rotation, how, key_before, key_after, .. } => {
                let began = self.intended.remove(&(target.clone(), *rotation));
                let took = began.map(|began| entry.at.duration_since(began).as_secs_f64());
                let took = took.map_or_else(|| "already".to_owned(), |seconds| format!("in {seconds:.1} s"));
                let how = match how {
                    How::Rotated => String::new(),
                    How::FoundChanged => styled(WARN, ", found changed"),
                    How::Recovered => styled(WARN, ", recovered: the lost reply had taken effect"),
                };
                let keys = format!("{} → {}", short(key_before.as_str()), short(key_after.as_str()));
                output.line(format_args!("{at}  {name:<38}  {keys:<27}  {}{how}", styled(GOOD, took)))?;
            }
            Event::TargetQuarantined { .. } => {
                output.line(format_args!(
                    "{at}  {name:<38}  {}",
                    styled(BAD, "out of attempts: waits for an operator")
                ))?;
            }
            Event::AlertRaised { words, .. } => output.line(format_args!("{at}  {} {words}", styled(BAD, "alert")))?,
            Event::DaemonStarted { .. }
            | Event::DaemonStopped { .. }
            | Event::LedgerRecovered { .. }
            | Event::ClockStepped { .. }
            | Event::PolicySet { .. }
            | Event::ConfigReloaded { .. }
            | Event::ConfigRefused { .. }
            | Event::PauseSet { .. }
            | Event::PauseEnded { .. }
            | Event::LookRequested { .. }
            | Event::RotationRequested { .. }
            | Event::CheckpointKeySet { .. }
            | Event::TargetChanged { .. }
            | Event::TargetGone { .. }
            | Event::TargetReturned { .. }
            | Event::TargetReadable { .. }
            | Event::KeySeen { .. }
            | Event::KeyChanged { .. }
            | Event::KeyRedated { .. }
            | Event::ObservationFailing { .. }
            | Event::ObservationRecovered { .. }
            | Event::RotationSending { .. }
            | Event::RotationAccepted { .. }
            | Event::RotationWithdrawn { .. }
            | Event::SlotMissed { .. }
            | Event::SlotHeld { .. }
            | Event::TargetRearmed { .. }
            | Event::ManagerFailing { .. }
            | Event::ManagerAnswering { .. }
            | Event::ProjectUnread { .. }
            | Event::ProjectRead { .. }
            | Event::GapFound { .. }
            | Event::GapClosed { .. }
            | Event::ApiKeyAdded { .. }
            | Event::ApiKeyRemoved { .. }
            | Event::ApiKeyRolesChanged { .. }
            | Event::ApiKeyChanged { .. }
            | Event::ApiKeysRead { .. }
            | Event::ApiKeysUnread { .. }
            | Event::CredentialUsed { .. }
            | Event::AlertCleared { .. }
            | Event::AlertsDelivered { .. }
            | Event::ReceiverFailing { .. }
            | Event::ReceiverAnswering { .. }
            | Event::ReceiverDropped { .. } => {}
        }
        Ok(())
    }
}

/// The first characters of a key's id, for a narrow column.
fn short(key: &str) -> String {
    let mut short: String = key.chars().take(11).collect();
    if short.len() < key.len() {
        short.push('…');
    }
    short
}

/// What came of it: the record against the far end's own count, a second client's opinion, and the ledger's soundness.
async fn summarize(config: &Config, simulator: &Simulator, output: &mut Output) -> Answer {
    let settings = &config.settings;
    let view = View::read(settings)?;
    let reader = Reader::open(&settings.state_dir)?;
    let rotations = reader.rotations(&RotationFilter::default())?;
    let done = |how: How| rotations.iter().filter(|row| row.how == Some(how)).count();
    let truth = simulator.truth();
    let took_effect = truth.rotations().count();
    let parked = view.fleet.targets.values().filter(|record| record.rotation.is_some()).count();
    let rotated = done(How::Rotated) + done(How::Recovered);
    let targets = view.fleet.targets.values().filter(|record| record.last_rotation_at.is_some()).count();
    output.line("")?;
    output.line(styled(BOLD, "What came of it"))?;
    let agree = rotated <= took_effect && took_effect <= rotated + parked;
    verdict(
        agree,
        format_args!(
            "{rotated} rotations of {targets} targets are on record ({} of them recovered after a lost reply); at the far end {took_effect} took effect",
            done(How::Recovered)
        ),
        output,
    )?;
    if parked > 0 {
        output.line(format_args!(
            "      {parked} more were in hand at the end; the next start would settle them by looking"
        ))?;
    }
    let twice = twice(&rotations);
    verdict(twice == 0, format_args!("no slot was answered twice"), output)?;
    let (agreed, asked) = second_opinions(config, &view.fleet, simulator).await;
    verdict(
        agreed == asked,
        format_args!(
            "a second client, which shares no code with the daemon's, reads the recorded key of {agreed} of {asked} targets"
        ),
        output,
    )?;
    output.raw(b"  ")?;
    let verified = audit::verify_all(settings, output)?;
    let good = agree && twice == 0 && agreed == asked && verified == Exit::Done;
    Ok(if good { Exit::Done } else { Exit::Failed })
}

fn verdict(good: bool, words: impl std::fmt::Display, output: &mut Output) -> io::Result<()> {
    let mark = if good { styled(GOOD, "pass") } else { styled(BAD, "FAIL") };
    output.line(format_args!("  {mark} {words}"))
}

/// Slots that more than one rotation answered: what the database forbids, looked at all the same.
fn twice(rotations: &[RotationRow]) -> usize {
    let mut answered = BTreeSet::new();
    rotations.iter().filter(|row| row.how.is_some() && !answered.insert((&row.target, row.id.slot))).count()
}

/// Asks for each settled target's key once more, with the other client and the far end in good health.
async fn second_opinions(config: &Config, fleet: &Fleet, simulator: &Simulator) -> (usize, usize) {
    simulator.set_faults(Vec::new());
    let settled = fleet.targets.values().filter(|record| record.rotation.is_none() && record.refusal.is_none());
    let (mut agreed, mut asked) = (0, 0);
    for record in settled {
        let Some(known) = &record.key else { continue };
        asked += 1;
        if app::second_opinion(config, &record.target).await.as_ref() == Some(&known.id) {
            agreed += 1;
        }
    }
    (agreed, asked)
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
