//! Two verifiers that share no code, `rekeyd audit verify` and `contrib/verify.py`, over the same ledgers, good and tampered.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rekeyd::domain::{AlertKind, AlertSubject, KeyChange, LedgerRow, OnCheckpointFailure, Refusal};
use rekeyd::store::chain::Record;
use rekeyd::store::{CHECKPOINT_KEY, CHECKPOINTS, CheckpointKey, DATABASE, Keeping};
use ring::signature::Ed25519KeyPair;
use rusqlite::Connection;
use serde_json::Value;

use super::*;

/// A folder with a configuration, a ledger of 19 records, and its checkpoints of records 1, 8, 15 and 19.
pub(super) struct Scene {
    dir: tempfile::TempDir,
}

/// The second rotation's new key, which the forger would like to be another.
const KEY: &str = "b";

pub(super) fn events(key: &str) -> Vec<Vec<Entry>> {
    let mut second = one_rotation("rs1", 100);
    if let Some(Entry { event: Event::RotationDone { key_after, .. }, .. }) = second.last_mut() {
        *key_after = key.into();
    }
    let id = id("rs1");
    let rest = vec![
        Event::PolicySet { policy: "default".into(), words: "every 30d".into() },
        Event::AlertRaised {
            alert: AlertKind::KeyTooOld,
            subject: AlertSubject::Target(id.clone()),
            words: "old".into(),
        },
        Event::TargetRefused { target: id.clone(), refusal: Refusal::NotEncrypted { code: "X".into() } },
        Event::KeyChanged {
            target: id,
            change: KeyChange::Foreign,
            before: key.into(),
            after: "d".into(),
            last_seen: at(150),
            not_before: Some(at(150)),
            first_seen: at(203),
            suspect: None,
            looked_at: None,
        },
    ];
    let rest = rest.into_iter().zip(200..).map(|(event, seconds)| entry(seconds, event)).collect();
    vec![one_rotation("rs0", 0), second, rest]
}

/// The seed of the key that signs the scene's checkpoints.
const SEED: [u8; 32] = [3; 32];

async fn tell(dir: &Path, ledger_id: [u8; 32], seed: [u8; 32], calls: Vec<Vec<Entry>>) {
    let state = dir.join("state");
    let store = Store::open(&state, ledger_id).unwrap();
    let key = CheckpointKey::of_state_dir(&state, seed).unwrap();
    let on_failure = OnCheckpointFailure::Warn;
    let named = Event::CheckpointKeySet { key: store.verifier_of(&key).to_string() };
    store.record(vec![entry(0, named)]).await.unwrap();
    store.keep_checkpoints(Keeping { file: dir.join(CHECKPOINTS), key, on_failure, begun: false }).await.unwrap();
    for call in calls {
        store.record(call).await.unwrap();
    }
    store.close().await.unwrap();
}

