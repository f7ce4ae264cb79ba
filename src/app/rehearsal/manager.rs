//! Checks one manager, step by step: its name, a connection, TLS, the login, its projects, every key, our roles.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpStream, lookup_host};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::findings::{MORE_TIME, login, mechanism, projects, targets, version};
use super::{Line, Step, certificates};
use crate::alerts::{About, against, length};
use crate::config::Manager;
use crate::domain::{
    Credential, Excess, Failure, Glob, Grant, KeyId, Period, Power, Reason, Sighting, Standing, TargetId, TargetRecord,
};
use crate::policy::Rules;
use crate::ports::{Access, Clock, Discovery, Greeting, KeyService};
use crate::remote::ops_manager::OpsManager;

/// The longest wait for a name, a connection, or one reply, if no more time is given. The daemon itself waits longer; the user of
/// a check wants to know soon that something takes long.
pub(super) const PATIENCE: Period = Period::seconds(3);
/// Clocks that differ by more than this, in seconds, make times in the two logs hard to match.
const CLOCK_TOLERANCE_S: i64 = 30;

/// The time-out of one request in a rehearsal that may take so long: a third of it is left to each, so that a slow reply is not
/// the end of it all.
pub(super) fn patience(within: Duration, manager: &Manager) -> Period {
    let share = Period::from_secs(within.as_secs() / 3).unwrap_or(PATIENCE);
    manager.request_timeout.min(share.max(PATIENCE))
}

/// The inputs of one manager's check.
pub(super) struct ManagerCheck {
    pub(super) config: Manager,
    pub(super) service: Arc<OpsManager>,
    pub(super) clock: Arc<dyn Clock>,
    /// By the monotonic clock, when it has to end.
    pub(super) until: Duration,
    /// How long one request may take.
    pub(super) patience: Period,
    pub(super) rules: Rules,
    pub(super) glob: Glob,
    /// The API key on record.
    pub(super) credential: Option<Credential>,
}

/// What the check found.
#[derive(Default)]
pub(super) struct Found {
    pub(super) lines: Vec<Line>,
    pub(super) discovery: Option<Discovery>,
    pub(super) keys: BTreeMap<TargetId, Result<KeyId, Failure>>,
}

/// Marker: a step failed, its line is recorded, and later steps are skipped.
struct Stopped;

impl ManagerCheck {
    /// Runs the steps until one fails; those behind it are told as not reached.
    pub(super) async fn run(self) -> Found {
        let mut found = Found::default();
        found.lines.push(self.credential());
        let ended = self.steps(&mut found).await.is_err();
        let reached: Vec<Step> = found.lines.iter().map(|line| line.step).collect();
        let steps = [
            Step::Dns,
            Step::Tcp,
            Step::Tls,
            Step::Login,
            Step::Version,
            Step::Clock,
            Step::AccessList,
            Step::Projects,
            Step::Targets,
            Step::Mechanism,
            Step::Roles,
        ];
        if ended {
            let missed = steps.into_iter().filter(|step| !reached.contains(step));
            found.lines.extend(missed.map(|step| step.skip("not reached")));
        }
        for line in &mut found.lines {
            line.manager = Some(self.config.name.clone());
        }
        found.lines.sort_by_key(|line| steps.iter().position(|step| *step == line.step));
        found
    }

    async fn steps(&self, found: &mut Found) -> Result<(), Stopped> {
        let lines = &mut found.lines;
        let addresses = keep(lines, self.resolve().await)?;
        keep(lines, self.connect(&addresses).await.map(|line| ((), line)))?;
        let greeting = match self.service.greet().await {
            Ok(greeting) => greeting,
            Err(failure) => {
                // Without a reply, the failure is one of TLS or of whatever answers there.
                let step = if failure.reason == Reason::Tls { Step::Tls } else { Step::Login };
                lines.push(self.failed(step, &failure));
                return Err(Stopped);
            }
        };
        lines.extend(self.tls(&greeting));
        lines.push(version(&greeting, None));
        lines.push(self.clocks(&greeting));
        keep(lines, login(&greeting, &self.config.public_key).map(|line| ((), line)))?;
        let discovery = match timeout(self.left(), self.service.discover()).await {
            Ok(Ok(discovery)) => discovery,
            Ok(Err(failure)) => {
                let step = if failure.reason == Reason::AddressRefused { Step::AccessList } else { Step::Projects };
                lines.push(self.failed(step, &failure));
                return Err(Stopped);
            }
            Err(_) => {
                lines.push(Step::Projects.fail("the projects could not be listed in time", MORE_TIME));
                return Err(Stopped);
            }
        };
        lines.push(Step::AccessList.pass("the manager lets this machine's address in"));
        lines.extend(projects(&discovery, |failure| self.failed(Step::Projects, failure)));
        let unasked = self.read_keys(&discovery, &mut found.keys).await;
        found.lines.extend(targets(&found.keys, unasked));
        let asked = |sighting: &Sighting| self.glob.matches(sighting.target.name().as_str());
        if unasked == 0
            && discovery.sightings.iter().any(asked)
            && let Some(told) = found.lines.iter_mut().find(|line| line.step == Step::Version)
        {
            // What a version implies is known from tables; the keys themselves know better.
            *told = version(&greeting, Some(found.keys.values().filter(|key| key.is_ok()).count()));
        }
        found.lines.push(mechanism(&found.keys, found.lines.iter().find(|line| line.step == Step::Version)));
        found.lines.extend(self.roles().await);
        found.discovery = Some(discovery);
        Ok(())
    }

