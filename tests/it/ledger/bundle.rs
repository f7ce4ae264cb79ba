//! The evidence bundle: the same bytes each time, complete, verified by a stranger, and a page that can be read and printed.

mod forged;
mod truth;

use std::collections::BTreeSet;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use rekeyd::domain::{
    ApiKey, Gap, Governance, Grant, KeyChange, OnCheckpointFailure, Period, PolicyName, Reach, Refusal,
};
use rekeyd::policy::Policy;
use rekeyd::store::{CHECKPOINTS, CheckpointKey, Keeping};
use serde_json::Value;

use super::*;

const DAYS: usize = 365;

fn day(day: f64) -> Timestamp {
    "2025-01-01T00:00:00Z".parse::<Timestamp>().unwrap() + SignedDuration::from_secs_f64(day * 86_400.0)
}

fn member(cluster: &str, replica_set: &str) -> Target {
    Target {
        cluster: cluster.to_owned(),
        cluster_id: format!("id-{cluster}-{replica_set}").as_str().into(),
        ..target(replica_set)
    }
}

/// A target that is found on a day and rotated every so many days until another.
fn life(target: &Target, found: f64, every: f64, until: f64) -> Vec<Entry> {
    let id = target.id();
    let key = |number: u64| format!("{}-{}-{number}", target.cluster, target.replica_set).as_str().into();
    let at = |day_of: f64, event| Entry { at: day(day_of), actor: Actor::Schedule, event };
    let mut told = vec![
        at(found, Event::TargetFound { description: target.clone(), listing: Listing::Eligible }),
        at(found + 0.01, Event::KeySeen { target: id.clone(), key: key(0), looked_at: None }),
    ];
    let (mut slot, mut when) = (1, found + 1.0);
    while when < until {
        let rotation = RotationId { slot, attempt: 1 };
        let (key_before, key_after, due_at) = (key(slot - 1), key(slot), day(when));
        let (last_seen, target) = (day(when), id.clone());
        told.extend([
            at(
                when,
                Event::RotationIntended {
                    target: target.clone(),
                    rotation,
                    due_at,
                    key_before: key(slot - 1),
                    looked_at: last_seen,
                },
            ),
            at(when + 0.0001, Event::RotationSending { target: target.clone(), rotation, looked_at: None }),
            at(when + 0.0002, Event::RotationAccepted { target: target.clone(), rotation, status: 200 }),
            at(
                when + 0.0003,
                Event::RotationDone {
                    target,
                    rotation,
                    due_at,
                    how: How::Rotated,
                    key_before,
                    key_after,
                    last_seen,
                    looked_at: None,
                },
            ),
        ]);
        (slot, when) = (slot + 1, when + every);
    }
    told
}

/// Who could rotate: one key from before, whose role is taken away, and one that comes and goes; and a list that is closed.
fn access() -> Vec<Entry> {
    let grant = |role: &str| Grant { role: role.to_owned(), over: Reach::Project("5f".into()) };
    let key = |id: &str, role: &str| ApiKey {
        id: id.into(),
        public_key: format!("public-{id}"),
        description: format!("of {id} <i>"),
        grants: BTreeSet::from([grant(role)]),
        lists: BTreeSet::from([Reach::Global]),
    };
    let manager = || "emea".into();
    let told = [
        (-300.0, Event::ApiKeysRead { manager: manager(), list: Reach::Global }),
        (-300.0, Event::ApiKeyAdded { manager: manager(), key: key("old", "GROUP_OWNER"), baseline: true }),
        (-300.0, Event::ApiKeyAdded { manager: manager(), key: key("gone", "GROUP_OWNER"), baseline: true }),
        (-200.0, Event::ApiKeyRemoved { manager: manager(), key: key("gone", "GROUP_OWNER") }),
        (50.0, Event::ApiKeyAdded { manager: manager(), key: key("guest", "GROUP_BACKUP_ADMIN"), baseline: false }),
        (
            60.0,
            Event::ApiKeyRolesChanged {
                manager: manager(),
                key: key("old", "GROUP_READ_ONLY"),
                before: BTreeSet::from([grant("GROUP_OWNER")]),
            },
        ),
        (70.0, Event::ApiKeyRemoved { manager: manager(), key: key("guest", "GROUP_BACKUP_ADMIN") }),
        (80.0, Event::ApiKeyAdded { manager: manager(), key: key("new", "GROUP_OWNER"), baseline: false }),
        (
            90.0,
            Event::ApiKeysUnread {
                manager: manager(),
                list: Reach::Project("60".into()),
                failure: failure(Reason::RoleMissing),
            },
        ),
    ];
    told.map(|(on, event)| Entry { at: day(on), actor: Actor::Daemon, event }).into()
}

