//! Reads everything that a bundle is made of, from the ledger up to the end of the period. What grows with the ledger is
//! written down on the way and not kept.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use jiff::{SignedDuration, Timestamp};

use super::access::Access;
use super::blind::Blindness;
use super::cover::{Class, Condition, Rule, Stretch, Turn, days, doubted, stretches};
use super::files::Long;
use super::pack::PackError;
use super::policies::PolicyStory;
use super::span::Span;
use super::unlisted::{Listings, Unlisted};
use crate::domain::{
    Entry, Event, Fleet, KeyChange, KeyOrigin, Period, PolicyName, Standing, State, TargetId, TargetRecord,
};
use crate::policy::Rules;
use crate::ports::Head;
use crate::store::{
    AsOf, Checkpoint, ReadError, Reader, Stretch as Wanted, Telling, VerifierKey, VerifyError, origin_of,
};

/// Tasks record side by side: records that are dated backwards by less are of a clock that is right.
const TOLERANCE: SignedDuration = SignedDuration::from_secs(10);

/// What a bundle tells, but for what is written down on the way.
pub(super) struct Evidence {
    pub(super) span: Span,
    /// The ledger's name.
    pub(super) origin: String,
    /// The newest record before the end of the period.
    pub(super) head: Head,
    /// Every target that was ever listed, in the order of names.
    pub(super) targets: Vec<TargetStory>,
    pub(super) policies: Vec<PolicyStory>,
    /// The attempts that fall into the period with a part of them.
    pub(super) rotations: BTreeMap<State, usize>,
    /// When keys came in the period, and how.
    pub(super) keys: BTreeMap<TargetId, Vec<(Timestamp, KeyOrigin)>>,
    pub(super) slice: Slice,
    pub(super) access: Access,
    pub(super) unlisted: Vec<Unlisted>,
    /// Those of records in the slice.
    pub(super) checkpoints: Vec<Checkpoint>,
    pub(super) keys_of_checkpoints: Vec<VerifierKey>,
}

/// The records of the period: from the first of it to the last one.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Slice {
    pub(super) records: u64,
    pub(super) first: u64,
    pub(super) last: u64,
    /// How many are dated backwards, or outside of the period, by a clock that was wrong.
    pub(super) misdated: u64,
}

/// One target over the period.
pub(super) struct TargetStory {
    pub(super) record: TargetRecord,
    pub(super) policy: Option<PolicyName>,
    /// How it stood when the period began, and each change.
    pub(super) turns: Vec<Turn>,
    pub(super) stretches: Vec<Stretch>,
    /// What each day of the period was.
    pub(super) days: Vec<Class>,
}

