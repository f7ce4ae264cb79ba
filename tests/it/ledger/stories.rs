//! Random stories: whatever the daemon lives through, memory, tables, replay and restart tell the same.

use std::collections::BTreeSet;

use proptest::prelude::*;
use rekeyd::domain::{
    AlertKind, AlertSubject, ApiKey, Caller, Fleet, Gap, Governance, Grant, KeyChange, Period, Reach, Refusal, Saying,
};

use super::*;

/// One random happening at a target; most are impossible where they fall, and must then be refused.
fn happening() -> impl Strategy<Value = (u8, u8, u8)> {
    let beginnings = prop_oneof![Just(2u8), Just(9u8)];
    let steps_of_rotations = 13..23u8;
    let what = prop_oneof![2 => 0..32u8, 1 => beginnings, 4 => steps_of_rotations];
    (prop_oneof![4 => Just(0u8), 1 => 1..3u8], what, 0..4u8)
}

/// The event that the numbers mean, given what is known, so that a good part of them is possible.
fn event(fleet: &Fleet, (which, what, detail): (u8, u8, u8), now: i64) -> Event {
    let description = Target { cluster: format!("c{detail}"), ..target(&format!("rs{which}")) };
    let target = description.id();
    let record = fleet.targets.get(&target);
    let known = record.and_then(|record| record.key.as_ref()).map_or_else(|| "k0".into(), |key| key.id.clone());
    let other = format!("k{detail}").as_str().into();
    let next = record.map_or(RotationId { slot: 1, attempt: 1 }, |record| {
        record.rotation.as_ref().filter(|_| detail != 3).map_or(record.next_rotation(), |rotation| rotation.id)
    });
    let rotation = next;
    let due_at = at(now - 100);
    let last_seen = at(now - 1);
    let retry_at = at(now + 60);
    let listing = match detail {
        0 => Listing::Eligible,
        1 => Listing::NoBackup,
        2 => Listing::BackupNotStarted { status: "STOPPED".into() },
        _ => Listing::Excluded { pattern: "scratch-*".into() },
    };
    let failure = Failure { code: (detail > 1).then(|| "X".into()), ..failure(Reason::ALL[usize::from(what) % 16]) };
    let manager = if which == 0 { "emea" } else { "apac" }.into();
    let gap = Gap { project_id: "5f".into(), project: "billing".into(), cluster: format!("c{detail}") };
    let subject = match which {
        0 => AlertSubject::Target(target.clone()),
        1 => AlertSubject::Manager("emea".into()),
        _ if detail == 0 => AlertSubject::ApiKey("emea/5d669ce780eef52a42cf0e1e".into()),
        _ => AlertSubject::Cluster("emea/5f/c".into()),
    };
    let list = if detail % 2 == 0 { Reach::Global } else { Reach::Project("5f".into()) };
    let role = ["GROUP_READ_ONLY", "GROUP_OWNER"][usize::from(detail) % 2].to_owned();
    let api_key = ApiKey {
        id: format!("5d669ce780eef52a42cf0e1{which}").as_str().into(),
        public_key: format!("public{which}"),
        description: format!("d{detail}"),
        grants: BTreeSet::from([Grant { role, over: list.clone() }]),
        lists: BTreeSet::from([list.clone()]),
    };
    let alert = AlertKind::ALL[usize::from(detail)];
    let receiver = if which == 0 { "oncall" } else { "heartbeat" }.into();
    let sayings = vec![Saying { alert, subject: subject.clone(), since: at(now - 5), name: format!("n{detail}") }];
    match what {
        0 => match detail {
            0 => Event::DaemonStarted { version: "1".into(), pid: 1, host: "h".into() },
            1 if which == 2 => Event::FreezeEnded { name: "f0".into(), reason: None, by: None },
            1 => Event::PauseEnded { scope: format!("emea/{which}"), reason: None, by: None },
            2 => {
                let (name, start, end) = (format!("f{}", which % 2), at(now - 1), at(now + i64::from(which)));
                Event::FreezeSet { name, scope: "emea/*".into(), start, end, reason: "CHG-4".into(), by: caller() }
            }
            _ => {
                let (scope, until) = (format!("emea/{which}"), at(now + 100));
                Event::PauseSet { scope, until, reason: "CHG-3".into(), by: caller() }
            }
        },
        1 if detail == 3 => Event::CheckpointKeySet { key: format!("k{which}") },
        1 => Event::PolicySet { policy: "default".into(), words: format!("every {detail}d") },
        2 | 3 => Event::TargetFound { description, listing },
        4 => Event::TargetChanged { description, listing },
        5 => Event::TargetGone { target, listings: 3 },
        6 => Event::TargetReturned { target },
        7 => Event::TargetRefused { target, refusal: Refusal::NotEncrypted { code: "X".into() } },
        8 if detail == 0 => Event::TargetReadable { target },
        8 => {
            let governance = Governance { policy: format!("p{which}").as_str().into(), alert_after: Period::days(90) };
            Event::TargetGoverned { target, governance: (detail < 3).then_some(governance) }
        }
        9 => Event::KeySeen { target, key: other, looked_at: None },
        10 => Event::KeyChanged {
            target,
            change: if detail == 0 { KeyChange::Regression } else { KeyChange::Foreign },
            before: known,
            after: other,
            last_seen,
            looked_at: None,
            not_before: (detail < 2).then(|| at(now - 50)),
            first_seen: at(now - 40),
            suspect: None,
        },
        11 => Event::ObservationFailing { target, failure },
        12 => Event::ObservationRecovered { target },
        13 | 14 => Event::RotationIntended { target, rotation, due_at, key_before: known, looked_at: last_seen },
        15 | 16 => Event::RotationSending { target, rotation, looked_at: None },
        17 => Event::RotationAccepted { target, rotation, status: 200 },
        18 => Event::RotationReplyLost { target, rotation, failure },
        19 => Event::RotationDone {
            target,
            rotation,
            due_at,
            how: [How::Rotated, How::FoundChanged, How::Recovered][usize::from(detail) % 3],
            key_before: known,
            key_after: other,
            last_seen,
            looked_at: None,
        },
        20 => Event::RotationFailed { target, rotation, due_at, stage: Stage::Put, failure, retry_at },
        21 => Event::RotationUnconfirmed { target, rotation, failure, retry_at },
        22 => match detail {
            0 => Event::RotationWithdrawn { target, rotation, why: "gone".into() },
            1 => Event::TargetQuarantined { target, attempts: 8, failure },
            2 => Event::TargetRearmed { target, reason: "CHG-1".to_owned(), by: Some(caller()) },
            _ => Event::RotationRequested { target, reason: "CHG-2".into(), by: caller(), overrides: which == 0 },
        },
        23 if detail == 0 => Event::SlotMissed {
            target,
            slot: rotation.slot,
            due_at,
            windows: 2,
            opened_at: last_seen,
            closed_at: retry_at,
            why: "the daemon was not running".to_owned(),
        },
        24 if detail == 0 => {
            let (freeze, reason) = ("year-end".to_owned(), "CHG-1".to_owned());
            Event::SlotHeld { target, slot: rotation.slot, due_at, freeze, reason, until: retry_at }
        }
        23 if detail > 1 => Event::ManagerFailing { manager, failure },
        23 => Event::ManagerAnswering { manager },
        24 if detail > 1 => Event::GapFound { manager, gap },
        24 => Event::GapClosed { manager, gap },
        25 if detail == 0 => Event::AlertsDelivered { receiver, firing: sayings, resolved: Vec::new() },
        25 if detail == 1 => Event::AlertsDelivered { receiver, firing: Vec::new(), resolved: sayings },
        25 if detail == 2 => Event::ReceiverFailing { receiver, error: "HTTP 500".into() },
        26 if detail < 2 => Event::ReceiverAnswering { receiver },
        26 if detail == 2 => Event::ReceiverDropped { receiver },
        26 => Event::KeyRedated { target, not_before: (which == 0).then(|| at(now - 60)), first_seen: at(now - 50) },
        27 if detail > 1 => Event::ApiKeysUnread { manager, list, failure },
        27 => Event::ApiKeysRead { manager, list },
        28 => Event::ApiKeyAdded { manager, key: api_key, baseline: which == 0 },
        29 => Event::ApiKeyRolesChanged { manager, key: api_key, before: BTreeSet::new() },
        30 if detail > 2 => Event::CredentialUsed { manager, public_key: format!("key{which}") },
        30 if detail == 0 => Event::ClockStepped { by_s: i64::from(which) - 1 },
        30 => Event::ApiKeyRemoved { manager, key: api_key },
        _ if which == 0 => Event::AlertCleared { alert, subject },
        _ => Event::AlertRaised { alert, subject, words: "old".into() },
    }
}

