//! The files of a bundle, in the order in which they are packed.

use std::fmt::Write as _;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::cover::{Class, Condition};
use super::csv::{ROTATION_COLUMNS, csv_heading, csv_line};
use super::gather::{Evidence, PolicyStory, TargetStory};
use super::report::report;
use crate::domain::{KeyLife, LedgerRow, RotationRow};

/// One file.
pub struct Named {
    /// Its name.
    pub name: &'static str,
    /// What is in it.
    pub bytes: Vec<u8>,
}

/// The second verifier, as it is shipped.
const VERIFIER: &str = include_str!("../../contrib/verify.py");
const GUIDE: &str = include_str!("../../templates/evidence/README.md");
const CONTROLS: &str = include_str!("../../templates/evidence/controls.md");

const POPULATION: &[&str] = &[
    "name",
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
const POLICIES: &[&str] = &["name", "since", "until", "alert_after", "words", "ledger_seq"];
const KEYS: &[&str] =
    &["target", "key", "came", "rotation", "not_before", "first_seen", "last_seen", "replaced_at", "replaced_by"];
const COVERAGE: &[&str] =
    &["name", "policy", "days", "within", "overrun", "unread", "unproved", "left_out", "not_there"];
const GAPS: &[&str] = &["name", "class", "from", "to", "seconds", "about"];

/// Every file of a bundle.
pub fn files(evidence: &Evidence) -> Vec<Named> {
    let population: Vec<Value> = evidence.targets.iter().map(population).collect();
    let policies: Vec<Value> = evidence.policies.iter().map(|story| policy(story, evidence)).collect();
    let rotations: Vec<Value> = evidence.rotations.iter().map(RotationRow::to_json).collect();
    let keys: Vec<Value> = evidence.keys.iter().map(KeyLife::to_json).collect();
    let coverage: Vec<Value> = evidence.targets.iter().map(coverage).collect();
    let gaps: Vec<Value> = evidence.targets.iter().flat_map(gaps).collect();
    let slice: Vec<Value> = evidence.slice.iter().map(LedgerRow::to_json).collect();
    let mut files = vec![
        text("README.md", GUIDE.to_owned()),
        text("report.html", report(evidence)),
        text("controls.md", CONTROLS.to_owned()),
    ];
    files.extend(both("population.jsonl", "population.csv", POPULATION, &population));
    files.extend(both("policies.jsonl", "policies.csv", POLICIES, &policies));
    files.extend(both("rotations.jsonl", "rotations.csv", ROTATION_COLUMNS, &rotations));
    files.extend(both("keys.jsonl", "keys.csv", KEYS, &keys));
    files.extend(both("coverage.jsonl", "coverage.csv", COVERAGE, &coverage));
    files.extend(both("gaps.jsonl", "gaps.csv", GAPS, &gaps));
    files.push(text("ledger.jsonl", lines(&slice)));
    files.push(text("checkpoints", evidence.checkpoints.iter().map(|one| one.to_note() + "\n").collect()));
    files.push(text("checkpoint.pub", evidence.keys_of_checkpoints.iter().map(|key| format!("{key}\n")).collect()));
    files.push(text("verify.py", VERIFIER.to_owned()));
    let sums = files.iter().fold(String::new(), |mut sums, file| {
        let hash: String = Sha256::digest(&file.bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        let _ = writeln!(sums, "{hash}  {}", file.name);
        sums
    });
    files.push(text("SHA256SUMS", sums));
    files
}

fn text(name: &'static str, text: String) -> Named {
    Named { name, bytes: text.into_bytes() }
}

fn lines(objects: &[Value]) -> String {
    objects.iter().fold(String::new(), |mut text, object| {
        let _ = writeln!(text, "{object}");
        text
    })
}

fn both(json: &'static str, csv: &'static str, columns: &[&str], objects: &[Value]) -> [Named; 2] {
    let table = objects.iter().fold(csv_heading(columns), |table, object| table + &csv_line(columns, object));
    [text(json, lines(objects)), text(csv, table)]
}

fn population(story: &TargetStory) -> Value {
    let (record, target) = (&story.record, &story.record.target);
    let told = |(at, condition): &(jiff::Timestamp, Condition)| {
        let (word, why) = match condition {
            Condition::NotThere => ("not_there", ""),
            Condition::LeftOut(why) => ("left_out", why.as_str()),
            Condition::Unread => ("unread", ""),
            Condition::Key { id, .. } => ("key", id.as_str()),
        };
        json!({ "at": at, "is": word, "about": why })
    };
    json!({
        "name": target.name(),
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
        "history": story.conditions.iter().map(told).collect::<Vec<_>>(),
    })
}

fn policy(story: &PolicyStory, evidence: &Evidence) -> Value {
    let next = evidence.policies.iter().find(|other| other.name == story.name && other.seq > story.seq);
    json!({
        "name": story.name,
        "since": story.since,
        "until": next.map(|next| next.since),
        "alert_after": story.limit,
        "words": story.words,
        "ledger_seq": story.seq,
    })
}

fn coverage(story: &TargetStory) -> Value {
    let days = |class| story.days_of(class);
    json!({
        "name": story.record.target.name(),
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

/// Every stretch in which it can not be shown that the key was within its cryptoperiod, while the target was there.
fn gaps(story: &TargetStory) -> Vec<Value> {
    let shown = story.stretches.iter().filter(|stretch| !matches!(stretch.class, Class::Within | Class::NotThere));
    shown
        .map(|stretch| {
            json!({
                "name": story.record.target.name(),
                "class": stretch.class.word(),
                "from": stretch.from,
                "to": stretch.to,
                "seconds": stretch.to.duration_since(stretch.from).as_secs(),
                "about": stretch.about,
            })
        })
        .collect()
}