/// Why there is no evidence.
#[derive(Debug, thiserror::Error)]
pub enum EvidenceError {
    /// The ledger does not verify, so nothing that it says is evidence.
    #[error("the ledger cannot be shown to be whole, so nothing is exported: {0}")]
    Verify(#[from] VerifyError),
    /// It cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// It cannot be written down.
    #[error("cannot write the evidence: {0}")]
    Write(#[from] PackError),
}

/// What is known so far.
struct Gathering<'a> {
    span: Span,
    long: &'a mut Long,
    /// Whether the period has begun.
    begun: bool,
    /// The targets of which it is on record which policy governs them.
    governed: BTreeSet<TargetId>,
    turns: BTreeMap<TargetId, Vec<Turn>>,
    /// The date of the newest record in the period, and the latest of all there.
    dated: Timestamp,
    latest: Timestamp,
    policies: Vec<PolicyStory>,
    rotations: BTreeMap<State, usize>,
    keys: BTreeMap<TargetId, Vec<(Timestamp, KeyOrigin)>>,
    blindness: Blindness,
    listings: Listings,
    slice: Slice,
    access: Access,
}

/// Replays the ledger, verifies it, and reads everything; writes rotations, keys and records down. `rules` say which policy
/// governed a target while the ledger does not. `progress` is told records done and to do.
pub(super) fn gather(
    reader: &Reader,
    checkpoints: &[Checkpoint],
    rules: &Rules,
    span: Span,
    long: &mut Long,
    mut progress: impl FnMut(u64, u64),
) -> Result<Evidence, EvidenceError> {
    let mut so_far = Gathering {
        span,
        long,
        begun: false,
        governed: BTreeSet::new(),
        turns: BTreeMap::new(),
        dated: span.start(),
        latest: span.start(),
        policies: Vec::new(),
        rotations: BTreeMap::new(),
        keys: BTreeMap::new(),
        blindness: Blindness::default(),
        listings: Listings::begin(span),
        slice: Slice::default(),
        access: Access::default(),
    };
    let mut failure = None;
    let wanted = Wanted { since: span.start(), until: span.end() };
    let as_of = reader.as_of(wanted, checkpoints, |telling| {
        if let Telling::Progress(done, total) = telling {
            progress(done, total);
            return ControlFlow::Continue(());
        }
        match so_far.hear(telling) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                failure = Some(error);
                ControlFlow::Break(())
            }
        }
    });
    if let Some(error) = failure {
        return Err(error.into());
    }
    let AsOf { fleet, head, checkpoints, checkpoint_keys } = as_of?;
    let Gathering {
        governed, mut turns, mut policies, rotations, keys, blindness, listings, slice, mut access, ..
    } = so_far;
    access.end(&fleet, span.end());
    let mut unseen = blindness.end(span.end());
    let mut targets = Vec::new();
    for (id, record) in &fleet.targets {
        let configured = rules.policy_of(&record.target).map(|policy| &policy.name);
        let untold: Vec<(Timestamp, Period)> = policies
            .iter()
            .filter(|story| Some(&story.name) == configured)
            .filter_map(|story| Some((story.since, story.limit?)))
            .collect();
        let policy = match rule_of(&governed, id, record) {
            Rule::Told(governance) => governance.map(|governance| governance.policy),
            Rule::Untold => configured.cloned(),
        };
        let turns = turns.remove(id).unwrap_or_default();
        for story in &mut policies {
            story.targets += usize::from(story.governed(span, &turns, configured));
        }
        let stretches = stretches(span, &turns, &untold);
        let stretches =
            unseen.remove(id).into_iter().flatten().fold(stretches, |known, one| doubted(&known, span, &one));
        let days = days(span, &stretches);
        targets.push(TargetStory { record: TargetRecord::clone(record), policy, turns, stretches, days });
    }
    targets.sort_by_key(|story| (story.record.target.name().to_string(), story.record.target.id()));
    let checkpoints = checkpoints.into_iter().filter(|one| slice.records > 0 && one.head.seq >= slice.first).collect();
    Ok(Evidence {
        span,
        origin: origin_of(&reader.ledger_id()?),
        head,
        targets,
        policies,
        rotations,
        keys,
        slice,
        access,
        unlisted: listings.end(),
        checkpoints,
        keys_of_checkpoints: checkpoint_keys,
    })
}

