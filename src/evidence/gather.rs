//! Reads everything that a bundle is made of, from the ledger up to the end of the period.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::cover::{Class, Condition, Stretch, days, stretches};
use super::span::Span;
use crate::domain::{
    Event, Fleet, KeyLife, LedgerRow, Period, PolicyName, RotationFilter, RotationRow, Standing, TargetId, TargetRecord,
};
use crate::policy::{Policy, Rules};
use crate::ports::Head;
use crate::store::{AsOf, Checkpoint, ReadError, Reader, VerifierKey, VerifyError, origin_of};

/// Everything that a bundle tells.
pub struct Evidence {
    pub(crate) span: Span,
    /// The ledger's name.
    pub(crate) origin: String,
    /// The newest record before the end of the period.
    pub(crate) head: Head,
    /// Every target that was ever listed, in the order of names.
    pub(crate) targets: Vec<TargetStory>,
    pub(crate) policies: Vec<PolicyStory>,
    /// Those that fall into the period with a part of them, the oldest first.
    pub(crate) rotations: Vec<RotationRow>,
    /// Those that were in use in the period.
    pub(crate) keys: Vec<KeyLife>,
    pub(crate) slice: Vec<LedgerRow>,
    /// Those of records in the slice.
    pub(crate) checkpoints: Vec<Checkpoint>,
    pub(crate) keys_of_checkpoints: Vec<VerifierKey>,
}

/// One target over the period.
pub(crate) struct TargetStory {
    pub(crate) record: TargetRecord,
    pub(crate) policy: Option<PolicyName>,
    pub(crate) conditions: Vec<(Timestamp, Condition)>,
    pub(crate) stretches: Vec<Stretch>,
    /// What each day of the period was.
    pub(crate) days: Vec<Class>,
}

/// A policy from a moment on.
pub(crate) struct PolicyStory {
    pub(crate) name: PolicyName,
    pub(crate) since: Timestamp,
    pub(crate) words: String,
    /// How old a key may grow by it, if the words say so.
    pub(crate) limit: Option<Period>,
    pub(crate) seq: u64,
}

/// Why there is no evidence.
#[derive(Debug, thiserror::Error)]
pub enum EvidenceError {
    /// The ledger does not verify, so nothing that it says is evidence.
    #[error("the ledger can not be shown to be whole, so nothing is exported: {0}")]
    Verify(#[from] VerifyError),
    /// It can not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// Replays the ledger, verifies it, and reads everything. `rules` say which policy governs which target: the ledger holds
/// the policies, and not who they are for.
pub fn gather(
    reader: &Reader,
    checkpoints: &[Checkpoint],
    rules: &Rules,
    span: Span,
) -> Result<Evidence, EvidenceError> {
    let mut conditions: BTreeMap<TargetId, Vec<(Timestamp, Condition)>> = BTreeMap::new();
    let mut policies = Vec::new();
    let mut slice = Vec::new();
    let AsOf { reader: then, fleet, head, checkpoints } =
        reader.as_of(span.end(), checkpoints, |record, entry, fleet| {
            if let Event::PolicySet { policy, words } = &entry.event {
                let limit = Policy::alert_after_in(words);
                let (name, words) = (policy.clone(), words.clone());
                policies.push(PolicyStory { name, since: entry.at, words, limit, seq: record.seq });
            }
            if let Some((id, known)) = entry.event.target().and_then(|id| fleet.targets.get_key_value(&id)) {
                let story = conditions.entry(id.clone()).or_default();
                // A clock that was set back does not make the past another.
                let at = story.last().map_or(entry.at, |(last, _)| entry.at.max(*last));
                let condition = condition_of(known);
                if story.last().map(|(_, last)| last) != Some(&condition) {
                    story.push((at, condition));
                }
            }
            if !slice.is_empty() || entry.at >= span.start() {
                slice.push(LedgerRow { name: None, ..record.clone().into() });
            }
        })?;
    name_targets(&mut slice, &fleet);
    let first = slice.first().map_or(u64::MAX, |row| row.seq);
    let mut targets: Vec<TargetStory> = fleet
        .targets
        .iter()
        .map(|(id, record)| {
            let policy = rules.policy_of(&record.target).map(|policy| policy.name.clone());
            let limits: Vec<(Timestamp, Period)> = policies
                .iter()
                .filter(|story| Some(&story.name) == policy.as_ref())
                .filter_map(|story| Some((story.since, story.limit?)))
                .collect();
            let conditions = conditions.remove(id).unwrap_or_default();
            let stretches = stretches(span, &conditions, &limits);
            let days = days(span, &stretches);
            TargetStory { record: TargetRecord::clone(record), policy, conditions, stretches, days }
        })
        .collect();
    targets.sort_by_key(|story| (story.record.target.name().to_string(), story.record.target.id()));
    let in_period = |row: &RotationRow| row.ended_at.is_none_or(|ended| ended >= span.start());
    let mut rotations = then.rotations(&RotationFilter { until: Some(span.end()), ..RotationFilter::default() })?;
    rotations.retain(in_period);
    rotations.reverse();
    let mut keys = then.lives_of_all_keys()?;
    keys.retain(|life| life.used.replaced_at.is_none_or(|replaced| replaced >= span.start()));
    Ok(Evidence {
        span,
        origin: origin_of(&reader.ledger_id()?),
        head,
        targets,
        policies,
        rotations,
        keys,
        slice,
        checkpoints: checkpoints.into_iter().filter(|checkpoint| checkpoint.head.seq >= first).collect(),
        keys_of_checkpoints: reader.checkpoint_keys()?,
    })
}

fn name_targets(slice: &mut [LedgerRow], fleet: &Fleet) {
    for row in slice {
        row.name = fleet.targets.get(row.target.as_str()).map(|record| record.target.name());
    }
}

fn condition_of(record: &TargetRecord) -> Condition {
    match (record.standing(), &record.key) {
        (Standing::Gone, _) => Condition::NotThere,
        (standing @ (Standing::Listed(_) | Standing::Refused(_)), _) => Condition::LeftOut(standing.to_string()),
        (Standing::Managed, None) => Condition::Unread,
        (Standing::Managed, Some(key)) => {
            Condition::Key { id: key.id.to_string(), since: key.since(), dated: key.not_before.is_some() }
        }
    }
}

impl Evidence {
    /// How many days of all targets were of a class.
    pub(crate) fn days_of(&self, class: Class) -> usize {
        self.targets.iter().map(|story| story.days_of(class)).sum()
    }
}

impl TargetStory {
    pub(crate) fn days_of(&self, class: Class) -> usize {
        self.days.iter().filter(|day| **day == class).count()
    }
}