/// A year of nine clusters, most in good order.
async fn scene() -> tempfile::TempDir {
    written(small()).await
}

fn small() -> Vec<Entry> {
    let mut entries = Vec::new();
    for (number, cluster) in ["ledger", "invoices", "customers", "search", "mail"].into_iter().enumerate() {
        for replica_set in ["shard-0", "shard-1", "config"] {
            let offset = number as f64 * 4.0 + replica_set.len() as f64 / 3.0;
            entries.extend(life(&member(cluster, replica_set), -40.0 + offset, 30.0, 364.0));
        }
    }
    // Rotated late, found in the middle of the year, changed by somebody else, excluded, and gone.
    entries.extend(life(&member("late", "rs0"), -300.0, 110.0, 364.0));
    entries.extend(life(&member("young", "rs0"), 150.0, 30.0, 364.0));
    let scratch = member("scratch-1", "rs0");
    entries.extend(life(&scratch, -10.0, 30.0, 95.0));
    entries.push(Entry {
        at: day(100.0),
        actor: Actor::Daemon,
        event: Event::TargetChanged {
            description: scratch,
            listing: Listing::Excluded { pattern: "scratch-*".into() },
        },
    });
    let old = member("retired <b>", "rs0");
    entries.extend(life(&old, -60.0, 30.0, 200.0));
    entries.push(Entry {
        at: day(210.0),
        actor: Actor::Daemon,
        event: Event::KeyChanged {
            target: old.id(),
            change: KeyChange::Foreign,
            before: "retired <b>-rs0-9".into(),
            after: "someone-elses".into(),
            last_seen: day(209.0),
            not_before: Some(day(209.0)),
            first_seen: day(210.0),
            suspect: None,
            looked_at: None,
        },
    });
    entries.push(Entry {
        at: day(250.0),
        actor: Actor::Daemon,
        event: Event::TargetGone { target: old.id(), listings: 3 },
    });
    entries.extend(access());
    entries
}

/// More clusters than a page has room for, all in good order.
fn many() -> Vec<Entry> {
    let clusters = (0..60).map(|number| format!("cluster-with-quite-a-long-name-{number:02}"));
    let members = clusters.enumerate().flat_map(|(number, cluster)| {
        ["shard-0", "shard-1", "config"].map(|replica_set| (number, member(&cluster, replica_set)))
    });
    members.flat_map(|(number, target)| life(&target, -60.0 + number as f64 / 2.0, 30.0, 364.0)).collect()
}

