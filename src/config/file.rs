//! What the file says at its top and in its single sections; policies and managers have files of their own.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::tz::TimeZone;

use super::document::{Document, Written};
use super::environment::Environment;
use super::freezes;
use super::managers::{self, ManagerFile, SecretSource};
use super::policies::{self, Policies};
use super::problem::Problems;
use super::receivers::{self, ReceiverFile};
use super::section::Section;
use super::settings::{Control, Http, Inventory, Ledger, Settings};
use super::value;
use crate::domain::{Freeze, OnCheckpointFailure, Period};
use crate::policy::Rules;

/// The version of the file's shape that is read here.
pub(super) const VERSION: u32 = 1;

/// Where the state is if nobody says otherwise.
const STATE_DIR: &str = "/var/lib/rekeyd";

/// Plans are made every five seconds; this leaves room for a slow disk.
const SWEEPS: Period = Period::seconds(30);

/// What the file says, with its defaults filled in. Only to be used if no problem was noted: a default stands in for
/// what could not be read, too.
pub(super) struct ConfigFile {
    pub(super) state_dir: PathBuf,
    pub(super) timezone: TimeZone,
    pub(super) ledger: LedgerFile,
    pub(super) http: Http,
    pub(super) stalled_after: Period,
    pub(super) control: Control,
    pub(super) inventory: Inventory,
    pub(super) runbook: Option<String>,
    pub(super) policies: Policies,
    pub(super) freezes: Vec<Freeze>,
    pub(super) managers: Vec<ManagerFile>,
    pub(super) receivers: Vec<ReceiverFile>,
}

/// What the section `[ledger]` says.
#[derive(Default)]
pub(super) struct LedgerFile {
    pub(super) checkpoint_file: Option<PathBuf>,
    pub(super) on_checkpoint_failure: Option<OnCheckpointFailure>,
    pub(super) checkpoint_key: Option<Written<SecretSource>>,
}

/// Reads the whole document; none if it cannot be read at all, which is noted.
pub(super) fn read(document: &Document<'_>, environment: &Environment) -> Option<ConfigFile> {
    let mut top = Section::top(document)?;
    let version = top.required("version", value::whole_number(1..=u32::MAX));
    if let Some(version) = version
        && version.value != VERSION
    {
        // A file of another shape would only draw false reports.
        let what = format!("version {} of the configuration is not known", version.value);
        document.problem(&version.spot, what, format!("this rekeyd reads version {VERSION}"));
        return None;
    }
    let state_dir = top.optional("state_dir", value::absolute_path).map(|path| path.value);
    // Beside the state, where the file itself puts that elsewhere: the commands read the same file, and nothing else.
    let elsewhere = state_dir.clone().filter(|dir| dir != Path::new(STATE_DIR));
    let socket_dir = elsewhere.or_else(|| environment.runtime_directory.clone());
    let state_dir = state_dir.or_else(|| environment.state_directory.clone());
    let timezone = top.optional("timezone", value::time_zone);
    let ledger = read_ledger(top.section("ledger"));
    let (http, stalled_after) = read_http(top.section("http"));
    let control = read_control(top.section("control"), socket_dir);
    let inventory = read_inventory(top.section("inventory"));
    let runbook = read_alerts(top.section("alerts"));
    let timezone = timezone.map_or(TimeZone::UTC, |zone| zone.value);
    let policies = policies::read(&mut top, &timezone);
    let freezes = freezes::read(&mut top, &timezone);
    let managers = managers::read(&mut top, &policies);
    let receivers = receivers::read(&mut top);
    top.finish();
    Some(ConfigFile {
        state_dir: state_dir.unwrap_or_else(|| PathBuf::from(STATE_DIR)),
        timezone,
        ledger,
        http,
        stalled_after,
        control,
        inventory,
        runbook,
        policies,
        freezes,
        managers,
        receivers,
    })
}