impl Scene {
    pub(super) async fn new() -> Self {
        let scene = Self { dir: tempfile::tempdir().unwrap() };
        tell(scene.dir.path(), [9; 32], SEED, events(KEY)).await;
        let path = scene.dir.path().display();
        let text = format!(
            "version = 1\nstate_dir = \"{path}/state\"\n[ledger]\ncheckpoint_file = \"{path}/{CHECKPOINTS}\"\n"
        );
        std::fs::write(scene.path("rekeyd.toml"), text).unwrap();
        scene
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(super) fn database(&self) -> PathBuf {
        self.path("state").join(DATABASE)
    }

    pub(super) fn tamper(&self, sql: &str) {
        tamper(&Connection::open(self.database()).unwrap(), sql);
    }

    /// A new ledger in the place of the old one, with a key and checkpoints of its own.
    pub(super) async fn replace(&self, ledger_id: [u8; 32], calls: Vec<Vec<Entry>>) {
        self.replace_by(SEED, ledger_id, calls).await;
    }

    pub(super) async fn replace_by(&self, seed: [u8; 32], ledger_id: [u8; 32], calls: Vec<Vec<Entry>>) {
        std::fs::remove_dir_all(self.path("state")).unwrap();
        std::fs::remove_file(self.path(CHECKPOINTS)).unwrap();
        tell(self.dir.path(), ledger_id, seed, calls).await;
    }

    /// A new key comes into use, with record 20; records 21 to 27 are a rotation.
    pub(super) async fn change_key(&self) {
        std::fs::remove_file(self.path("state").join(CHECKPOINT_KEY)).unwrap();
        tell(self.dir.path(), [9; 32], [5; 32], vec![one_rotation("rs2", 300)]).await;
    }

    /// The keys that the ledger names.
    pub(super) fn keys(&self) -> Vec<String> {
        let keys = Reader::open(&self.path("state")).unwrap().checkpoint_keys().unwrap();
        keys.iter().map(ToString::to_string).collect()
    }

    /// A checkpoint of this record by the scene's first key, as whoever has it can sign at any time.
    pub(super) fn signed_by_the_first_key(&self, seq: u64) -> String {
        let hash = Reader::open(&self.path("state")).unwrap().records(seq - 1, 1).unwrap()[0].hash;
        let key = self.keys().remove(0);
        let mut parts = key.splitn(3, '+');
        let (name, id) = (parts.next().unwrap(), u32::from_str_radix(parts.next().unwrap(), 16).unwrap());
        let text = format!("{name}\n{seq}\n{}\n", STANDARD.encode(hash));
        let signature = Ed25519KeyPair::from_seed_unchecked(&SEED).unwrap().sign(text.as_bytes());
        let signature = STANDARD.encode([&id.to_be_bytes(), signature.as_ref()].concat());
        format!("{text}\n\u{2014} {name} {signature}\n\n")
    }

    pub(super) fn rekeyd(&self, more: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rekeyd"));
        command.arg("--config").arg(self.path("rekeyd.toml")).args(["audit", "verify", "--json"]).args(more);
        command
    }

    pub(super) fn python(&self, interpreter: &str, more: &[&str]) -> Command {
        let mut command = python(interpreter, more);
        if !more.contains(&"--checkpoints") {
            command.arg("--checkpoints").arg(self.path(CHECKPOINTS));
        }
        command.arg(self.database());
        command
    }

    /// What both say. They must agree on the record.
    pub(super) fn both(&self, more: &[&str]) -> (Value, Value) {
        let (one, other) = (answer(self.rekeyd(more)), answer(self.python(VENV, more)));
        // On a machine where nobody installed anything, a forged signature is one all the same.
        assert_eq!(answer(self.python(ALONE, more)), other, "{more:?}");
        assert_eq!(one["verified"], other["verified"], "{more:?}\n{one}\n{other}");
        assert_eq!(one["record"], other["record"], "{more:?}\n{one}\n{other}");
        (one, other)
    }

    /// As `audit head` prints it.
    pub(super) fn head(&self, seq: u64) -> String {
        let sql = "SELECT seq || ' ' || lower(hex(hash)) FROM ledger WHERE seq = ?";
        Connection::open(self.database()).unwrap().query_row(sql, [seq], |row| row.get(0)).unwrap()
    }

    /// These records as a bundle has them.
    pub(super) fn slice(&self, name: &str, first: u64, last: u64) -> String {
        let reader = Reader::open(&self.path("state")).unwrap();
        let fleet = reader.fleet().unwrap();
        let records = reader.records(first - 1, u32::try_from(last + 1 - first).unwrap()).unwrap();
        let lines = records.into_iter().map(|record| {
            let known = fleet.targets.get(record.target.as_str());
            let Record { seq, at, kind, actor, target, rotation, payload, prev_hash, hash } = record;
            let name = known.map(|known| known.target.name());
            let row = LedgerRow { seq, at, kind, actor, target, name, rotation, payload, prev_hash, hash };
            row.to_json().to_string() + "\n"
        });
        self.write(name, &lines.collect::<String>())
    }

    /// One record more, chained as it should be, whatever it says.
    fn append(&self, kind: &str, actor: &str, target: &str, payload: &str) {
        let last = Reader::open(&self.path("state")).unwrap().newest(1).unwrap().remove(0);
        let [kind, actor, target, payload] = [kind, actor, target, payload].map(str::to_owned);
        let (seq, prev_hash) = (last.seq + 1, last.hash);
        let mut record = Record { seq, kind, actor, target, rotation: String::new(), payload, prev_hash, ..last };
        record.hash = record.expected_hash();
        let Record { at, kind, actor, target, payload, prev_hash, hash, .. } = record;
        let db = Connection::open(self.database()).unwrap();
        let row = rusqlite::params![seq, at.as_microsecond(), kind, actor, target, payload, prev_hash, hash];
        db.execute("INSERT INTO ledger VALUES (?, ?, ?, ?, ?, '', ?, ?, ?)", row).unwrap();
    }

    pub(super) fn write(&self, name: &str, text: &str) -> String {
        std::fs::write(self.path(name), text).unwrap();
        self.path(name).display().to_string()
    }

    pub(super) fn keep(&self, name: &str, keep: impl Fn(usize) -> bool) -> String {
        let text = std::fs::read_to_string(self.path(CHECKPOINTS)).unwrap();
        let (all, _) = rekeyd::store::parse_checkpoints(text.as_bytes()).unwrap();
        let kept = all.iter().enumerate().filter(|(place, _)| keep(*place)).map(|(_, one)| one.to_note() + "\n");
        self.write(name, &kept.collect::<String>())
    }
}

/// Python with the package `cryptography`.
pub(super) const VENV: &str = "target/test-tools/venv/bin/python";
/// Without what others installed: the standard library alone.
pub(super) const ALONE: &str = "/usr/bin/env";

pub(super) fn python(interpreter: &str, more: &[&str]) -> Command {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut command = Command::new(root.join(interpreter));
    if interpreter == ALONE {
        command.args(["python3", "-I", "-S"]);
    }
    command.arg(root.join("contrib/verify.py")).arg("--json").args(more);
    command
}

/// Why a verifier gives no answer.
pub(super) fn refusal(mut command: Command) -> String {
    let output = command.stdin(Stdio::null()).output().expect("it starts; tests/setup.sh installs what is missing");
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(1), &b""[..]), "{output:?}");
    String::from_utf8(output.stderr).unwrap()
}

