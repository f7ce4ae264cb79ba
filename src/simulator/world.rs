//! The state that lasts: which fleet there is, which key each target has, and the record of what happened to them.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use jiff::Timestamp;
use wildmatch::WildMatch;

use super::chance;
use super::fleet::FleetSpec;
use super::keys::{KeyTiming, Keys};
use super::layout::{Entry, Layout};
use super::truth::{Cause, KeyChange, Put, TargetTruth};

#[derive(Debug)]
pub(super) struct World {
    layout: Arc<Layout>,
    targets: HashMap<String, Target>,
    seed: u64,
    keys_made: u64,
    timing: KeyTiming,
    /// Exceptions, by a glob over id or name; the first that matches holds.
    target_timing: Vec<(String, KeyTiming)>,
    changes: Vec<KeyChange>,
    pub(super) puts: Vec<Put>,
}

#[derive(Debug)]
struct Target {
    name: String,
    timing: KeyTiming,
    keys: Keys,
}

impl World {
    pub(super) fn new(
        fleet: &FleetSpec,
        seed: u64,
        timing: KeyTiming,
        target_timing: Vec<(String, KeyTiming)>,
        now: Timestamp,
    ) -> Self {
        let mut world = Self {
            layout: Arc::new(Layout::new(&FleetSpec::empty())),
            targets: HashMap::new(),
            seed,
            keys_made: 0,
            timing,
            target_timing,
            changes: Vec::new(),
            puts: Vec::new(),
        };
        world.set_fleet(fleet, now);
        world
    }

    /// Replaces the fleet. A target that is in both keeps its key; one that left keeps its history in the truth.
    pub(super) fn set_fleet(&mut self, fleet: &FleetSpec, now: Timestamp) {
        let layout = Arc::new(Layout::new(fleet));
        for (_, entry) in layout.entries().filter(|(_, entry)| !entry.is_parent()) {
            let timing = self.timing_of(entry);
            if let Some(target) = self.targets.get_mut(&entry.id) {
                target.name.clone_from(&entry.name);
                target.timing = timing;
            } else {
                let target = Target { name: entry.name.clone(), timing, keys: Keys::new(self.new_key(), now) };
                self.targets.insert(entry.id.clone(), target);
            }
        }
        self.layout = layout;
    }

    fn timing_of(&self, entry: &Entry) -> KeyTiming {
        let hit = self.target_timing.iter().find(|(glob, _)| {
            let glob = WildMatch::new(glob);
            glob.matches(&entry.id) || glob.matches(&entry.name)
        });
        hit.map_or(self.timing, |(_, timing)| *timing)
    }

    pub(super) fn layout(&self) -> Arc<Layout> {
        Arc::clone(&self.layout)
    }

    /// Shaped like the documentation's sample, which is not a UUID; no two are the same.
    fn new_key(&mut self) -> String {
        self.keys_made += 1;
        let digits = chance::scramble(self.seed.wrapping_add(self.keys_made));
        let group = |n: u32| (digits >> (48 - 16 * n)) & 0xffff;
        format!("{:04x}-{:04x}-{:04x}-{:04x}", group(0), group(1), group(2), group(3))
    }

    /// The id of a target, given by id or by name.
    pub(super) fn find(&self, target: &str) -> Option<String> {
        if self.targets.contains_key(target) {
            return Some(target.to_owned());
        }
        let mut entries = self.layout.entries();
        let found = entries.find(|(_, entry)| !entry.is_parent() && entry.name == target);
        found.map(|(_, entry)| entry.id.clone())
    }

    /// What one GET shows; `None` for what has no key.
    pub(super) fn poll(&mut self, id: &str, now: Timestamp) -> Option<String> {
        let target = self.targets.get_mut(id)?;
        Some(target.keys.poll(now).to_owned())
    }

    /// A PUT's doing. The new key, which a GET may show only later.
    pub(super) fn rotate(&mut self, id: &str, request: u64, now: Timestamp) -> Option<String> {
        let key = self.new_key();
        let target = self.targets.get_mut(id)?;
        target.keys.settle(now);
        let before = target.keys.newest().to_owned();
        target.keys.replace(key.clone(), target.timing, now);
        self.record(id, before, key.clone(), Cause::Put { request }, now);
        Some(key)
    }

    /// Someone else's doing, in use at once. `false`: no such target.
    pub(super) fn rotate_foreign(&mut self, id: &str, now: Timestamp) -> bool {
        let key = self.new_key();
        self.force(id, Some(key), Cause::Foreign, now)
    }

    /// The key falls back to an earlier one. `false`: no such target, or it never had another key.
    pub(super) fn regress(&mut self, id: &str, now: Timestamp) -> bool {
        let earlier = self.targets.get(id).and_then(|t| t.keys.earlier());
        let earlier = earlier.map(str::to_owned);
        self.force(id, earlier, Cause::Regression, now)
    }

    fn force(&mut self, id: &str, key: Option<String>, cause: Cause, now: Timestamp) -> bool {
        let (Some(target), Some(key)) = (self.targets.get_mut(id), key) else {
            return false;
        };
        let before = target.keys.newest().to_owned();
        target.keys.force(key.clone(), now);
        self.record(id, before, key, cause, now);
        true
    }

    fn record(&mut self, id: &str, key_before: String, key_after: String, cause: Cause, at: Timestamp) {
        let name = self.targets.get(id).map(|t| t.name.clone());
        self.changes.push(KeyChange {
            at,
            target: id.to_owned(),
            name: name.unwrap_or_default(),
            key_before,
            key_after,
            cause,
        });
    }

    pub(super) fn changes(&self) -> Vec<KeyChange> {
        self.changes.clone()
    }

    /// The keys of every target there ever was, by id.
    pub(super) fn targets(&mut self, now: Timestamp) -> BTreeMap<String, TargetTruth> {
        let targets = self.targets.iter_mut().map(|(id, target)| {
            target.keys.settle(now);
            let truth = TargetTruth {
                name: target.name.clone(),
                keys: target.keys.shown().to_vec(),
                pending: target.keys.pending(),
            };
            (id.clone(), truth)
        });
        targets.collect()
    }
}