/// A fleet in which nothing goes as it should.
fn trouble() -> Vec<Entry> {
    let mut entries = access();
    for number in 0..16 {
        let target = member(&format!("cluster-{number:02}"), "rs0");
        let (id, every) = (target.id(), 40.0 + f64::from(number) * 15.0);
        let told = life(&target, -300.0 + f64::from(number) * 11.0, every, 364.0);
        // Every third one is refused from some day on, and never rotated again.
        let refused = 100.0 + f64::from(number) * 9.0;
        entries.extend(told.into_iter().filter(|entry| number % 3 != 0 || entry.at < day(refused)));
        if number % 3 == 0 {
            let refusal = Refusal::NotEncrypted { code: "NOT_ENCRYPTED".into() };
            let event = Event::TargetRefused { target: id, refusal };
            entries.push(Entry { at: day(refused + 1.0), actor: Actor::Daemon, event });
        }
    }
    for number in 0..4 {
        let target = member(&format!("never-read-{number}"), "rs0");
        let event = Event::TargetFound { description: target, listing: Listing::Eligible };
        entries.push(Entry { at: day(30.0 * f64::from(number)), actor: Actor::Daemon, event });
    }
    let role = Grant { role: "GLOBAL_OWNER".to_owned(), over: Reach::Global };
    for number in 0..12 {
        let id = format!("{:024x}", 0x66_0000_0000_u64 + number);
        let key = ApiKey {
            id: id.as_str().into(),
            public_key: format!("pub{number:05}"),
            description: "terraform".to_owned(),
            grants: BTreeSet::from([role.clone()]),
            lists: BTreeSet::from([Reach::Global]),
        };
        let event = Event::ApiKeyAdded { manager: "emea".into(), key, baseline: false };
        entries.push(Entry { at: day(100.0 + number as f64), actor: Actor::Daemon, event });
    }
    entries
}

/// A ledger with these entries and a policy, and a configuration beside it.
async fn written(mut entries: Vec<Entry>) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let words = Policy::with_defaults(PolicyName::from("default")).to_string();
    let event = Event::PolicySet { policy: "default".into(), words };
    entries.push(Entry { at: day(-400.0), actor: Actor::Daemon, event });
    entries.sort_by_key(|entry| entry.at);

    let state = dir.path().join("state");
    let store = Store::open(&state, [9; 32]).unwrap();
    let key = CheckpointKey::of_state_dir(&state, [3; 32]).unwrap();
    let (file, on_failure) = (dir.path().join(CHECKPOINTS), OnCheckpointFailure::Warn);
    let event = Event::CheckpointKeySet { key: store.verifier_of(&key).to_string() };
    store.record(vec![Entry { at: day(-401.0), actor: Actor::Daemon, event }]).await.unwrap();
    store.keep_checkpoints(Keeping { file, key, on_failure, begun: false }).await.unwrap();
    for call in entries.chunks(40) {
        store.record(call.to_vec()).await.unwrap();
    }
    store.close().await.unwrap();
    let path = dir.path().display();
    let text = format!(
        "version = 1\nstate_dir = \"{path}/state\"\n[ledger]\ncheckpoint_file = \"{path}/{CHECKPOINTS}\"\n
         [[ops_manager]]\nname = \"emea\"\nurl = \"http://127.0.0.1:1\"\npublic_key = \"a\"\nprivate_key = {{ file = \"/k\" }}\n"
    );
    std::fs::write(dir.path().join("rekeyd.toml"), text).unwrap();
    dir
}

fn export(dir: &Path, output: &Path) -> Output {
    export_of(dir, output, "2025-01-01", "2025-12-31")
}

fn export_of(dir: &Path, output: &Path, from: &str, to: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_rekeyd"))
        .arg("--config")
        .arg(dir.join("rekeyd.toml"))
        .args(["audit", "export", "--from", from, "--to", to, "--output"])
        .arg(output)
        .output()
        .unwrap()
}

fn exported(dir: &Path, name: &str) -> PathBuf {
    let path = dir.join(name);
    let output = export(dir, &path);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    // No progress bar where there is no terminal.
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    path
}

fn lines(bundle: &Path, name: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(bundle.join(name)).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// What a stranger does with a bundle on his own machine: Python's standard library, perhaps with one package.
fn verified(bundle: &Path, interpreter: &[&str]) -> Value {
    let (program, arguments) = interpreter.split_first().unwrap();
    let output = Command::new(program)
        .args(arguments)
        .args(["verify.py", "ledger.jsonl", "--checkpoints", "checkpoints", "--keys", "checkpoint.pub", "--json"])
        .current_dir(bundle)
        .output()
        .expect("it starts; tests/setup.sh installs what is missing");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)))
}