pub(super) fn answer(mut command: Command) -> Value {
    let output = command.stdin(Stdio::null()).output().expect("it starts; tests/setup.sh installs what is missing");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let value: Value = serde_json::from_str(&said)
        .unwrap_or_else(|error| panic!("{error}: {said}\n{}", String::from_utf8_lossy(&output.stderr)));
    let expected = match (&value["verified"], value["unread"].as_u64()) {
        (Value::Bool(true), None | Some(0)) => 0,
        (Value::Bool(true), Some(_)) => 3,
        _ => 1,
    };
    assert_eq!(output.status.code(), Some(expected), "{said}");
    value
}

#[tokio::test]
async fn both_verify_a_good_ledger() {
    let scene = Scene::new().await;
    let (one, other) = scene.both(&[]);
    assert_eq!((&one["verified"], &one["records"]), (&true.into(), &19.into()), "{one} {other}");
    assert_eq!((&one["head"], &one["checkpoints"], &one["tables"]), (&other["head"], &4.into(), &true.into()));
    assert_eq!((&other["checkpoints"], &other["signatures"]), (&4.into(), &"good".into()));
    assert_eq!(one["anchored"], 19);
    // A head as `audit head` prints it, from the middle and from the end.
    std::fs::write(scene.path("kept"), format!("{}\n{}\n", scene.head(5), scene.head(19))).unwrap();
    assert_eq!(scene.both(&["--against", scene.path("kept").to_str().unwrap()]).0["verified"], true);
    let since = answer(scene.rekeyd(&["--since", "2026-05-01T06:01:40Z"]));
    assert_eq!((&since["records"], &since["tables"]), (&11.into(), &false.into()), "{since}");
}

