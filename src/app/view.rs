//! The state of affairs as the commands show it, read from the record: with the daemon up, down or dead.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::SystemClock;
use crate::alerts::{self, Alert};
use crate::config::Settings;
use crate::domain::Fleet;
use crate::policy::{Plan, plan};
use crate::ports::{Head, Situation};
use crate::store::{ReadError, Reader};

/// Everything known, and what follows from it now.
pub struct View {
    /// When it was taken.
    pub now: Timestamp,
    /// Everything known.
    pub fleet: Arc<Fleet>,
    /// The newest record.
    pub head: Head,
    /// What the daemon would do.
    pub plan: Plan,
    /// What is wrong.
    pub alerts: Vec<Alert>,
}

impl View {
    /// Reads the record of a state directory.
    pub fn read(settings: &Settings) -> Result<Self, ReadError> {
        let reader = Reader::open(&settings.state_dir)?;
        let now = SystemClock::now();
        let fleet = Arc::new(reader.fleet()?);
        let plan = plan(now, &fleet, &settings.rules, &BTreeSet::new());
        let head = reader.head()?;
        let situation = Situation {
            now,
            fleet: Arc::clone(&fleet),
            head: head.clone(),
            unwritable: None,
            // Nothing is known of the daemon, so nothing excuses a key that has not been read for long.
            started_at: Timestamp::UNIX_EPOCH,
            recovered: BTreeMap::new(),
            last_sweep: None,
            since_sweep: Duration::ZERO,
            upkeep: None,
        };
        let alerts = alerts::fire(&situation, &settings.rules);
        Ok(Self { now, fleet, head, plan, alerts })
    }
}