    /// Whether a request ended because we wait less long than the daemon would.
    fn was_impatient(&self, failure: &Failure) -> bool {
        failure.reason == Reason::TimedOut && self.patience < self.config.request_timeout
    }

    /// What failed, and what to do about it.
    fn failed(&self, step: Step, failure: &Failure) -> Line {
        if self.was_impatient(failure) {
            let theirs = self.config.request_timeout;
            step.warn(format!("{failure}; this check waits no longer, and the daemon waits {theirs}"), MORE_TIME)
        } else {
            step.failed(failure)
        }
    }

    fn left(&self) -> Duration {
        self.until.saturating_sub(self.clock.monotonic())
    }

    /// Our own API key: which one, and for how long.
    fn credential(&self) -> Line {
        let key = &self.config.public_key;
        let words = match &self.credential {
            Some(known) if known.public_key == *key => {
                let age = length(known.since, self.clock.now());
                format!(
                    "API key {key}, in use here since {:.0}, for {age}; its private half is closed to others",
                    known.since
                )
            }
            Some(known) => {
                let before = &known.public_key;
                format!("API key {key}, not in use yet: it follows {before}; its private half is closed to others")
            }
            None => format!("API key {key}, not in use yet; its private half is closed to others"),
        };
        Step::Credential.pass(words)
    }

    /// Where the connection goes: to the proxy, if there is one.
    fn host(&self) -> (String, u16) {
        let url = self.config.proxy.as_ref().unwrap_or(&self.config.url);
        let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        (host, url.port_or_known_default().unwrap_or_default())
    }

    async fn resolve(&self) -> Result<(Vec<SocketAddr>, Line), Line> {
        let (host, port) = self.host();
        let next = "check the name in `url`, and this machine's resolver";
        let looked_up = timeout(self.left().min(self.patience.as_duration()), lookup_host((host.as_str(), port))).await;
        match looked_up {
            Err(_) => Err(Step::Dns.fail(format!("the resolver gave no answer for {host} in time"), next)),
            Ok(Err(error)) => Err(Step::Dns.fail(format!("the name {host} is not known: {error}"), next)),
            Ok(Ok(addresses)) => {
                let addresses: Vec<SocketAddr> = addresses.collect();
                let shown = addresses.iter().map(|address| address.ip().to_string()).collect::<BTreeSet<_>>();
                let shown = shown.into_iter().collect::<Vec<_>>().join(", ");
                let via = if self.config.proxy.is_some() { "the proxy " } else { "" };
                Ok((addresses, Step::Dns.pass(format!("{via}{host} is {shown}"))))
            }
        }
    }

    async fn connect(&self, addresses: &[SocketAddr]) -> Result<Line, Line> {
        let (host, port) = self.host();
        let connect = async {
            let mut last = None;
            for address in addresses {
                match TcpStream::connect(address).await {
                    Ok(_) => return Ok(*address),
                    Err(error) => last = Some(error),
                }
            }
            Err(last.map_or_else(|| "no address".to_owned(), |error| error.to_string()))
        };
        let next = against(About::Manager, Reason::Unreachable);
        match timeout(self.left().min(self.patience.as_duration()), connect).await {
            Ok(Ok(address)) => Ok(Step::Tcp.pass(format!("{address} takes connections"))),
            Ok(Err(error)) => Err(Step::Tcp.fail(format!("unreachable: {host} at port {port}: {error}"), next)),
            Err(_) => Err(Step::Tcp.fail(format!("unreachable: {host} at port {port} does not answer"), next)),
        }
    }

    /// The certificates of both sides. That the server's chain and name hold, its reply has proved.
    fn tls(&self, greeting: &Greeting) -> Vec<Line> {
        if self.config.url.scheme() != "https" {
            return vec![Step::Tls.pass("plain HTTP, which is accepted on this machine only")];
        }
        let (now, step) = (self.clock.now(), Step::Tls);
        let mut lines = vec![match greeting.certificate.as_deref().and_then(certificates::expires) {
            None => step.pass("the server's certificate holds"),
            Some(at) if certificates::is_soon(at, now) => {
                step.warn(format!("the server's certificate holds, and expires at {at:.0}"), "have it renewed")
            }
            Some(at) => step.pass(format!("the server's certificate holds, until {at:.0}")),
        }];
        let own = self.config.client_identity.as_ref().map(|identity| identity.certificates_pem.as_slice());
        let ours = [("client_cert_file", own), ("ca_file", self.config.ca_pem.as_deref())];
        lines.extend(ours.into_iter().filter_map(|(setting, pem)| {
            certificates::aging(step, setting, pem.and_then(certificates::first_to_expire), now)
        }));
        lines
    }

