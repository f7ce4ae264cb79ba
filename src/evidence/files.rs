//! The files of a bundle, in the order in which they are packed.

use std::path::Path;

use serde_json::{Value, json};

use super::access::COLUMNS as ACCESS;
use super::cover::{Class, Condition, Rule, Turn};
use super::csv::ROTATION_COLUMNS;
use super::gather::{Evidence, EvidenceError, TargetStory, gather};
use super::pack::{PackError, Sheet, Table, Unfinished};
use super::policies::PolicyStory;
use super::report::report;
use super::span::Span;
use super::unlisted::Unlisted;
use crate::policy::Rules;
use crate::store::{Checkpoint, Reader};

/// The second verifier, as it is shipped.
const VERIFIER: &str = include_str!("../../contrib/verify.py");
const GUIDE: &str = include_str!("../../templates/evidence/README.md");
const CONTROLS: &str = include_str!("../../templates/evidence/controls.md");

const POPULATION: &[&str] = &[
    "name",
    "target_id",
    "manager",
    "project",
    "project_id",
    "cluster",
    "cluster_id",
    "replica_set",
    "role",
    "mechanism",
    "policy",
    "found_at",
    "gone_since",
    "standing",
    "why",
    "key",
];
const POLICIES: &[&str] = &["name", "since", "until", "alert_after", "targets", "words", "ledger_seq"];
const KEYS: &[&str] = &[
    "target",
    "target_id",
    "key",
    "came",
    "rotation",
    "not_before",
    "first_seen",
    "last_seen",
    "replaced_at",
    "replaced_by",
];
const COVERAGE: &[&str] =
    &["name", "target_id", "policy", "days", "within", "overrun", "unread", "unproved", "left_out", "not_there"];
const GAPS: &[&str] = &["name", "target_id", "class", "from", "to", "seconds", "about"];

/// The files that grow with the ledger; they are written while it is read.
pub(super) struct Long {
    pub(super) rotations: Table,
    pub(super) keys: Table,
    pub(super) ledger: Sheet,
}

/// What evidence is asked for, and where it goes.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// The period.
    pub span: Span,
    /// The place of the bundle, where nothing may be.
    pub path: &'a Path,
    /// The name of the folder in the archive; none for a folder.
    pub archive: Option<&'a str>,
}

/// Writes the evidence of a period, and puts the bundle in its place when it is whole.
///
/// The ledger is replayed up to the end of the period, and verified on the way. `rules` say which policy governed a target
/// while the ledger does not. `progress` is told records done and to do.
///
/// # Errors
/// If the ledger is broken, or the bundle cannot be written; nothing is left behind then.
pub fn export(
    reader: &Reader,
    checkpoints: &[Checkpoint],
    rules: &Rules,
    wanted: Wanted<'_>,
    progress: impl FnMut(u64, u64),
) -> Result<(), EvidenceError> {
    let bundle = Unfinished::begin(wanted.path)?;
    let mut long = Long {
        rotations: bundle.table("rotations.jsonl", "rotations.csv", ROTATION_COLUMNS)?,
        keys: bundle.table("keys.jsonl", "keys.csv", KEYS)?,
        ledger: bundle.sheet("ledger.jsonl")?,
    };
    let evidence = gather(reader, checkpoints, rules, wanted.span, &mut long, progress)?;
    Ok(write(bundle, long, &evidence, wanted)?)
}