impl Gathering<'_> {
    fn hear(&mut self, telling: Telling<'_>) -> Result<(), PackError> {
        match telling {
            Telling::Before(fleet) => {
                let start = self.span.start();
                let then = fleet.targets.iter().map(|(id, known)| {
                    let (condition, rule) = (condition_of(known), rule_of(&self.governed, id, known));
                    (id.clone(), vec![Turn { earliest: start, latest: start, condition, rule }])
                });
                self.turns = then.collect();
                self.access.begin(fleet, start);
                self.begun = true;
            }
            Telling::Event(seq, entry, fleet) => self.see(seq, entry, fleet),
            Telling::Record(row) => {
                if self.slice.records == 0 {
                    self.slice.first = row.seq;
                }
                (self.slice.records, self.slice.last) = (self.slice.records + 1, row.seq);
                self.long.ledger.line(&row.to_json())?;
            }
            Telling::Rotation(row) => {
                *self.rotations.entry(row.state).or_default() += 1;
                self.long.rotations.row(&row.to_json())?;
            }
            Telling::Key(life) => self.long.keys.row(&life.to_json())?,
            Telling::Progress(..) => {}
        }
        Ok(())
    }

    fn see(&mut self, seq: u64, entry: &Entry, fleet: &Fleet) {
        if let Event::PolicySet { policy, words } = &entry.event {
            let story = PolicyStory::begin(seq, entry.at, policy, words);
            if let Some(former) = self.policies.iter_mut().rfind(|former| former.name == story.name) {
                former.until = Some(entry.at);
            }
            self.policies.push(story);
        }
        if let Event::TargetGoverned { target, .. } = &entry.event {
            self.governed.insert(target.clone());
        }
        if !self.begun {
            self.blindness.hear(entry.at, &entry.event, fleet);
            self.listings.hear(entry.at, &entry.event);
            return;
        }
        self.access.see(seq, entry);
        self.date(entry.at);
        self.blindness.hear(self.dated, &entry.event, fleet);
        self.listings.hear(self.dated, &entry.event);
        let Some((id, known)) = entry.event.target().and_then(|id| fleet.targets.get_key_value(&id)) else { return };
        let (condition, rule) = (condition_of(known), rule_of(&self.governed, id, known));
        let (mut earliest, latest) = (self.dated, self.latest);
        if let Event::KeySeen { .. } | Event::KeyChanged { .. } | Event::RotationDone { .. } = entry.event {
            let came = known.key.as_ref().map(|key| (earliest, key.came));
            self.keys.entry(id.clone()).or_default().extend(came);
        }
        let story = self.turns.entry(id.clone()).or_default();
        // An earlier key may have been back from when the other one was last seen. When the target was left out, or not there, is
        // as it was.
        if let Event::KeyChanged { change: KeyChange::Regression, last_seen, .. } = entry.event {
            let with_key = story.iter().rev().take_while(|turn| matches!(turn.condition, Condition::Key { .. }));
            let since = with_key.last().map_or(earliest, |turn| turn.earliest);
            earliest = earliest.min(last_seen.max(since));
        }
        if story.last().is_none_or(|last| last.condition != condition || last.rule != rule) {
            story.push(Turn { earliest, latest, condition, rule });
        }
    }

    /// Takes in the date of the next record. One that is outside of the period is wrong, and passes for that of the record
    /// before. Where dates run backwards in it, either may be wrong: what came before may have come as early as this.
    fn date(&mut self, at: Timestamp) {
        let inside = (self.span.start()..self.span.end()).contains(&at);
        if inside {
            self.dated = at;
        }
        if !inside || at.duration_since(self.latest) < -TOLERANCE {
            self.slice.misdated += 1;
        }
        let dated = self.dated;
        if dated < self.latest {
            for turns in self.turns.values_mut() {
                turns.iter_mut().rev().take_while(|turn| turn.earliest > dated).for_each(|turn| turn.earliest = dated);
            }
        }
        self.latest = self.latest.max(self.dated);
    }
}

/// What the ledger says of the policy of a target, if it is among those of which it does.
fn rule_of(governed: &BTreeSet<TargetId>, id: &TargetId, record: &TargetRecord) -> Rule {
    if governed.contains(id) { Rule::Told(record.governance.clone()) } else { Rule::Untold }
}

fn condition_of(record: &TargetRecord) -> Condition {
    match (record.standing(), &record.key) {
        (Standing::Gone, _) => Condition::NotThere,
        (standing @ (Standing::Listed(_) | Standing::Refused(_)), _) => Condition::LeftOut(standing.to_string()),
        (Standing::Managed, None) => Condition::Unread,
        (Standing::Managed, Some(key)) => {
            Condition::Key { id: key.id.clone(), since: key.since(), dated: key.not_before.is_some() }
        }
    }
}

impl Evidence {
    /// How many days of all targets were of a class.
    pub(super) fn days_of(&self, class: Class) -> usize {
        self.targets.iter().map(|story| story.days_of(class)).sum()
    }
}

impl TargetStory {
    pub(super) fn days_of(&self, class: Class) -> usize {
        self.days.iter().filter(|day| **day == class).count()
    }
}