/// An auditor who asks twice gets the same, also when the ledger has grown since.
#[tokio::test]
async fn the_same_period_gives_the_same_bytes() {
    let dir = scene().await;
    let (one, other) = (exported(dir.path(), "one.tar.gz"), exported(dir.path(), "other.tar.gz"));
    let bytes = std::fs::read(&one).unwrap();
    assert!(bytes == std::fs::read(&other).unwrap(), "exported twice, and not the same");
    let store = Store::open(&dir.path().join("state"), [9; 32]).unwrap();
    let seen = store.fleet().targets.keys().map(|id| (id.clone(), day(380.0))).collect();
    store.seen_again(seen).await.unwrap();
    let mut later = one_rotation("rs-new", 0);
    later.iter_mut().for_each(|entry| entry.at += SignedDuration::from_hours(24));
    store.record(later).await.unwrap();
    store.close().await.unwrap();
    let third = exported(dir.path(), "third.tar.gz");
    assert!(bytes == std::fs::read(&third).unwrap(), "what came after the period is in it");

    let refused = export(dir.path(), &one);
    assert!(!refused.status.success(), "an earlier bundle was written over");
    // The archive holds what the folder does.
    let folder = exported(dir.path(), "folder");
    let unpacked = dir.path().join("unpacked");
    std::fs::create_dir(&unpacked).unwrap();
    let tar = Command::new("tar").arg("-xzf").arg(&one).arg("-C").arg(&unpacked).status().unwrap();
    assert!(tar.success());
    let same = unpacked.join("rekeyd-evidence-2025-01-01-2025-12-31");
    let diff = Command::new("diff").arg("-r").arg(same).arg(&folder).output().unwrap();
    assert!(diff.status.success(), "{}", String::from_utf8_lossy(&diff.stdout));
    let sums = Command::new("sha256sum").args(["--check", "--quiet", "SHA256SUMS"]).current_dir(&folder).output();
    assert!(sums.unwrap().status.success());
}

#[tokio::test]
async fn every_day_of_every_target_is_accounted_for() {
    let dir = scene().await;
    let bundle = exported(dir.path(), "bundle");
    let (coverage, population) = (lines(&bundle, "coverage.jsonl"), lines(&bundle, "population.jsonl"));
    assert_eq!((coverage.len(), population.len()), (19, 19));
    let classes = ["within", "overrun", "unread", "unproved", "left_out", "not_there"];
    let days = |row: &Value, class: &str| row[class].as_u64().unwrap() as usize;
    let total: usize = coverage.iter().flat_map(|row| classes.map(|class| days(row, class))).sum();
    assert_eq!(total, 19 * DAYS);
    let of = |part: &str| coverage.iter().find(|row| row["name"].as_str().unwrap().contains(part)).unwrap();
    assert_eq!(days(of("/mail/shard-0"), "within"), DAYS, "{}", of("/mail/shard-0"));
    // Keys of 110 days under a limit of 90: four times twenty days too old, and the days on which that began or ended.
    assert_eq!(days(of("/late/"), "overrun"), 84, "{}", of("/late/"));
    assert_eq!((days(of("/young/"), "not_there"), days(of("/young/"), "unproved")), (150, 1), "{}", of("/young/"));
    assert_eq!(days(of("/scratch-1/"), "left_out"), DAYS - 100, "{}", of("/scratch-1/"));
    assert_eq!(days(of("/retired"), "not_there"), DAYS - 250, "{}", of("/retired"));
    let why = population.iter().find(|row| row["cluster"] == "scratch-1").unwrap();
    assert!(why["why"].as_str().unwrap().contains("scratch-*"), "{why}");
    let gaps = lines(&bundle, "gaps.jsonl");
    assert!(gaps.iter().any(|gap| gap["class"] == "overrun" && gap["about"] == "late-rs0-3"), "{gaps:?}");
    assert!(lines(&bundle, "keys.jsonl").iter().any(|key| key["came"] == "foreign"));
    assert!(lines(&bundle, "rotations.jsonl").iter().all(|row| row["ended_at"].as_str().unwrap() >= "2025"));
    assert_eq!(lines(&bundle, "policies.jsonl")[0]["alert_after"], "90d");
    let report = std::fs::read_to_string(bundle.join("report.html")).unwrap();
    assert!(report.contains("retired &lt;b&gt;") && !report.contains("retired <b>") && !report.contains("<script"));
}