/// A clock that ran ahead has dated a rotation, and at another target a change by somebody else as well.
#[tokio::test]
async fn both_verify_keys_that_were_dated_anew() {
    let scene = Scene::new().await;
    let redated = |target| Event::KeyRedated { target, not_before: Some(at(500)), first_seen: at(500) };
    let foreign = Event::KeyChanged {
        target: id("rs1"),
        change: KeyChange::Foreign,
        before: "b".into(),
        after: "d".into(),
        last_seen: at(1106),
        not_before: Some(at(1106)),
        first_seen: at(1200),
        suspect: None,
        looked_at: None,
    };
    let anew = vec![entry(1200, foreign), entry(500, redated(id("rs0"))), entry(500, redated(id("rs1")))];
    scene.replace([8; 32], vec![one_rotation("rs0", 1000), one_rotation("rs1", 1100), anew]).await;
    let (one, other) = scene.both(&[]);
    assert_eq!((&one["verified"], &one["tables"]), (&true.into(), &true.into()), "{one} {other}");
    let fleet = rekeyd::store::Reader::open(&scene.path("state")).unwrap().fleet().unwrap();
    let rotated = ["rs0", "rs1"].map(|replica_set| fleet.targets[&id(replica_set)].last_rotation_at.unwrap());
    assert_eq!(rotated, [at(500), at(500) - SignedDuration::from_micros(1)], "with the key, or before it");
}

