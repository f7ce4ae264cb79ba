//! The promises, checked: what the ledger tells against what the far end knows.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use rekeyd::domain::{Entry, Event, Fleet, How, KeyChange, KeyId, RotationId, TargetId, TargetRecord};
use rekeyd::policy::{Rhythm, due_at};
use rekeyd::ports::{Clock, Journal};

use super::World;
use super::far_end::{Came, Cause, Put, Truth};

/// So long after a look its news is on record, if the daemon lived and the ledger could be written.
const SOON: Duration = Duration::from_secs(60);

/// A PUT can leave so long after the look that its key's age is counted from: a disk may hang between them.
const LATE: Duration = Duration::from_secs(2 * 3600);

/// Steps of the wall clock up to this are nobody's news.
const TOLERATED: SignedDuration = SignedDuration::from_secs(11);

/// For so long a clock that leapt ahead is not gone by.
const DOUBTED: SignedDuration = SignedDuration::from_hours(1);

/// What was begun before that is settled when all is well.
const SETTLED: SignedDuration = SignedDuration::from_hours(1);

/// How the ledger accounts for a key.
enum Account {
    Seen,
    Done(RotationId, How),
    Changed(KeyChange, Option<RotationId>),
}

/// Which of a target's keys the ledger accounts for, by the truth's numbers.
#[derive(Default)]
struct Explained {
    numbers: BTreeSet<usize>,
    /// The first coming of the key that is in use.
    current: Option<usize>,
}

impl World {
    /// Everything that must be true at any moment.
    pub(crate) fn check(&self) -> Result<(), String> {
        let mut truth = self.far_end.truth();
        if let Some(violation) = truth.violations.first() {
            return Err(violation.clone());
        }
        let entries = self.journal.entries();
        let fleet = self.journal.fleet();
        self.check_limits(&fleet)?;
        check_bounds(&entries)?;
        check_misses(&entries)?;
        if !truth.clock_stepped {
            check_dues(&entries)?;
            self.check_calendar(&entries)?;
            self.check_distances(&truth)?;
        }
        let mut all_accounts = accounts(&entries);
        let mut told = BTreeMap::new();
        for (target, keys) in &truth.keys {
            let accounts = all_accounts.remove(target).unwrap_or_default();
            let explained = self.explain(&truth, target, keys, &accounts)?;
            told.insert(target.clone(), explained.numbers);
            if let Some(record) = fleet.targets.get(target) {
                self.check_age(&truth, keys, explained.current, record)?;
            }
        }
        self.check_shown(&mut truth, &told)
    }

    /// Everything that must be true when all has been well for days: nothing open, nothing overdue, every key known.
    pub(crate) fn check_calm(&self) -> Result<(), String> {
        let now = self.clock.now();
        let fleet = self.journal.fleet();
        let truth = self.far_end.truth();
        let (every, spread) =
            (self.policy.rhythm.longest().as_duration(), self.policy.spread.as_secs(self.policy.rhythm.shortest()));
        let latest = now + SignedDuration::try_from(every + Duration::from_secs(spread + 60)).unwrap();
        for (target, keys) in &truth.keys {
            let record = fleet.targets.get(target).ok_or_else(|| format!("{target}: never found"))?;
            let known = record.key.as_ref().map(|key| &key.id);
            if known != keys.last().map(|came| &came.id) {
                return Err(format!("{target}: the ledger has {known:?}, the far end {:?}", keys.last()));
            }
            if let Some(rotation) = record.rotation.as_ref().filter(|open| open.intended_at + SETTLED < now) {
                return Err(format!("{target}: rotation {} is stuck", rotation.id));
            }
            let due = due_at(record, &self.policy).ok_or_else(|| format!("{target}: no due time"))?;
            if due + SignedDuration::from_hours(24) < now || due > latest {
                return Err(format!("{target}: starves, due at {due}, now {now}: {record:?}"));
            }
        }
        Ok(())
    }

    fn check_limits(&self, fleet: &Fleet) -> Result<(), String> {
        let rules = self.rules.lock().unwrap();
        let open: Vec<_> = fleet
            .targets
            .values()
            .filter(|record| record.rotation.is_some() && rules.policy_of(&record.target).is_some())
            .collect();
        for (n, one) in open.iter().enumerate() {
            if let Some(other) = open.iter().skip(n + 1).find(|other| one.target.is_member_with(&other.target)) {
                return Err(format!("{} and {} at once", one.target.name(), other.target.name()));
            }
        }
        let limit = rules.managers.values().next().map_or(0, |manager| manager.max_concurrent);
        if open.len() > limit {
            return Err(format!("{} rotations at once, {limit} allowed", open.len()));
        }
        Ok(())
    }

