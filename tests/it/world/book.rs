//! The journal of a world: in memory or the real database, with commits that take time, fail, or land and still fail.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use rekeyd::domain::{Entry, Event, Fleet, KeyId, KeyRecord, TargetId};
use rekeyd::ports::{Clock, Head, Journal, JournalError};
use rekeyd::store::Store;

use super::clock::{Chance, VirtualClock};
use super::fired::Fired;
use super::kill::{Kill, Moment};

/// A disk that hangs comes back within this, in seconds.
const HANGS: u64 = 3600;

/// The journal that a world's daemons share, one after another.
pub(crate) struct Book {
    clock: Arc<VirtualClock>,
    kill: Arc<Kill>,
    fired: Arc<Fired>,
    written: Arc<Mutex<Written>>,
    backend: Backend,
}

enum Backend {
    Memory,
    /// The database in this folder; closed between two lives.
    Store(PathBuf, Mutex<Option<Arc<Store>>>),
}

/// What is on record.
#[derive(Default)]
pub(crate) struct Written {
    pub(crate) entries: Vec<Entry>,
    /// From when until when writing failed or could not be tried, by the monotonic clock.
    pub(crate) troubles: Vec<RangeInclusive<Duration>>,
    fleet: Arc<Fleet>,
    past: BTreeMap<(TargetId, KeyId), KeyRecord>,
    /// Until then, by the monotonic clock, the disk is full.
    full_until: Duration,
    /// In a thousand commits so many fail before they are made, and as many after.
    failures: u64,
    chance: Option<Chance>,
    /// Before the next record of this kind the disk hangs for so long.
    hang: Option<(&'static str, Duration)>,
}

impl Book {
    pub(crate) fn new(clock: Arc<VirtualClock>, kill: Arc<Kill>, fired: Arc<Fired>, folder: Option<PathBuf>) -> Self {
        let backend = folder.map_or(Backend::Memory, |folder| Backend::Store(folder, Mutex::default()));
        Self { clock, kill, fired, written: Arc::default(), backend }
    }

    pub(crate) fn written(&self) -> MutexGuard<'_, Written> {
        self.written.lock().unwrap()
    }

    pub(crate) fn entries(&self) -> Vec<Entry> {
        self.written().entries.clone()
    }

    pub(crate) fn count(&self, wanted: impl Fn(&Event) -> bool) -> usize {
        self.written().entries.iter().filter(|entry| wanted(&entry.event)).count()
    }

    /// For so long nothing can be written.
    pub(crate) fn fill_the_disk(&self, length: Duration) {
        self.written().full_until = self.clock.monotonic() + length;
    }

    /// Before the next record of this kind the disk hangs for so long.
    pub(crate) fn hang_at(&self, kind: &'static str, length: Duration) {
        self.written().hang = Some((kind, length));
    }

    /// From now on so many commits in a thousand fail, and as many land and are called failed.
    pub(crate) fn fail(&self, per_mille: u64, chance: Chance) {
        let mut written = self.written();
        (written.failures, written.chance) = (per_mille, Some(chance));
    }

    /// A daemon ended: what it was about to write was not written.
    pub(crate) fn interrupted(&self) {
        let now = self.clock.monotonic();
        self.written().troubles.push(now..=now);
    }

    /// Opens the database, if it is not.
    pub(crate) async fn open(&self) {
        let Backend::Store(folder, place) = &self.backend else { return };
        if place.lock().unwrap().is_none() {
            let folder = folder.clone();
            let store = tokio::task::spawn_blocking(move || Store::open(&folder, [7; 32]).unwrap()).await.unwrap();
            *place.lock().unwrap() = Some(Arc::new(store));
        }
    }

    /// Lets the database finish what it was given, and closes it.
    pub(crate) async fn close(&self) {
        let Backend::Store(_, place) = &self.backend else { return };
        let store = place.lock().unwrap().take();
        let Some(store) = store else { return };
        self.written().fleet = store.fleet();
        let runtime = tokio::runtime::Handle::current();
        // Whoever was killed may still hold it; closed, it frees its lock all the same.
        tokio::task::spawn_blocking(move || runtime.block_on(store.close()).unwrap()).await.unwrap();
    }

    fn store(&self) -> Option<Arc<Store>> {
        match &self.backend {
            Backend::Memory => None,
            Backend::Store(_, place) => place.lock().unwrap().clone(),
        }
    }

    /// A commit takes a few milliseconds, and a crash can fall into them.
    async fn pass(&self) {
        let failures = self.written().failures;
        let (milliseconds, hangs) = self.written().chance.as_mut().map_or((1, Duration::ZERO), |chance| {
            let hangs = if failures > 0 && chance.per_mille(1) { chance.seconds(HANGS) } else { Duration::ZERO };
            (1 + chance.below(8), hangs)
        });
        if hangs > Duration::ZERO {
            self.fired.count("ledger: disk hangs");
            let now = self.clock.monotonic();
            self.written().troubles.push(now..=now + hangs);
        }
        self.clock.sleep(hangs + Duration::from_millis(milliseconds)).await;
    }