/// Who could rotate, over time: as it was at the beginning, each change, and as it is at the end.
#[tokio::test]
async fn a_bundle_tells_who_could_rotate() {
    let dir = scene().await;
    let bundle = exported(dir.path(), "bundle");
    let rows = lines(&bundle, "api_keys.jsonl");
    let told: Vec<String> = rows
        .iter()
        .map(|row| format!("{} {} {}", row["is"].as_str().unwrap(), row["id"].as_str().unwrap_or("-"), row["power"]))
        .collect();
    let expected = [
        "at_start old \"rotates\"",
        "added guest \"rotates\"",
        "roles_changed old \"none\"",
        "removed guest \"rotates\"",
        "added new \"rotates\"",
        "list_closed - null",
        "at_end new \"rotates\"",
        "at_end old \"none\"",
    ];
    assert_eq!(told, expected);
    assert_eq!((&rows[0]["at"], &rows[7]["at"]), (&"2025-01-01T00:00:00Z".into(), &"2026-01-01T00:00:00Z".into()));
    assert_eq!(rows[2]["roles_before"][0]["role"], "GROUP_OWNER");
    assert_eq!(std::fs::read_to_string(bundle.join("api_keys.csv")).unwrap().lines().count(), 9);
    let report = std::fs::read_to_string(bundle.join("report.html")).unwrap();
    for shown in ["public-new", "of new &#60;i&#62;", "was not read:</b> emea, project 60"] {
        assert!(report.contains(shown), "{shown}");
    }
    assert!(!report.contains("of new <i>"));
}

/// Whatever stops an export, there is no bundle by the name that was asked for, and no half one that looks whole.
#[tokio::test]
async fn an_export_that_is_cut_off_leaves_no_bundle() {
    let dir = scene().await;
    for name in ["cut.tar.gz", "cut"] {
        let path = dir.path().join(name);
        // No file may grow beyond a hundred kilobytes: the kernel ends who tries, in the middle of the work.
        let cut = Command::new("sh")
            .args(["-c", "ulimit -c 0; ulimit -f 200; exec \"$@\"", "sh", env!("CARGO_BIN_EXE_rekeyd"), "--config"])
            .arg(dir.path().join("rekeyd.toml"))
            .args(["audit", "export", "--from", "2025-01-01", "--to", "2025-12-31", "--output"])
            .arg(&path)
            .output()
            .unwrap();
        assert_eq!(cut.status.signal(), Some(25), "not ended by SIGXFSZ: {cut:?}");
        assert!(!path.exists(), "{name}");
        let names = || std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name());
        let left: Vec<_> = names().filter(|name| name.to_string_lossy().starts_with("rekeyd-evidence")).collect();
        assert!(
            !left.is_empty() && left.iter().all(|name| name.to_string_lossy().ends_with(".unfinished")),
            "{left:?}"
        );
        exported(dir.path(), name);
    }
}