    /// Every key on record came at the far end, in that order and for the reason on record.
    fn explain(
        &self,
        truth: &Truth,
        target: &TargetId,
        keys: &[Came],
        accounts: &[(Entry, Account)],
    ) -> Result<Explained, String> {
        let settle = self.policy.settle.as_duration();
        let mut next = 0;
        let mut answers: BTreeMap<u64, Cause> = BTreeMap::new();
        let mut explained = Explained::default();
        let mut firsts: BTreeMap<KeyId, usize> = BTreeMap::new();
        for (entry, account) in accounts {
            let key = key_after(&entry.event);
            let Some(found) = keys.iter().skip(next).position(|came| came.id == *key) else {
                return Err(format!("{target}: {key} is on record and never came: {keys:?}"));
            };
            let number = next + found;
            let cause = keys[number].cause;
            let put = if let Cause::Put(put) = cause { Some(&truth.puts[put]) } else { None };
            let late = put.is_some_and(|put| put.was_late(settle));
            let known_before = accounts
                .iter()
                .take_while(|(other, _)| other != entry)
                .any(|(other, _)| key_after(&other.event) == key);
            // Another key was taken for its slot's answer, somebody else's or a late one: no look can tell them apart.
            let usurped = put.is_some_and(|put| {
                answers.get(&put.rotation.slot).is_some_and(|answer| truth.slot_of(*answer) != Some(put.rotation.slot))
            });
            let twice = put.is_some_and(|put| put.effects.len() > 1);
            let truthful = match account {
                Account::Seen => next == 0,
                _ if known_before => matches!(account, Account::Changed(KeyChange::Regression, _)),
                Account::Changed(KeyChange::Regression, _) => false,
                _ if twice || usurped => true,
                Account::Done(rotation, How::Rotated | How::Recovered) => {
                    put.is_none_or(|put| put.rotation.slot == rotation.slot || late)
                }
                Account::Done(rotation, How::FoundChanged) => {
                    put.is_none_or(|put| put.rotation.slot != rotation.slot && late)
                }
                Account::Changed(KeyChange::Foreign, suspect) => put.is_none_or(|put| {
                    let named = suspect.is_some_and(|suspect| suspect.slot == put.rotation.slot);
                    // Long past: another slot has been answered since.
                    named || late && answers.keys().any(|slot| *slot > put.rotation.slot)
                }),
            };
            if !truthful {
                return Err(format!(
                    "{target}: {:?} is not what happened: {cause:?} {put:?} among {keys:?}",
                    entry.event
                ));
            }
            if let Account::Done(rotation, _) = account {
                answers.insert(rotation.slot, cause);
            }
            next = number + 1;
            explained.numbers.insert(number);
            explained.current = Some(*firsts.entry(key.clone()).or_insert(number));
        }
        Ok(explained)
    }