    /// Fails while the disk is full, and now and then.
    fn room(&self) -> Result<(), JournalError> {
        let now = self.clock.monotonic();
        let mut written = self.written();
        if now < written.full_until {
            written.troubles.push(now..=now);
            self.fired.count("ledger: disk full");
            return Err(JournalError::Full("the test took the disk away".to_owned()));
        }
        drop(written);
        if self.fails("ledger: failed commit") {
            return Err(JournalError::Io("the test failed a commit".to_owned()));
        }
        Ok(())
    }

    fn fails(&self, fault: &'static str) -> bool {
        let mut written = self.written();
        let failures = written.failures;
        let fails = written.chance.as_mut().is_some_and(|chance| chance.per_mille(failures));
        if fails {
            let now = self.clock.monotonic();
            written.troubles.push(now..=now);
            self.fired.count(fault);
        }
        fails
    }
}

impl Written {
    fn take_in(&mut self, entries: Vec<Entry>) -> Result<(), JournalError> {
        let mut fleet = Fleet::clone(&self.fleet);
        for entry in &entries {
            if let Some(change) = fleet.consequence(entry.at, &entry.event)? {
                if let Some(record) = entry.event.target().and_then(|id| fleet.targets.get(&id))
                    && let Some(key) = &record.key
                {
                    self.past.insert((record.target.id(), key.id.clone()), key.clone());
                }
                fleet.adopt(change);
            }
        }
        self.fleet = Arc::new(fleet);
        self.entries.extend(entries);
        Ok(())
    }
}

#[async_trait]
impl Journal for Book {
    async fn record(&self, entries: Vec<Entry>) -> Result<(), JournalError> {
        self.kill.reached(Moment::BeforeCommit);
        let hangs = |hang: &mut (&str, Duration)| entries.iter().any(|entry| entry.event.kind() == hang.0);
        let hang = self.written().hang.take_if(hangs);
        if let Some((_, length)) = hang {
            self.clock.sleep(length).await;
        }
        self.pass().await;
        self.room()?;
        match self.store() {
            None if matches!(self.backend, Backend::Store(..)) => return Err(JournalError::Closed),
            None => self.written().take_in(entries)?,
            Some(store) => {
                // A blocking task keeps virtual time from running ahead while the database works.
                let written = Arc::clone(&self.written);
                let runtime = tokio::runtime::Handle::current();
                let work = move || {
                    runtime.block_on(store.record(entries.clone()))?;
                    let entries = entries.into_iter().map(Entry::in_microseconds);
                    written.lock().unwrap().entries.extend(entries);
                    Ok::<(), JournalError>(())
                };
                tokio::task::spawn_blocking(work).await.unwrap()?;
            }
        }
        self.kill.reached(Moment::AfterCommit);
        self.pass().await;
        if self.fails("ledger: commit landed, called failed") {
            return Err(JournalError::Io("the test called a good commit failed".to_owned()));
        }
        Ok(())
    }

    async fn seen_again(&self, sightings: Vec<(TargetId, Timestamp)>) -> Result<(), JournalError> {
        self.pass().await;
        self.room()?;
        match self.store() {
            None => {
                let mut written = self.written();
                for (target, at) in sightings {
                    if let Some(change) = written.fleet.seen_again(&target, at) {
                        Arc::make_mut(&mut written.fleet).adopt(change);
                    }
                }
                Ok(())
            }
            Some(store) => {
                let runtime = tokio::runtime::Handle::current();
                let work = move || runtime.block_on(store.seen_again(sightings));
                tokio::task::spawn_blocking(work).await.unwrap()
            }
        }
    }

    async fn past_key(&self, target: &TargetId, key: &KeyId) -> Result<Option<KeyRecord>, JournalError> {
        self.pass().await;
        if self.fails("ledger: failed read") {
            return Err(JournalError::Io("the test failed a read".to_owned()));
        }
        if let Some(store) = self.store() {
            let (target, key, runtime) = (target.clone(), key.clone(), tokio::runtime::Handle::current());
            let work = move || runtime.block_on(store.past_key(&target, &key));
            return tokio::task::spawn_blocking(work).await.unwrap();
        }
        let written = self.written();
        let current = written.fleet.targets.get(target).and_then(|record| record.key.as_ref()).map(|key| &key.id);
        Ok(written.past.get(&(target.clone(), key.clone())).filter(|past| Some(&past.id) != current).cloned())
    }

    fn fleet(&self) -> Arc<Fleet> {
        self.store().map_or_else(|| Arc::clone(&self.written().fleet), |store| store.fleet())
    }

    fn head(&self) -> Head {
        Head { seq: self.written().entries.len() as u64, hash: [0; 32] }
    }
}