/// Offline, on a machine without rekeyd: the slice and its checkpoints hold, and a changed slice does not.
#[tokio::test]
async fn a_stranger_verifies_a_bundle() {
    let dir = scene().await;
    let bundle = exported(dir.path(), "bundle");
    let venv = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/test-tools/venv/bin/python");
    let (alone, with) = (["python3", "-I", "-S"], [venv.to_str().unwrap()]);
    let good = verified(&bundle, &with);
    let records = lines(&bundle, "ledger.jsonl").len();
    assert_eq!(
        (&good["verified"], &good["records"], &good["signatures"]),
        (&true.into(), &records.into(), &"good".into())
    );
    assert!(good["checkpoints"].as_u64().unwrap() > 10, "{good}");
    assert_eq!(verified(&bundle, &alone)["verified"], true);

    // A table that says something else than the ledger.
    let (table, whole) = (bundle.join("coverage.csv"), std::fs::read(bundle.join("coverage.csv")).unwrap());
    let sums = std::fs::read_to_string(bundle.join("SHA256SUMS")).unwrap();
    assert_eq!(good["files"], sums.lines().count());
    std::fs::write(&table, String::from_utf8(whole.clone()).unwrap().replace("overrun", "OVERRUN")).unwrap();
    let said = verified(&bundle, &alone);
    assert_eq!((&said["verified"], &said["record"]), (&false.into(), &Value::Null), "{said}");
    assert!(said["why"].as_str().unwrap().contains("coverage.csv"), "{said}");
    std::fs::write(&table, whole).unwrap();

    let (ledger, text) = (bundle.join("ledger.jsonl"), std::fs::read_to_string(bundle.join("ledger.jsonl")).unwrap());
    let first = lines(&bundle, "ledger.jsonl")[0]["seq"].as_u64().unwrap();
    let tampered = |change: &dyn Fn(&mut Vec<String>)| {
        let mut changed: Vec<String> = text.lines().map(str::to_owned).collect();
        change(&mut changed);
        std::fs::write(&ledger, changed.join("\n") + "\n").unwrap();
        let (one, other) = (verified(&bundle, &with), verified(&bundle, &alone));
        assert_eq!((&one["verified"], &one["record"]), (&false.into(), &other["record"]), "{one} {other}");
        one["record"].as_u64().unwrap() - first
    };
    assert_eq!(tampered(&|lines| lines.swap(7, 8)), 7);
    assert_eq!(tampered(&|lines| drop(lines.remove(7))), 7);
    assert_eq!(tampered(&|lines| lines.insert(7, lines[6].clone())), 7);
    assert_eq!(tampered(&|lines| lines[7] = lines[7].replace("schedule", "uid:0")), 7);
    assert_eq!(tampered(&|lines| lines.truncate(records - 60)), records as u64 - 60);
}

/// Nothing that a broken ledger says is evidence; nor is a period that is not over.
#[tokio::test]
async fn no_evidence_comes_from_a_broken_ledger() {
    let dir = scene().await;
    let db = rusqlite::Connection::open(dir.path().join("state").join(rekeyd::store::DATABASE)).unwrap();
    db.execute_batch("DROP TRIGGER ledger_is_not_changed; UPDATE ledger SET actor = 'uid:0' WHERE seq = 100").unwrap();
    let refused = export(dir.path(), &dir.path().join("bundle"));
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("record 100"), "{refused:?}");
    let left = std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert_eq!(left.filter(|name| name.contains("bundle") || name.contains("evidence")).count(), 0);
    let mut command = Command::new(env!("CARGO_BIN_EXE_rekeyd"));
    command.arg("--config").arg(dir.path().join("rekeyd.toml"));
    let refused = command.args(["audit", "export", "--from", "2025-01-01", "--to", "2099-12-31"]).output().unwrap();
    assert!(String::from_utf8_lossy(&refused.stderr).contains("not over"), "{refused:?}");
}

/// Appends to a ledger that stands, without a checkpoint.
async fn append(dir: &Path, entries: Vec<Entry>) {
    let store = Store::open(&dir.join("state"), [9; 32]).unwrap();
    store.record(entries).await.unwrap();
    store.close().await.unwrap();
}

fn told(on: f64, event: Event) -> Entry {
    Entry { at: day(on), actor: Actor::Daemon, event }
}

fn booted() -> Event {
    Event::DaemonStarted { version: "1".into(), pid: 1, host: "h".into() }
}

