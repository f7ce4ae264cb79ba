//! Values for unit tests, where a test does not care which. It names what it cares about: `Target { role, ..sample::target() }`.

use jiff::Timestamp;

use super::{Event, Failure, Fleet, KeyOrigin, KeyRecord, Mechanism, Reason, Role, Scope, Target, Verdict};

/// The shard `emea/billing/ledger/ledger-0`.
pub(crate) fn target() -> Target {
    Target {
        manager: "emea".into(),
        project_id: "5f".into(),
        project: "billing".to_owned(),
        cluster_id: "6a".into(),
        cluster: "ledger".to_owned(),
        replica_set: "ledger-0".to_owned(),
        role: Role::Shard,
        mechanism: Mechanism::BackupKey,
    }
}

/// A target's trouble that may be over the next time: status 500, for this reason.
pub(crate) fn failure(reason: Reason) -> Failure {
    Failure {
        reason,
        verdict: Verdict::Transient,
        scope: Scope::Target,
        status: Some(500),
        code: None,
        retry_after_s: None,
        detail: "out of luck".to_owned(),
    }
}

/// A key that was there when its target was first looked at, at this time.
pub(crate) fn key(seen: Timestamp) -> KeyRecord {
    KeyRecord { id: "key".into(), not_before: None, first_seen: seen, last_seen: seen, came: KeyOrigin::FirstSeen }
}

/// Takes an event in that has to be possible and to change something.
pub(crate) fn tell(fleet: &mut Fleet, at: Timestamp, event: &Event) {
    let change = fleet.consequence(at, event).unwrap().unwrap();
    fleet.adopt(change);
}