fn write(bundle: Unfinished, long: Long, evidence: &Evidence, wanted: Wanted<'_>) -> Result<(), PackError> {
    let targets = || evidence.targets.iter();
    let notes: String = evidence.checkpoints.iter().map(|one| one.to_note() + "\n").collect();
    let keys: String = evidence.keys_of_checkpoints.iter().map(|key| format!("{key}\n")).collect();
    let table = |json, csv, columns, rows: &mut dyn Iterator<Item = Value>| {
        let mut table = bundle.table(json, csv, columns)?;
        for row in rows {
            table.row(&row)?;
        }
        table.finish()
    };
    let policies = &mut evidence.policies.iter().map(policy);
    let mut files = vec![
        bundle.file("README.md", GUIDE)?,
        bundle.file("report.html", &report(evidence))?,
        bundle.file("controls.md", CONTROLS)?,
    ];
    files.extend(table("population.jsonl", "population.csv", POPULATION, &mut targets().map(population))?);
    files.extend(table("policies.jsonl", "policies.csv", POLICIES, policies)?);
    files.extend(long.rotations.finish()?);
    files.extend(long.keys.finish()?);
    files.extend(table("api_keys.jsonl", "api_keys.csv", ACCESS, &mut evidence.access.rows())?);
    files.extend(table("coverage.jsonl", "coverage.csv", COVERAGE, &mut targets().map(coverage))?);
    let mut all_gaps = targets().flat_map(gaps).chain(evidence.unlisted.iter().map(unlisted));
    files.extend(table("gaps.jsonl", "gaps.csv", GAPS, &mut all_gaps)?);
    files.push(long.ledger.finish()?);
    files.push(bundle.file("checkpoints", &notes)?);
    files.push(bundle.file("checkpoint.pub", &keys)?);
    files.push(bundle.file("verify.py", VERIFIER)?);
    bundle.finish(wanted.path, wanted.archive, files)
}

fn population(story: &TargetStory) -> Value {
    let (record, target) = (&story.record, &story.record.target);
    let told = |Turn { earliest, condition, rule, .. }: &Turn| {
        let (word, why) = match condition {
            Condition::NotThere => ("not_there", ""),
            Condition::LeftOut(why) => ("left_out", why.as_str()),
            Condition::Unread => ("unread", ""),
            Condition::Key { id, .. } => ("key", id.as_str()),
        };
        let mut turn = json!({ "at": earliest, "is": word, "about": why });
        if let (Value::Object(turn), Rule::Told(governance)) = (&mut turn, rule) {
            let governance = governance.as_ref();
            turn.insert("policy".to_owned(), json!(governance.map(|governance| &governance.policy)));
            turn.insert("alert_after".to_owned(), json!(governance.map(|governance| governance.alert_after)));
        }
        turn
    };
    json!({
        "name": target.name(),
        "target_id": target.id(),
        "manager": target.manager,
        "project": target.project,
        "project_id": target.project_id,
        "cluster": target.cluster,
        "cluster_id": target.cluster_id,
        "replica_set": target.replica_set,
        "role": target.role,
        "mechanism": target.mechanism,
        "policy": story.policy,
        "found_at": record.found_at,
        "gone_since": record.gone_since,
        "standing": record.standing().word(),
        "why": record.standing().to_string(),
        "key": record.key.as_ref().map(|key| &key.id),
        "history": story.turns.iter().map(told).collect::<Vec<_>>(),
    })
}

fn policy(story: &PolicyStory) -> Value {
    json!({
        "name": story.name,
        "since": story.since,
        "until": story.until,
        "alert_after": story.limit,
        "targets": story.targets,
        "words": story.words,
        "ledger_seq": story.seq,
    })
}

fn coverage(story: &TargetStory) -> Value {
    let days = |class| story.days_of(class);
    json!({
        "name": story.record.target.name(),
        "target_id": story.record.target.id(),
        "policy": story.policy,
        "days": story.days.len(),
        "within": days(Class::Within),
        "overrun": days(Class::Overrun),
        "unread": days(Class::Unread),
        "unproved": days(Class::Unproved),
        "left_out": days(Class::LeftOut),
        "not_there": days(Class::NotThere),
    })
}

/// Every stretch in which it cannot be shown that the key was within its cryptoperiod, while the target was there.
fn gaps(story: &TargetStory) -> Vec<Value> {
    let shown = story.stretches.iter().filter(|stretch| !matches!(stretch.class, Class::Within | Class::NotThere));
    shown
        .map(|stretch| {
            json!({
                "name": story.record.target.name(),
                "target_id": story.record.target.id(),
                "class": stretch.class.word(),
                "from": stretch.from,
                "to": stretch.to,
                "seconds": stretch.to.duration_since(stretch.from).as_secs(),
                "about": stretch.about,
            })
        })
        .collect()
}

/// A stretch in which it is not known what targets there were.
fn unlisted(Unlisted { name, from, to, why }: &Unlisted) -> Value {
    let seconds = to.duration_since(*from).as_secs();
    json!({
        "name": name,
        "target_id": Value::Null,
        "class": "unlisted",
        "from": from,
        "to": to,
        "seconds": seconds,
        "about": why,
    })
}