    fn clocks(&self, greeting: &Greeting) -> Line {
        let Some(theirs) = greeting.server_time else { return Step::Clock.skip("the server does not tell its time") };
        let difference = theirs.duration_since(self.clock.now()).as_secs();
        let words = match difference {
            -1..=1 => "the server's clock agrees with this machine's".to_owned(),
            2.. => format!("the server's clock is {difference} s ahead of this machine's"),
            _ => format!("the server's clock is {} s behind this machine's", -difference),
        };
        if difference.abs() <= CLOCK_TOLERANCE_S {
            return Step::Clock.pass(words);
        }
        Step::Clock
            .warn(words, "see that both follow a time server: ages and due times are read off this machine's clock")
    }

    /// Reads the keys that are asked for, as far as the time goes. Returns how many were not reached.
    async fn read_keys(&self, discovery: &Discovery, keys: &mut BTreeMap<TargetId, Result<KeyId, Failure>>) -> usize {
        let mut reading = JoinSet::new();
        for sighting in &discovery.sightings {
            let (target, listing) = (sighting.target.clone(), self.rules.listing_of(sighting));
            let record = TargetRecord::found(self.clock.now(), target.clone(), listing);
            if record.standing() != Standing::Managed || !self.glob.matches(target.name().as_str()) {
                continue;
            }
            let service = Arc::clone(&self.service);
            reading.spawn(async move { (target.id(), service.current_key(&target).await) });
        }
        let mut unreached = 0;
        while let Ok(Some(read)) = timeout(self.left(), reading.join_next()).await {
            match read {
                Ok((_, Err(failure))) if self.was_impatient(&failure) => unreached += 1,
                Ok((target, key)) => drop(keys.insert(target, key)),
                // It ended by a panic.
                Err(_) => unreached += 1,
            }
        }
        unreached + reading.len()
    }

    /// The roles of our own key, as far as it can see itself.
    async fn roles(&self) -> Vec<Line> {
        let step = Step::Roles;
        let unseen = "the key cannot see its own roles; what it lacks to rotate, the first rotation will tell";
        let inventory = match timeout(self.left(), self.service.api_keys()).await {
            Ok(Ok(inventory)) => inventory,
            Ok(Err(_)) => return vec![step.skip(unseen)],
            Err(_) => return vec![step.skip("the roles could not be read in time")],
        };
        let Some(own) = inventory.keys.into_iter().find(|key| key.public_key == self.config.public_key) else {
            return vec![step.skip(unseen)];
        };
        let roles: BTreeSet<&str> = own.grants.iter().map(|grant| grant.role.as_str()).collect();
        let roles = roles.into_iter().collect::<Vec<_>>().join(", ");
        if own.power() < Power::Rotates && !own.grants.iter().any(|grant: &Grant| grant.power() == Power::Unknown) {
            let words = format!("the key can read and not rotate: it has {roles}");
            return vec![step.fail(words, "give it Project Backup Admin in each project")];
        }
        let (access_list, unread) = match timeout(self.left(), self.service.access_list(&own)).await {
            Ok(Ok(list)) => (Some(list), None),
            Ok(Err(failure)) if failure.reason == Reason::RoleMissing => {
                (None, Some(step.skip("the key cannot see its own access list")))
            }
            Ok(Err(failure)) => {
                let words = format!("the key's access list cannot be read: {failure}");
                (None, Some(step.warn(words, against(About::Manager, failure.reason))))
            }
            Err(_) => (None, Some(step.skip("the access list could not be read in time"))),
        };
        let excesses = own.excesses(access_list.as_deref());
        let mut lines: Vec<Line> = excesses
            .iter()
            .map(|excess| {
                let next = match excess {
                    Excess::Owner => "give it Project Backup Admin instead",
                    Excess::Global | Excess::Organization => "make a key for the projects that are rotated",
                    Excess::AnyAddress => "put this machine's address on its access list, and no other",
                };
                step.warn(format!("the key has {roles}: {}", excess.words()), next)
            })
            .collect();
        if lines.is_empty() {
            lines.push(step.pass(format!("the key has {roles}")));
        }
        lines.extend(unread);
        lines
    }
}

/// Keeps the line of a step, and its result if it went well.
fn keep<T>(lines: &mut Vec<Line>, step: Result<(T, Line), Line>) -> Result<T, Stopped> {
    match step {
        Ok((result, line)) => {
            lines.push(line);
            Ok(result)
        }
        Err(line) => {
            lines.push(line);
            Err(Stopped)
        }
    }
}
