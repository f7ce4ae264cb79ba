//! The state of affairs as the commands show it, read from the record: with the daemon up, down or dead.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::SystemClock;
use crate::alerts::{self, Alert};
use crate::config::Settings;
use crate::control::DaemonState;
use crate::domain::Fleet;
use crate::policy::{Plan, plan};
use crate::ports::{Head, Situation};
use crate::store::chain::Record;
use crate::store::{ReadError, Reader};

/// Everything known, and what follows from it now.
pub struct View {
    /// When it was taken.
    pub now: Timestamp,
    /// Everything known.
    pub fleet: Arc<Fleet>,
    /// The newest record.
    pub head: Head,
    /// The same in full; none in a ledger without records.
    pub newest: Option<Record>,
    /// What the daemon would do.
    pub plan: Plan,
    /// What is wrong.
    pub alerts: Vec<Alert>,
}

impl View {
    /// Reads the record of a state directory.
    pub fn read(settings: &Settings) -> Result<Self, ReadError> {
        Self::read_beside(settings, None)
    }

    /// Reads the record of a state directory beside a daemon that has told what it alone knows, if it has.
    pub fn read_beside(settings: &Settings, daemon: Option<&DaemonState>) -> Result<Self, ReadError> {
        let reader = Reader::open(&settings.state_dir)?;
        let now = SystemClock::now();
        let fleet = Arc::new(reader.fleet()?);
        let plan = plan(now, &fleet, &settings.rules, &BTreeSet::new());
        let (head, newest) = (reader.head()?, reader.newest(1)?.pop());
        let situation = Situation {
            now,
            fleet: Arc::clone(&fleet),
            head: head.clone(),
            unwritable: daemon.and_then(|daemon| daemon.unwritable.clone()),
            // Where nothing is known of the daemon, nothing excuses a key that has not been read for long.
            started_at: daemon.map_or(Timestamp::UNIX_EPOCH, |daemon| daemon.started_at),
            recovered: BTreeMap::new(),
            last_sweep: daemon.and_then(|daemon| daemon.last_sweep),
            since_sweep: Duration::from_secs(daemon.map_or(0, |daemon| daemon.since_sweep_s)),
            upkeep: daemon.and_then(|daemon| daemon.upkeep.clone()).map(Into::into),
        };
        let alerts = alerts::fire(&situation, &settings.rules);
        Ok(Self { now, fleet, head, newest, plan, alerts })
    }
}
