//! Random stories: whatever the daemon lives through, memory, tables, replay and restart tell the same.

use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::sample::select;
use rekeyd::domain::{
    AlertKind, AlertSubject, ApiKey, Caller, Fleet, Gap, Governance, Grant, KeyChange, Period, Reach, Refusal, Saying,
};
use strum::VariantNames as _;

use super::*;

/// The example of Go's package `note`.
const A_KEY: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";

/// One random happening, of any kind, at a target; most are impossible where they fall, and must then be refused.
fn happening() -> impl Strategy<Value = (u8, &'static str, u8)> {
    let of = |wanted: fn(&str) -> bool| {
        select(Event::VARIANTS.iter().copied().filter(|kind| wanted(kind)).collect::<Vec<_>>())
    };
    let kind = prop_oneof![
        5 => of(|_| true),
        1 => of(|kind| matches!(kind, "target_found" | "key_seen")),
        4 => of(|kind| kind.starts_with("rotation_")),
    ];
    (prop_oneof![4 => Just(0u8), 1 => 1..3u8], kind, 0..4u8)
}

/// An event of this kind, given what is known, so that a good part of them is possible.
fn event(fleet: &Fleet, (which, kind, detail): (u8, &str, u8), now: i64) -> Event {
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
    let failure =
        Failure { code: (detail > 1).then(|| "X".into()), ..failure(Reason::ALL[(now as usize) % Reason::ALL.len()]) };
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
    let (reason, project) = ("CHG-1".to_owned(), format!("p{}", detail % 2));
    let receiver = if which == 0 { "oncall" } else { "heartbeat" }.into();
    let sayings = vec![Saying { alert, subject: subject.clone(), since: at(now - 5), name: format!("n{detail}") }];
    match kind {
        "daemon_started" => Event::DaemonStarted { version: "1".into(), pid: 1, host: "h".into() },
        "daemon_stopped" => Event::DaemonStopped { parked: 0 },
        "ledger_recovered" => Event::LedgerRecovered { since: last_seen, error: "no space".into() },
        "clock_stepped" => Event::ClockStepped { by_s: i64::from(which) - 1 },
        "policy_set" => Event::PolicySet { policy: "default".into(), words: format!("every {detail}d") },
        "config_reloaded" => Event::ConfigReloaded { changes: Vec::new(), by: None },
        "config_refused" => Event::ConfigRefused { error: "no manager".into(), by: Some(caller()) },
        "pause_set" => Event::PauseSet { scope: format!("emea/{which}"), until: at(now + 100), reason, by: caller() },
        "pause_ended" => Event::PauseEnded { scope: format!("emea/{which}"), reason: None, by: None },
        "freeze_set" => {
            let (name, start, end) = (format!("f{}", which % 2), at(now - 1), at(now + i64::from(which)));
            Event::FreezeSet { name, scope: "emea/*".into(), start, end, reason, by: caller() }
        }
        "freeze_ended" => Event::FreezeEnded { name: format!("f{}", which % 2), reason: None, by: None },
        "look_requested" => Event::LookRequested { scope: "emea/*".into(), targets: 1, reason, by: caller() },
        "checkpoint_key_set" => Event::CheckpointKeySet { key: A_KEY.to_owned() },
        "target_found" => Event::TargetFound { description, listing },
        "target_changed" => Event::TargetChanged { description, listing },
        "target_gone" => Event::TargetGone { target, listings: 3 },
        "target_returned" => Event::TargetReturned { target },
        "target_governed" => {
            let governance = Governance { policy: format!("p{which}").as_str().into(), alert_after: Period::days(90) };
            Event::TargetGoverned { target, governance: (detail < 3).then_some(governance) }
        }
        "target_refused" => Event::TargetRefused { target, refusal: Refusal::NotEncrypted { code: "X".into() } },
        "target_readable" => Event::TargetReadable { target },
        "key_seen" => Event::KeySeen { target, key: other, looked_at: None },
        "key_changed" => Event::KeyChanged {
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
        "key_redated" => {
            Event::KeyRedated { target, not_before: (which == 0).then(|| at(now - 60)), first_seen: at(now - 50) }
        }
        "observation_failing" => Event::ObservationFailing { target, failure },
        "observation_recovered" => Event::ObservationRecovered { target },
        "rotation_intended" => {
            Event::RotationIntended { target, rotation, due_at, key_before: known, looked_at: last_seen }
        }
        "rotation_sending" => Event::RotationSending { target, rotation, looked_at: None },
        "rotation_accepted" => Event::RotationAccepted { target, rotation, status: 200 },
        "rotation_reply_lost" => Event::RotationReplyLost { target, rotation, failure },
        "rotation_done" => Event::RotationDone {
            target,
            rotation,
            due_at,
            how: [How::Rotated, How::FoundChanged, How::Recovered][usize::from(detail) % 3],
            key_before: known,
            key_after: other,
            last_seen,
            looked_at: None,
        },
        "rotation_failed" => Event::RotationFailed { target, rotation, due_at, stage: Stage::Put, failure, retry_at },
        "rotation_unconfirmed" => Event::RotationUnconfirmed { target, rotation, failure, retry_at },
        "rotation_withdrawn" => Event::RotationWithdrawn { target, rotation, why: "gone".into() },
        "rotation_requested" => Event::RotationRequested { target, reason, by: caller(), overrides: which == 0 },
        "slot_missed" => Event::SlotMissed {
            target,
            slot: rotation.slot,
            due_at,
            windows: 2,
            opened_at: last_seen,
            closed_at: retry_at,
            why: "the daemon was not running".to_owned(),
        },
        "slot_held" => {
            let freeze = "year-end".to_owned();
            Event::SlotHeld { target, slot: rotation.slot, due_at, freeze, reason, until: retry_at }
        }
        "target_quarantined" => Event::TargetQuarantined { target, attempts: 8, failure },
        "target_rearmed" => Event::TargetRearmed { target, reason, by: Some(caller()) },
        "manager_failing" => Event::ManagerFailing { manager, failure },
        "manager_answering" => Event::ManagerAnswering { manager },
        "project_unread" => Event::ProjectUnread { manager, project, failure },
        "project_read" => Event::ProjectRead { manager, project },
        "gap_found" => Event::GapFound { manager, gap },
        "gap_closed" => Event::GapClosed { manager, gap },
        "api_key_added" => Event::ApiKeyAdded { manager, key: api_key, baseline: which == 0 },
        "api_key_removed" => Event::ApiKeyRemoved { manager, key: api_key },
        "api_key_roles_changed" => Event::ApiKeyRolesChanged { manager, key: api_key, before: BTreeSet::new() },
        "api_key_changed" => Event::ApiKeyChanged { manager, key: api_key },
        "api_keys_read" => Event::ApiKeysRead { manager, list },
        "api_keys_unread" => Event::ApiKeysUnread { manager, list, failure },
        "credential_used" => Event::CredentialUsed { manager, public_key: format!("key{which}") },
        "alert_raised" => Event::AlertRaised { alert, subject, words: "old".into() },
        "alert_cleared" => Event::AlertCleared { alert, subject },
        "alerts_delivered" if detail < 2 => Event::AlertsDelivered { receiver, firing: sayings, resolved: Vec::new() },
        "alerts_delivered" => Event::AlertsDelivered { receiver, firing: Vec::new(), resolved: sayings },
        "receiver_failing" => Event::ReceiverFailing { receiver, error: "HTTP 500".into() },
        "receiver_answering" => Event::ReceiverAnswering { receiver },
        "receiver_dropped" => Event::ReceiverDropped { receiver },
        other => panic!("the stories know no {other}"),
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
