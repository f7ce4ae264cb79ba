//! All that `run` would do, short of a PUT and short of writing: reaching the managers, listing, reading every key, planning.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use super::{StartError, SystemClock, key_service};
use crate::config::Config;
use crate::domain::{Change, Event, Failure, Fleet, Gap, KeyId, ManagerName, Planned, Target, TargetId, TargetRecord};
use crate::policy::plan;
use crate::ports::{Clock, KeyService, Operation, RequestObserver, RequestOutcome, UnreadProject};
use crate::store::{ReadError, Reader};

/// What a rehearsal found.
pub struct Rehearsal {
    /// By manager, in the order of their names.
    pub managers: BTreeMap<ManagerName, Result<Listed, Failure>>,
    /// Every target listed, with what would be done with it.
    pub targets: Vec<Rehearsed>,
}

/// What a manager's listing told beside its targets.
pub struct Listed {
    /// The server's own version, where it tells.
    pub server_version: Option<String>,
    /// Sharded clusters without config servers.
    pub gaps: Vec<Gap>,
    /// Projects that could not be listed.
    pub unread: Vec<UnreadProject>,
}

/// One target, as `run` would meet it.
pub struct Rehearsed {
    /// The target.
    pub target: Target,
    /// Its key; none where it is not asked for.
    pub key: Option<Result<KeyId, Failure>>,
    /// What would be done.
    pub planned: Planned,
}

/// Rehearses. Sends GETs only, writes nothing.
pub async fn rehearse(config: &Config) -> Result<Rehearsal, StartError> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let observer: Arc<dyn RequestObserver> = Arc::new(Unobserved);
    let rules = &config.settings.rules;
    // What the daemon knows already decides what it would do; without a ledger everything is new. One that can not be
    // read can not be written either.
    let mut fleet = match Reader::open(&config.settings.state_dir).and_then(|reader| reader.fleet()) {
        Err(ReadError::Missing { .. }) => Fleet::default(),
        known => known?,
    };
    let mut rehearsal = Rehearsal { managers: BTreeMap::new(), targets: Vec::new() };
    let mut keys = BTreeMap::new();
    for manager in &config.managers {
        let service = key_service(manager, &clock, &observer)?;
        let listed = match service.discover().await {
            Ok(discovery) => {
                let mut reading = JoinSet::new();
                for sighting in &discovery.sightings {
                    let record = TargetRecord::found(clock.now(), sighting.target.clone(), rules.listing_of(sighting));
                    if record.standing() == crate::domain::Standing::Managed {
                        reading.spawn(read(Arc::clone(&service), sighting.target.clone()));
                    }
                    keys.insert(sighting.target.id(), None);
                    let (description, listing) = (sighting.target.clone(), rules.listing_of(sighting));
                    let known = fleet.targets.contains_key(&sighting.target.id());
                    suppose(
                        &mut fleet,
                        &clock,
                        if known {
                            Event::TargetChanged { description, listing }
                        } else {
                            Event::TargetFound { description, listing }
                        },
                    );
                }
                while let Some(Ok((target, key))) = reading.join_next().await {
                    if let (Ok(key), true) = (&key, fleet.targets.get(&target).is_some_and(|known| known.key.is_none()))
                    {
                        suppose(
                            &mut fleet,
                            &clock,
                            Event::KeySeen { target: target.clone(), key: key.clone(), looked_at: None },
                        );
                    }
                    keys.insert(target, Some(key));
                }
                let (server_version, gaps, unread) = (discovery.server_version, discovery.gaps, discovery.unread);
                Ok(Listed { server_version, gaps, unread })
            }
            Err(failure) => Err(failure),
        };
        rehearsal.managers.insert(manager.name.clone(), listed);
    }
    for planned in plan(clock.now(), &fleet, rules, &BTreeSet::new()).decisions {
        if let (Some(key), Some(record)) = (keys.remove(&planned.target), fleet.targets.get(&planned.target)) {
            rehearsal.targets.push(Rehearsed { target: record.target.clone(), key, planned });
        }
    }
    Ok(rehearsal)
}

async fn read(service: Arc<dyn KeyService>, target: Target) -> (TargetId, Result<KeyId, Failure>) {
    let key = service.current_key(&target).await;
    (target.id(), key)
}

/// Takes in what would be recorded, without recording it.
fn suppose(fleet: &mut Fleet, clock: &Arc<dyn Clock>, event: Event) {
    let change: Option<Change> = fleet.consequence(clock.now(), &event).ok().flatten();
    if let Some(change) = change {
        fleet.adopt(change);
    }
}

struct Unobserved;

impl RequestObserver for Unobserved {
    fn requested(&self, _: &ManagerName, _: Operation, _: RequestOutcome, _: Duration) {}
}