/// A period's bundle needs no checkpoint of later records, and those that were made show that records were cut off or
/// changed, before the end of the period or behind it.
#[tokio::test]
async fn a_cut_tail_gives_no_evidence() {
    let dir = scene().await;
    let later: Vec<Entry> = (0..9).map(|number| told(366.0 + f64::from(number), booted())).collect();
    let store = Store::open(&dir.path().join("state"), [9; 32]).unwrap();
    let key = CheckpointKey::of_state_dir(&dir.path().join("state"), [3; 32]).unwrap();
    let (file, on_failure) = (dir.path().join(CHECKPOINTS), OnCheckpointFailure::Warn);
    store.keep_checkpoints(Keeping { file, key, on_failure, begun: false }).await.unwrap();
    let whole = store.head().seq;
    store.record(later).await.unwrap();
    store.close().await.unwrap();
    exported(dir.path(), "whole");
    for (name, sql, says) in [
        ("changed", format!("UPDATE ledger SET actor = 'uid:0' WHERE seq = {}", whole + 1), "does not have the hash"),
        ("cut", format!("DELETE FROM ledger WHERE seq > {whole}"), "cut off"),
        ("cut-short", format!("DELETE FROM ledger WHERE seq > {}", whole - 60), "cut off"),
    ] {
        let db = rusqlite::Connection::open(dir.path().join("state").join(rekeyd::store::DATABASE)).unwrap();
        tamper(&db, &sql);
        let refused = export(dir.path(), &dir.path().join(name));
        let words = String::from_utf8_lossy(&refused.stderr);
        assert!(refused.status.code() == Some(1) && words.contains(says), "{name}: {refused:?}");
    }
}

/// Without its checkpoints a ledger does not show that its tail was cut: who exports is told.
#[tokio::test]
async fn a_missing_checkpoint_file_is_told() {
    let dir = scene().await;
    std::fs::remove_file(dir.path().join(CHECKPOINTS)).unwrap();
    let output = export(dir.path(), &dir.path().join("bundle"));
    let words = String::from_utf8_lossy(&output.stderr);
    let file = dir.path().join(CHECKPOINTS);
    assert!(output.status.success() && words.contains(file.to_str().unwrap()), "{output:?}");
    assert!(words.contains("cut off"), "{words}");
}

/// What comes after a period is not in its bundle: not by a boot whose clock stood years back, and no new checkpoint key.
#[tokio::test]
async fn a_closed_period_stays_closed() {
    let dir = scene().await;
    let before = std::fs::read(exported(dir.path(), "before.tar.gz")).unwrap();
    append(dir.path(), vec![told(370.0, booted())]).await;
    let boots = (0..20).map(|minute| told(-1800.0 + f64::from(minute) / 1440.0, booted()));
    append(dir.path(), boots.chain([told(371.0, booted())]).collect()).await;
    assert!(
        before == std::fs::read(exported(dir.path(), "boot.tar.gz")).unwrap(),
        "a clock that stood back changed it"
    );

    let elsewhere = tempfile::tempdir().unwrap();
    let other = Store::open(elsewhere.path(), [8; 32]).unwrap();
    let key = CheckpointKey::of_state_dir(elsewhere.path(), [5; 32]).unwrap();
    let key = other.verifier_of(&key).to_string();
    append(dir.path(), vec![told(372.0, Event::CheckpointKeySet { key })]).await;
    assert!(before == std::fs::read(exported(dir.path(), "key.tar.gz")).unwrap(), "a later key changed it");
}

/// A record dated by a clock that ran ahead, in the period or far beyond it, makes none of those after it pass for later than
/// it was: a target that was left out from day 31 on was left out from day 31 on.
#[tokio::test]
async fn a_clock_that_ran_ahead_hides_nothing() {
    for ahead in [100.0, 26_000.0] {
        let target = member("mail", "rs0");
        let dir = written(life(&target, -40.0, 30.0, 30.0)).await;
        let key = Event::KeyChanged {
            target: target.id(),
            change: KeyChange::Foreign,
            before: "mail-rs0-3".into(),
            after: "someone-elses".into(),
            last_seen: day(30.0),
            not_before: Some(day(30.0)),
            first_seen: day(30.0),
            suspect: None,
            looked_at: None,
        };
        let listing = Listing::Excluded { pattern: "mail".into() };
        let excluded = Event::TargetChanged { description: target, listing };
        append(dir.path(), vec![told(ahead, key), told(31.0, excluded), told(300.0, booted())]).await;
        let bundle = exported(dir.path(), "bundle");
        let coverage = &lines(&bundle, "coverage.jsonl")[0];
        assert_eq!((&coverage["left_out"], &coverage["within"]), (&(DAYS - 31).into(), &31.into()), "{ahead}");
        let report = std::fs::read_to_string(bundle.join("report.html")).unwrap();
        assert!(report.contains("run backwards"), "the report does not say that times run backwards");
    }
}