fn read_ledger(section: Option<Section<'_>>) -> LedgerFile {
    let Some(mut section) = section else { return LedgerFile::default() };
    let checkpoint_file = section.optional("checkpoint_file", value::absolute_path).map(|path| path.value);
    let on_checkpoint_failure = section.optional("on_checkpoint_failure", value::one_of);
    let on_checkpoint_failure = on_checkpoint_failure.map(|choice| choice.value);
    let checkpoint_key = managers::optional_secret_source(&mut section, "checkpoint_key");
    section.finish();
    LedgerFile { checkpoint_file, on_checkpoint_failure, checkpoint_key }
}

/// The listener, and after how long without a plan it calls the daemon stuck.
fn read_http(section: Option<Section<'_>>) -> (Http, Period) {
    // Loopback, because without a web configuration the listener knows no users.
    let mut http = Http {
        listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 9848)),
        allowed_hosts: Vec::new(),
        web_config_file: None,
    };
    let mut stalled_after = Rules::default().stalled_after;
    let Some(mut section) = section else { return (http, stalled_after) };
    let listen = section.optional("listen", value::socket_address);
    let hosts = section.list("allowed_hosts", value::host_name);
    if let Some(length) = section.optional("stalled_after", value::period) {
        stalled_after = length.value;
        if length.value < SWEEPS {
            let what = format!("`stalled_after` ({}) is shorter than the time between two plans may be", length.value);
            section.document().problem(&length.spot, what, format!("write at least {SWEEPS}"));
        }
    }
    http.web_config_file = section.optional("web_config_file", value::absolute_path).map(|path| path.value);
    if let Some(listen) = listen {
        http.listen = listen.value;
        if listen.value.ip().is_unspecified() && hosts.is_empty() {
            section.document().warning(
                &listen.spot,
                "`listen` is open to other machines, but `allowed_hosts` names no host",
                "requests that ask for this machine by a name are refused; add the name to `allowed_hosts`".to_owned(),
            );
        }
    }
    http.allowed_hosts = hosts.into_iter().map(|host| host.value).collect();
    section.finish();
    (http, stalled_after)
}

fn read_control(section: Option<Section<'_>>, dir: Option<PathBuf>) -> Control {
    let dir = dir.unwrap_or_else(|| PathBuf::from("/run/rekeyd"));
    let mut control = Control { socket: dir.join("control.sock"), group: None };
    let Some(mut section) = section else { return control };
    if let Some(socket) = section.optional("socket", value::socket_path) {
        control.socket = socket.value;
    }
    control.group = section.optional("group", value::owned_text).map(|group| group.value);
    section.finish();
    control
}

fn read_inventory(section: Option<Section<'_>>) -> Inventory {
    let mut inventory = Inventory { every: Period::days(1) };
    let Some(mut section) = section else { return inventory };
    if let Some(every) = section.optional("every", value::period) {
        inventory.every = every.value;
    }
    section.finish();
    inventory
}

/// Where the runbook is.
fn read_alerts(section: Option<Section<'_>>) -> Option<String> {
    let mut section = section?;
    let runbook = section.optional("runbook", value::web_url).map(|url| url.value.to_string());
    section.finish();
    runbook
}

impl ConfigFile {
    /// Where checkpoints go and what their failure means, with the defaults filled in.
    pub(super) fn ledger(&self) -> Ledger {
        let beside = || self.state_dir.join("checkpoints");
        Ledger {
            checkpoint_file: self.ledger.checkpoint_file.clone().unwrap_or_else(beside),
            on_checkpoint_failure: self.ledger.on_checkpoint_failure.unwrap_or(OnCheckpointFailure::Warn),
        }
    }

    /// The checked values; only to be called when no problem was noted.
    pub(super) fn into_settings(self, warnings: Problems) -> Settings {
        let ledger = self.ledger();
        let rules = self.managers.into_iter().filter_map(|manager| Some((manager.name?, manager.rules?))).collect();
        let policies: BTreeMap<_, _> =
            self.policies.into_iter().map(|(name, entry)| (name, Arc::clone(&entry.policy))).collect();
        let Self { freezes, timezone, stalled_after, .. } = self;
        Settings {
            ledger,
            state_dir: self.state_dir,
            http: self.http,
            control: self.control,
            inventory: self.inventory,
            runbook: self.runbook,
            policies,
            rules: Rules { managers: rules, freezes, timezone, stalled_after },
            warnings,
        }
    }
}