fn caller() -> Caller {
    Caller { uid: 1000, gid: 1000, pid: 7, user: Some("ada".into()), login: None }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 200, ..ProptestConfig::default() })]

    /// The tables accept exactly what the fold accepts; a restart, a reader and a replay all know what the daemon knew.
    #[test]
    fn every_telling_of_a_story_agrees(story in prop::collection::vec(happening(), 1..200)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let dir = tempfile::tempdir().unwrap();
            let store = Store::open(dir.path(), [9; 32]).unwrap();
            let reader = Reader::open(dir.path()).unwrap();
            let mut model = Fleet::default();
            let mut possible = Vec::new();
            for (now, numbers) in (1..).zip(story) {
                let entry = entry(now, event(&model, numbers, now));
                match model.consequence(entry.at, &entry.event) {
                    Ok(change) => {
                        change.map(|change| model.adopt(change));
                        possible.push(entry);
                    }
                    // One impossible entry takes the whole call with it.
                    Err(_) => {
                        let call = possible.iter().cloned().chain([entry]).collect();
                        let recorded = store.record(call).await;
                        prop_assert!(matches!(recorded, Err(JournalError::Impossible(_))), "{recorded:?}");
                    }
                }
                if now % 8 == 0 {
                    let recorded = store.record(std::mem::take(&mut possible)).await;
                    prop_assert!(recorded.is_ok(), "{recorded:?}");
                    let seen: Vec<_> = model.targets.keys().map(|id| (id.clone(), at(now))).collect();
                    store.seen_again(seen.clone()).await.unwrap();
                    for (target, at) in seen {
                        model.seen_again(&target, at).map(|change| model.adopt(change));
                    }
                    prop_assert_eq!(&reader.fleet().unwrap(), &model);
                }
            }
            let recorded = store.record(possible).await;
            prop_assert!(recorded.is_ok(), "{recorded:?}");
            prop_assert_eq!(&*store.fleet(), &model);
            prop_assert_eq!(&reader.fleet().unwrap(), &model);
            let verified = reader.verify(|_, _| {});
            prop_assert!(verified.is_ok(), "{:?}", verified);
            let head = store.head();
            drop(store);
            let store = Store::open(dir.path(), [1; 32]).unwrap();
            prop_assert_eq!(&*store.fleet(), &model);
            prop_assert_eq!(store.head(), head);
            Ok(())
        })?;
    }
}