/// Which policy governed a target is the ledger's to say: a lax one that is configured later, and that the target is moved to,
/// makes nothing of an overrun from before.
#[tokio::test]
async fn a_later_policy_changes_nothing_of_what_was() {
    let mut entries = small();
    let governed = |id: &TargetId, policy: &str, days| Event::TargetGoverned {
        target: id.clone(),
        governance: Some(Governance { policy: policy.into(), alert_after: Period::days(days) }),
    };
    let (late, mail) = (member("late", "rs0").id(), member("mail", "shard-0").id());
    entries.push(told(-299.5, governed(&late, "default", 90)));
    entries.push(told(200.0, governed(&mail, "lax", 300)));
    let lax = Policy { alert_after: Period::days(300), ..Policy::with_defaults(PolicyName::from("lax")) };
    entries.push(told(-350.0, Event::PolicySet { policy: "lax".into(), words: lax.to_string() }));
    let dir = written(entries).await;
    let one = exported(dir.path(), "one");
    let row = |bundle: &Path, table: &str, part: &str| {
        lines(bundle, table).into_iter().find(|row| row["name"].as_str().unwrap().contains(part)).unwrap()
    };
    let coverage = row(&one, "coverage.jsonl", "/late/");
    assert_eq!((&coverage["overrun"], &coverage["policy"]), (&84.into(), &"default".into()), "{coverage}");
    let moved = row(&one, "population.jsonl", "/mail/shard-0");
    assert_eq!(moved["policy"], "lax");
    let history = moved["history"].as_array().unwrap();
    assert!(history[0].get("policy").is_none() && history.last().unwrap()["alert_after"] == "300d", "{moved}");

    append(dir.path(), vec![told(370.0, governed(&late, "lax", 300))]).await;
    let config = dir.path().join("rekeyd.toml");
    let text =
        std::fs::read_to_string(&config).unwrap().replace("name = \"emea\"", "name = \"emea\"\npolicy = \"lax\"");
    std::fs::write(&config, text + "[policy.lax]\nalert_after = \"300d\"\n").unwrap();
    let other = exported(dir.path(), "other");
    assert_eq!(row(&other, "coverage.jsonl", "/late/"), coverage, "the configuration of the day of export decides");
}

/// The report is readable by everyone and asks for nothing from elsewhere: one page of A4, two for a fleet in trouble. Pictures
/// of it are left in `target/pages`.
#[tokio::test]
async fn the_report_is_a_page_that_can_be_read_and_printed() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let shots = root.join("target/pages");
    std::fs::create_dir_all(&shots).unwrap();
    for (name, entries, room) in
        [("evidence", small(), 1), ("evidence-many", many(), 1), ("evidence-trouble", trouble(), 2)]
    {
        let dir = written(entries).await;
        let bundle = exported(dir.path(), "bundle");
        let url = format!("file://{}", bundle.join("report.html").display());
        let output = Command::new("node")
            .arg(root.join("tests/browser/look.cjs"))
            .arg(&shots)
            .arg(format!("{name}={url}"))
            .env("NODE_PATH", root.join("target/test-tools/browser/node_modules"))
            .output()
            .expect("node is missing: run tests/setup.sh (Debian: apt-get install nodejs npm)");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let pdf = shots.join(format!("{name}.pdf"));
        let profile = dir.path().join("chromium");
        let output = Command::new("chromium")
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--no-pdf-header-footer"])
            .arg(format!("--user-data-dir={}", profile.display()))
            .arg(format!("--print-to-pdf={}", pdf.display()))
            .arg(&url)
            .output()
            .expect("chromium is missing: run tests/setup.sh (Debian: apt-get install chromium)");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let pdf = std::fs::read(pdf).unwrap();
        let pages = String::from_utf8_lossy(&pdf).matches("/Type /Page\n").count();
        assert!((1..=room).contains(&pages), "{name} takes {pages} pages");
    }
}
