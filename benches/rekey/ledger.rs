//! A long history, made once and kept in target/.

use std::path::{Path, PathBuf};

use jiff::{SignedDuration, Timestamp};
use rekeyd::domain::{Actor, Entry, Event, How, KeyId, Listing, Mechanism, Role, RotationId, Target};
use rekeyd::ports::Journal;
use rekeyd::store::Store;

const TARGETS: u64 = 1_000;
/// A rotation leaves so many records.
const STEPS: u64 = 4;

/// A state directory with a ledger of so many records.
pub(crate) fn of(records: u64) -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("ledger-{records}"));
    if !dir.join("made").exists() {
        eprintln!("making a ledger of {records} records, once");
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir_all(&dir).unwrap();
        fill(&dir, records / (TARGETS * STEPS));
        std::fs::write(dir.join("made"), "").unwrap();
    }
    dir
}

fn fill(dir: &Path, slots: u64) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let store = Store::open(dir, [1; 32]).unwrap();
    let start: Timestamp = "2016-01-01T00:00:00Z".parse().unwrap();
    let found = (0..TARGETS).flat_map(|number| {
        let description = target(number);
        let seen = Event::KeySeen { target: description.id(), key: key(number, 0), looked_at: None };
        [Event::TargetFound { description, listing: Listing::Eligible }, seen]
    });
    runtime.block_on(store.record(found.map(|event| entry(start, event)).collect())).unwrap();
    for slot in 1..=slots {
        let at = start + SignedDuration::from_hours(6 * i64::try_from(slot).unwrap());
        let group = (0..TARGETS).flat_map(|number| rotation(number, slot, at)).collect();
        runtime.block_on(store.record(group)).unwrap();
    }
    runtime.block_on(store.close()).unwrap();
}

fn rotation(number: u64, slot: u64, at: Timestamp) -> [Entry; 4] {
    let (target, rotation) = (target(number).id(), RotationId { slot, attempt: 1 });
    let (key_before, key_after) = (key(number, slot - 1), key(number, slot));
    let intended = Event::RotationIntended {
        target: target.clone(),
        rotation,
        due_at: at,
        key_before: key_before.clone(),
        looked_at: at,
    };
    let done = Event::RotationDone {
        target: target.clone(),
        rotation,
        due_at: at,
        how: How::Rotated,
        key_before,
        key_after,
        last_seen: at,
        looked_at: None,
    };
    let sending = Event::RotationSending { target: target.clone(), rotation, looked_at: None };
    [intended, sending, Event::RotationAccepted { target, rotation, status: 200 }, done].map(|event| entry(at, event))
}

fn entry(at: Timestamp, event: Event) -> Entry {
    Entry { at, actor: Actor::Schedule, event }
}

fn key(number: u64, slot: u64) -> KeyId {
    format!("6f9619ff-8b86-{number:04x}-b42d-{slot:012x}").as_str().into()
}

/// Of a manager that is not configured any more: the history is there, and nobody looks at its keys.
fn target(number: u64) -> Target {
    Target {
        manager: "apac".into(),
        project_id: "5f00000000000000000000aa".into(),
        project: "billing".to_owned(),
        cluster_id: format!("6a{number:022x}").as_str().into(),
        cluster: format!("cluster-{number:03}"),
        replica_set: format!("cluster-{number:03}"),
        role: Role::ReplicaSet,
        mechanism: Mechanism::BackupKey,
    }
}