    /// A time of the calendar that a change was seen to answer, ours or somebody else's, is not asked for again.
    fn check_calendar(&self, entries: &[Entry]) -> Result<(), String> {
        if let Rhythm::Every(_) = self.policy.rhythm {
            return Ok(());
        }
        let mut answered: BTreeMap<&TargetId, Timestamp> = BTreeMap::new();
        for entry in entries {
            match &entry.event {
                Event::RotationDone { target, .. } => drop(answered.insert(target, entry.at)),
                Event::KeyChanged { target, change: KeyChange::Foreign, first_seen, .. } => {
                    answered.insert(target, *first_seen);
                }
                // An earlier key is to be replaced at once.
                Event::KeyChanged { target, change: KeyChange::Regression, .. } => drop(answered.remove(target)),
                Event::RotationIntended { target, due_at, .. } => {
                    if let Some(answered) = answered.get(target).filter(|answered| *due_at <= **answered) {
                        return Err(format!("{target}: due at {due_at}, which was answered at {answered}"));
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Whatever the ledger calls a slot: what we sent never changed a key twice within one interval.
    fn check_distances(&self, truth: &Truth) -> Result<(), String> {
        // The key's age counts from the look before its PUT; a calendar goes by when it was seen, which is later.
        let early = |first: &Put, put: &Put| match &self.policy.rhythm {
            Rhythm::Every(every) => put.arrived + LATE + SOON < first.arrived + every.as_duration(),
            Rhythm::Cron(cron) => self.clock.true_time(put.arrived) < cron.after(self.clock.true_time(first.arrived)),
        };
        let mut before: BTreeMap<&TargetId, &Put> = BTreeMap::new();
        for put in truth.puts.iter().filter(|put| !put.effects.is_empty()) {
            let Some(first) = before.insert(&put.target, put) else { continue };
            let restored = || {
                truth.keys[&put.target]
                    .iter()
                    .any(|came| came.cause == Cause::Regression && (first.arrived..=put.arrived).contains(&came.at))
            };
            // Two attempts at one slot can both act, one of them later than the settle time.
            let one_slot = first.rotation.slot == put.rotation.slot;
            if !one_slot && early(first, put) && !restored() {
                return Err(format!("{}: two changes within one interval: {first:?} {put:?}", put.target));
            }
        }
        Ok(())
    }

    /// A key is never taken for younger than it is.
    fn check_age(
        &self,
        truth: &Truth,
        keys: &[Came],
        explained: Option<usize>,
        record: &TargetRecord,
    ) -> Result<(), String> {
        let (Some(number), Some(key), false) = (explained, &record.key, truth.clock_stepped) else { return Ok(()) };
        let came_at: Timestamp = self.clock.true_time(keys[number].at);
        match key.not_before {
            Some(since) if since > came_at => {
                Err(format!("{}: {} came at {came_at} and is dated {since}", record.target.name(), key.id))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// What a daemon was shown is on record soon after, if it lived and the ledger could be written. `told` are the numbers
    /// of each target's keys that are on record.
    fn check_shown(&self, truth: &mut Truth, told: &BTreeMap<TargetId, BTreeSet<usize>>) -> Result<(), String> {
        let troubles = self.journal.written().troubles.clone();
        let now = self.clock.monotonic();
        let (old, young) = std::mem::take(&mut truth.shown).into_iter().partition(|shown| shown.at + SOON < now);
        truth.shown = young;
        let old: Vec<_> = old;
        for shown in old {
            // What is shown while a record is being written waits for that record: a disk that hung may have hung before.
            let disturbed = troubles.iter().any(|span| *span.end() >= shown.at && *span.start() <= shown.at + SOON);
            let keys = &truth.keys[&shown.target];
            // Of a key that went and came back unseen, the first coming stands for both.
            let believed = told.get(&shown.target).and_then(|told| told.range(..=shown.number).next_back());
            if !disturbed && believed.is_none_or(|number| keys[*number].id != keys[shown.number].id) {
                return Err(format!("{}: {:?} was shown and is not on record", shown.target, keys[shown.number]));
            }
        }
        Ok(())
    }
}

/// Whatever the clock did: no key that was found changed is dated by a moment that was still to come, which would make it as
/// young as the look that found it.
fn check_bounds(entries: &[Entry]) -> Result<(), String> {
    for entry in entries {
        let bound = match &entry.event {
            Event::KeyChanged { not_before, change: KeyChange::Foreign, .. } => *not_before,
            Event::RotationDone { how: How::FoundChanged | How::Recovered, last_seen, .. } => Some(*last_seen),
            _ => None,
        };
        if bound.is_some_and(|bound| bound > entry.at + TOLERATED) {
            return Err(format!("at {} a key is dated by a moment to come: {:?}", entry.at, entry.event));
        }
    }
    Ok(())
}

/// A window is on record as missed when it is over, and never by a clock that has just leapt ahead: it may not have come.
fn check_misses(entries: &[Entry]) -> Result<(), String> {
    let mut leapt: Option<Timestamp> = None;
    for entry in entries {
        match &entry.event {
            Event::ClockStepped { by_s } => leapt = (*by_s > 900).then_some(entry.at),
            Event::SlotMissed { target, closed_at, .. } => {
                let doubted = leapt.is_some_and(|leapt| (leapt..leapt + DOUBTED).contains(&entry.at));
                if *closed_at > entry.at || doubted {
                    return Err(format!("{target}: missed until {closed_at}, told at {}: {leapt:?}", entry.at));
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// No intent is older than its due time.
fn check_dues(entries: &[Entry]) -> Result<(), String> {
    for entry in entries {
        if let Event::RotationIntended { target, due_at, .. } = &entry.event
            && *due_at > entry.at
        {
            return Err(format!("{target}: intended at {}, due only at {due_at}", entry.at));
        }
    }
    Ok(())
}

/// The records that say that a key came into use, by target, in order.
fn accounts(entries: &[Entry]) -> BTreeMap<TargetId, Vec<(Entry, Account)>> {
    let mut accounts: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for entry in entries {
        if let (Some(target), Some(account)) = (entry.event.target(), account(&entry.event)) {
            accounts.entry(target).or_default().push((entry.clone(), account));
        }
    }
    accounts
}

fn account(event: &Event) -> Option<Account> {
    match event {
        Event::KeySeen { .. } => Some(Account::Seen),
        Event::RotationDone { rotation, how, .. } => Some(Account::Done(*rotation, *how)),
        Event::KeyChanged { change, suspect, .. } => Some(Account::Changed(*change, *suspect)),
        _ => None,
    }
}

fn key_after(event: &Event) -> &KeyId {
    match event {
        Event::KeySeen { key, .. } => key,
        Event::RotationDone { key_after, .. } => key_after,
        Event::KeyChanged { after, .. } => after,
        _ => unreachable!("accounts are of these kinds"),
    }
}