#[tokio::test]
async fn both_name_the_first_record_that_was_tampered_with() {
    for (what, sql, record) in [
        ("a field", "UPDATE ledger SET actor = 'nobody' WHERE seq = 5", 5),
        ("a letter", "UPDATE ledger SET payload = replace(payload, 'timed_out', 'timed_ouT') WHERE seq = 7", 7),
        ("the order", "UPDATE ledger SET seq = -seq WHERE seq IN (5, 6); UPDATE ledger SET seq = 11 + seq WHERE seq < 0", 5),
        (
            "one more",
            "UPDATE ledger SET seq = -seq WHERE seq > 5; UPDATE ledger SET seq = 1 - seq WHERE seq < 0;
             INSERT INTO ledger SELECT 6, at, kind, actor, target, rotation, payload, hash, zeroblob(32) FROM ledger WHERE seq = 5",
            6,
        ),
        ("one less", "DELETE FROM ledger WHERE seq = 5", 5),
        ("a row: when a rotation ended", "UPDATE rotation SET ended_at = ended_at - 1 WHERE target LIKE '%rs0' AND attempt = 2", 8),
        ("a row: an attempt that failed is gone", "DELETE FROM rotation WHERE target LIKE '%rs0' AND attempt = 1", 4),
        ("a row: when a key came", "UPDATE key SET not_before = not_before + 1 WHERE target LIKE '%rs0' AND id = 'b'", 8),
        ("a row: a key that never was", "INSERT INTO key (target, came_seq, id, first_seen, last_seen, replaced_at, how, seq)
             VALUES ('emea/5f/id-rs0', 2, 'z', 1, 1, 1, 'first_seen', 2)", 2),
        ("a row: a target's key", "UPDATE target SET key_id = 'x' WHERE id LIKE '%rs1'", 19),
        ("a row: a policy", "UPDATE policy SET words = 'every 365d'", 16),
    ] {
        let scene = Scene::new().await;
        scene.tamper(sql);
        let (one, other) = scene.both(&[]);
        assert_eq!(one["record"], record, "{what}: {one} {other}");
    }
    // A record that is whole in itself, and follows on another one than the one that stands before it.
    let scene = Scene::new().await;
    let mut record = Reader::open(&scene.path("state")).unwrap().records(9, 1).unwrap().remove(0);
    record.prev_hash = [0; 32];
    let hash: String = record.expected_hash().iter().map(|byte| format!("{byte:02x}")).collect();
    scene.tamper(&format!("UPDATE ledger SET prev_hash = zeroblob(32), hash = x'{hash}' WHERE seq = 10"));
    assert_eq!(scene.both(&[]).0["record"], 10);
}

/// What a chain alone cannot show, a checkpoint or a head that was kept elsewhere does.
#[tokio::test]
async fn both_name_a_cut_tail_and_a_new_chain_by_what_was_kept() {
    let scene = Scene::new().await;
    let kept = scene.keep("kept", |_| true);
    let early = scene.keep("early", |place| place < 3);
    // The tail alone, its tables still there.
    scene.tamper("DELETE FROM ledger WHERE seq > 12");
    assert_eq!(scene.both(&[]).0["record"], 13);

    // Ledger, tables, checkpoints: all as if the second target had never been.
    scene.replace([9; 32], events(KEY)[..1].to_vec()).await;
    assert_eq!(scene.both(&[]).0["verified"], true, "the limit that SECURITY.md admits");
    for kept in [&kept, &early] {
        let (one, _) = scene.both(&["--against", kept]);
        assert_eq!(one["record"], 9, "{one}");
        assert!(one["why"].as_str().unwrap().contains("tail was cut off"), "{one}");
    }

    // All of it written anew from genesis, with another key in it, and signed.
    scene.replace([9; 32], events("c")).await;
    assert_eq!(scene.both(&[]).0["verified"], true);
    let (one, _) = scene.both(&["--against", &kept]);
    assert_eq!(one["record"], 15, "{one}");
    assert!(one["why"].as_str().unwrap().contains("from record 9 on"), "{one}");

    // Everything deleted, and begun anew; with the old identity, and with a new one.
    scene.replace([9; 32], vec![]).await;
    assert_eq!(scene.both(&["--against", &kept]).0["record"], 2);
    scene.replace([8; 32], vec![]).await;
    let (one, other) = scene.both(&["--against", &kept]);
    for said in [one, other] {
        assert_eq!(said["record"], 1, "{said}");
        assert!(said["why"].as_str().unwrap().contains("another ledger"), "{said}");
    }
}

/// Whoever can write the checkpoint file and has no key: a checkpoint of his own making is told apart.
#[tokio::test]
async fn both_name_a_checkpoint_that_nobody_of_us_signed() {
    let scene = Scene::new().await;
    let text = std::fs::read_to_string(scene.path(CHECKPOINTS)).unwrap();
    let (all, _) = rekeyd::store::parse_checkpoints(text.as_bytes()).unwrap();
    let signature = |place: usize| all[place].to_note().trim_end().rsplit(' ').next().unwrap().to_owned();
    std::fs::write(scene.path(CHECKPOINTS), text.replace(&signature(1), &signature(2))).unwrap();
    assert_eq!(scene.both(&[]).0["record"], 8);
}

/// A key's dates, of a target of which nothing else is told.
const REDATED: &str = r#"{"target":"emea/5f/none","not_before":null,"first_seen":"2026-05-01T06:00:00Z"}"#;

/// A record that is chained as it should be, and impossible, or cannot be read as the table has it, is named by both.
#[tokio::test]
async fn both_name_a_record_that_none_can_be() {
    let alert = format!(r#"{{"alert":"key_too_old","subject":{{"target":"{}"}}}}"#, id("rs1"));
    for (what, kind, target, payload) in [
        ("about another target", "alert_cleared", "emea/5f/id-rs0", alert.as_str()),
        ("of a target that is not known", "key_redated", "emea/5f/none", REDATED),
    ] {
        let scene = Scene::new().await;
        scene.append(kind, "daemon", target, payload);
        let (one, other) = scene.both(&[]);
        assert_eq!(one["record"], 20, "{what}: {one} {other}");
    }
    let hidden = "DROP INDEX ledger_by_time; CREATE INDEX ledger_by_time ON ledger (at) WHERE seq <> 4;
         PRAGMA writable_schema = ON;
         UPDATE sqlite_schema SET sql = 'CREATE INDEX ledger_by_time ON ledger (at)' WHERE name = 'ledger_by_time'";
    let copy = |seq: i64| {
        format!(
            "INSERT INTO ledger SELECT {seq}, at, kind, actor, target, rotation, payload, prev_hash, hash FROM ledger
             WHERE seq = 1"
        )
    };
    for (why, sql, record) in [
        ("cannot be read", "UPDATE ledger SET at = 9223372036854775807 WHERE seq = 3", 3),
        ("cannot be read", "UPDATE ledger SET actor = CAST(x'ff' AS TEXT) WHERE seq = 3", 3),
        ("number 0 stands before the first", &copy(0), 0),
        ("number -7 stands before the first", &copy(-7), 0),
        ("", hidden, 19),
    ] {
        let scene = Scene::new().await;
        scene.tamper(sql);
        let (one, other) = scene.both(&[]);
        for said in [one, other] {
            assert!(said["record"] == record && said["why"].as_str().unwrap().contains(why), "{why}: {said}");
        }
    }
}

/// With a record of which nobody knows what it says the tables cannot be compared. That is no success: a forger would add one.
#[tokio::test]
async fn both_tell_by_their_exit_that_the_tables_were_not_compared() {
    for (what, kind, actor, payload) in [
        ("a later kind", "key_blessed", "daemon", "{}"),
        ("fields are missing", "policy_set", "daemon", "{}"),
        ("no object", "daemon_stopped", "daemon", "[]"),
        ("nobody", "daemon_stopped", "nobody", r#"{"parked":0}"#),
        ("a user without a number", "daemon_stopped", "uid:x", r#"{"parked":0}"#),
        ("a user beyond all numbers", "daemon_stopped", "uid:4294967296", r#"{"parked":0}"#),
        ("another type", "daemon_stopped", "daemon", r#"{"parked":"x"}"#),
        ("two values by one name", "daemon_stopped", "daemon", r#"{"parked":1,"parked":2}"#),
        ("a key that is a number", "checkpoint_key_set", "daemon", r#"{"key":5}"#),
    ] {
        let scene = Scene::new().await;
        scene.append(kind, actor, "", payload);
        // What follows on it may be possible by it.
        scene.append("key_redated", "daemon", "emea/5f/none", REDATED);
        scene.tamper("UPDATE rotation SET actor = 'nobody'");
        let (one, other) = scene.both(&[]);
        for said in [&one, &other] {
            assert_eq!((&said["verified"], &said["unread"]), (&true.into(), &1.into()), "{what}: {said}");
            assert_eq!(said["first_unread"], 20, "{what}: {said}");
        }
        assert_eq!((&one["tables"], &other["tables"]), (&false.into(), &serde_json::json!([])), "{what}");
    }
}

/// Nobody could verify what a key signs that is none.
#[tokio::test]
async fn both_name_a_record_whose_key_is_none() {
    let scene = Scene::new().await;
    scene.append("checkpoint_key_set", "daemon", "", r#"{"key":"nonsense"}"#);
    let (one, other) = scene.both(&[]);
    for said in [one, other] {
        assert_eq!((&said["verified"], &said["record"]), (&false.into(), &20.into()), "{said}");
    }
}

/// A checkpoint may have several lines by one key, as when somebody added one of his own: it is signed if one of them is good.
#[tokio::test]
async fn both_take_a_checkpoint_that_one_line_signs() {
    let scene = Scene::new().await;
    let text = std::fs::read_to_string(scene.path(CHECKPOINTS)).unwrap();
    let (all, _) = rekeyd::store::parse_checkpoints(text.as_bytes()).unwrap();
    let line = |place: usize| all[place].to_note().lines().last().unwrap().to_owned();
    for lines in [[line(0), line(3)], [line(3), line(0)]] {
        let two = text.replace(&line(3), &lines.join("\n"));
        assert_ne!(two, text);
        std::fs::write(scene.path(CHECKPOINTS), two).unwrap();
        let (one, other) = scene.both(&[]);
        assert_eq!((&one["verified"], &other["signatures"]), (&true.into(), &"good".into()), "{one} {other}");
    }
}

/// A reader that stays at one moment keeps a working daemon's log from beginning anew: the second verifier walks in pages.
#[tokio::test]
async fn the_second_verifier_holds_up_no_daemon() {
    let scene = Scene::new().await;
    let script = "import sqlite3, sys
sys.path.insert(0, 'contrib')
import verify
verify.PAGE = 5
reader, writer = (sqlite3.connect(sys.argv[1], isolation_level=None, timeout=0) for _ in range(2))
records, said = verify.records_of(reader), []
for record in records:
    writer.execute('UPDATE target SET key_last_seen = key_last_seen + 1')
    said.append(writer.execute('PRAGMA wal_checkpoint(TRUNCATE)').fetchone()[0])
print(len(said), sum(said), reader.in_transaction)";
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut python = Command::new("python3");
    let output = python.current_dir(root).args(["-B", "-c", script]).arg(scene.database()).output().unwrap();
    let words = String::from_utf8_lossy(&output.stdout);
    assert_eq!(words.trim(), "19 0 True", "records, refusals, at one moment in the end: {output:?}");
}

/// What people read of a slice and no hash has says what was hashed; a line that cannot be read is named.
#[tokio::test]
async fn a_slice_says_to_people_what_was_hashed() {
    let scene = Scene::new().await;
    let slice = std::fs::read_to_string(scene.slice("slice", 2, 19)).unwrap();
    let with = |place: usize, from: &str, to: &str| {
        let mut lines: Vec<String> = slice.lines().map(str::to_owned).collect();
        assert!(lines[place].contains(from), "{}", lines[place]);
        lines[place] = lines[place].replace(from, to);
        let changed = scene.write("ledger.jsonl", &(lines.join("\n") + "\n"));
        answer(python(ALONE, &[&changed]))
    };
    assert_eq!(with(3, "seq", "seq")["verified"], true);
    let at = "\"at\":\"2026-";
    assert_eq!(with(3, at, "\"at\":\"1999-")["record"], 5);
    let name = "\"name\":\"emea/billing/ledger/rs0\"";
    for (place, to) in [(0, "\"name\":\"forged/name\""), (3, "\"name\":\"forged/name\""), (3, "\"name\":null")] {
        // Of two names the one is wrong that the description, in the slice's first line, does not tell.
        let said = with(place, name, to);
        assert_eq!(
            (&said["verified"], &said["record"]),
            (&false.into(), &(if place == 0 { 3 } else { 5 }).into()),
            "{said}"
        );
    }
    let forged = scene.write("ledger.jsonl", &slice.replace(name, "\"name\":\"forged/name\""));
    assert_eq!(answer(python(ALONE, &[&forged]))["record"], 2, "all say the same, and the description another");
    for (from, to) in [
        ("\"at\"", "\"then\""),
        ("\"kind\"", "\"sort\""),
        ("\"seq\":5", "\"seq\":\"5\""),
        ("{\"", "["),
        // Of two the first is what a person reads.
        ("{\"", "{\"kind\":\"rotation_done\",\""),
        ("{\"", "{\"note\":\"approved by J. Doe\",\""),
    ] {
        assert_eq!(with(3, from, to)["record"], 5, "{to}");
    }
    scene.append("daemon_stopped", "daemon", "", r#"{"parked":1,"parked":2}"#);
    let said = answer(python(ALONE, &[&scene.slice("twice", 2, 20)]));
    assert!(said["record"] == 20 && said["why"].as_str().unwrap().contains("twice"), "{said}");
}

/// A view in the place of a table, or a column that is computed, can tell one reader this and another one that: neither is read.
#[tokio::test]
async fn the_second_verifier_reads_what_is_stored() {
    for (sql, why) in [
        (
            "ALTER TABLE ledger RENAME TO true_ledger;
             CREATE VIEW ledger AS SELECT seq, at, kind, CASE WHEN sqlite_version() = '' THEN 'uid:0' ELSE actor END AS actor,
                 target, rotation, payload, prev_hash, hash FROM true_ledger",
            "ledger is no table",
        ),
        ("CREATE VIEW beside AS SELECT 1", "beside is no table"),
        ("CREATE TRIGGER deaf BEFORE INSERT ON ledger BEGIN SELECT RAISE(IGNORE); END", "whose triggers are not"),
        ("CREATE VIRTUAL TABLE beside USING fts5(words)", "beside is no table"),
        (
            "ALTER TABLE policy RENAME COLUMN words TO stored;
             ALTER TABLE policy ADD COLUMN words TEXT AS (stored) VIRTUAL",
            "column words of table policy is computed",
        ),
    ] {
        let scene = Scene::new().await;
        let db = Connection::open(scene.database()).unwrap();
        db.execute_batch(&format!("PRAGMA legacy_alter_table = ON; {sql}")).unwrap();
        let said = answer(scene.python(ALONE, &[]));
        assert!(said["verified"] == false && said["why"].as_str().unwrap().contains(why), "{why}: {said}");
    }
}

/// Signs in a path that mean something in a URI name the file that they name, and no other beside it.
#[tokio::test]
async fn the_second_verifier_reads_the_file_that_it_is_given() {
    let scene = Scene::new().await;
    std::fs::copy(scene.database(), scene.path("rekeyd.db")).unwrap();
    scene.tamper("UPDATE ledger SET actor = 'uid:0' WHERE seq = 5");
    for name in ["rekeyd.db?2025", "rekeyd.db#1", "rekeyd%2edb"] {
        std::fs::copy(scene.database(), scene.path(name)).unwrap();
        let said = answer(python(ALONE, &[scene.path(name).to_str().unwrap()]));
        assert_eq!((&said["verified"], &said["record"]), (&false.into(), &5.into()), "{name}: {said}");
    }
}

/// No records are no proof that there were none: whoever emptied a slice and its checkpoints has no key to vouch for that.
#[tokio::test]
async fn an_empty_slice_is_vouched_for_by_nobody() {
    let scene = Scene::new().await;
    let (empty, key) = (scene.write("ledger.jsonl", ""), scene.keys().remove(0));
    let said = answer(python(ALONE, &[&empty, "--checkpoints", &empty, "--key", &key]));
    assert!(said["verified"] == false && said["why"].as_str().unwrap().contains("no record"), "{said}");
    // Without a key nothing is claimed, and how far it reaches is told.
    assert_eq!(answer(python(ALONE, &[&empty]))["first_at"], Value::Null);
    let said = answer(python(ALONE, &[&scene.slice("slice", 2, 19)]));
    let (first, last) = ("2026-05-01T06:00:00Z", "2026-05-01T06:03:23Z");
    assert_eq!((&said["first_at"], &said["last_at"]), (&first.into(), &last.into()));
    let (one, other) = scene.both(&[]);
    assert_eq!((&one["first_at"], &one["last_at"]), (&other["first_at"], &other["last_at"]));
}

/// A kind that the second verifier does not know keeps it from comparing the tables. It knows all that there are, and what each
/// must have.
#[test]
fn the_second_verifier_knows_every_kind() {
    let unknown = Event::from_record("no_such_kind", "{}").unwrap_err();
    let listed = std::error::Error::source(&unknown).expect("the reason is kept").to_string();
    let (_, kinds) = listed.split_once("expected one of ").expect("it lists what is known");
    let kinds: BTreeSet<&str> =
        kinds.split('`').filter(|part| !part.contains([',', ' '])).filter(|part| !part.is_empty()).collect();
    assert!(kinds.len() > 40, "{kinds:?}");
    let script = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("contrib/verify.py")).unwrap();
    let (_, rest) = script.split_once("FIELDS = \"\"\"\n").expect("the script has a table of kinds");
    let table = rest.split_once("\"\"\"").expect("the table ends").0;
    let mut known = BTreeSet::new();
    for line in table.lines() {
        let (kind, fields) = line.split_once(' ').expect("every kind has a field");
        known.insert(kind);
        let missing = Event::from_record(kind, "{}").unwrap_err();
        let missing = std::error::Error::source(&missing).expect("the reason is kept").to_string();
        let first = fields.split([' ', ':', '?']).next().unwrap_or_default();
        assert!(missing.starts_with(&format!("missing field `{first}` ")), "{kind}: {missing}");
    }
    assert_eq!(known, kinds);
}
