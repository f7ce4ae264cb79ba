//! Two verifiers that share no code, `rekeyd audit verify` and `contrib/verify.py`, over the same ledgers, good and tampered.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rekeyd::domain::{AlertKind, AlertSubject, KeyChange, OnCheckpointFailure, Refusal};
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
    store.keep_checkpoints(Keeping { file: dir.join(CHECKPOINTS), key, on_failure }).await.unwrap();
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

    pub(super) fn python(&self, more: &[&str]) -> Command {
        let mut command = python(VENV, more);
        if !more.contains(&"--checkpoints") {
            command.arg("--checkpoints").arg(self.path(CHECKPOINTS));
        }
        command.arg(self.database());
        command
    }

    /// What both say. They must agree on the record.
    pub(super) fn both(&self, more: &[&str]) -> (Value, Value) {
        let (one, other) = (answer(self.rekeyd(more)), answer(self.python(more)));
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
        let sql = "SELECT json_object('seq', seq, 'at_us', at, 'kind', kind, 'actor', actor, 'target', target,
                 'rotation', rotation, 'payload', payload, 'prev_hash', lower(hex(prev_hash)), 'hash', lower(hex(hash)))
             FROM ledger WHERE seq BETWEEN ? AND ? ORDER BY seq";
        let db = Connection::open(self.database()).unwrap();
        let mut rows = db.prepare(sql).unwrap();
        let rows = rows.query_map([first, last], |row| row.get::<_, String>(0)).unwrap();
        self.write(name, &rows.map(|row| row.unwrap() + "\n").collect::<String>())
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
    assert_eq!(output.status.code(), Some(i32::from(value["verified"] != true)), "{said}");
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
    let (database, checkpoints) = (scene.database(), scene.path(CHECKPOINTS));
    let more = [database.to_str().unwrap(), "--checkpoints", checkpoints.to_str().unwrap()];
    let alone = answer(python(ALONE, &more));
    assert!(alone["signatures"].as_str().unwrap().starts_with("unchecked"), "{alone}");
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

/// A kind that the second verifier does not know keeps it from comparing the tables. It knows all that there are.
#[test]
fn the_second_verifier_knows_every_kind() {
    let unknown = Event::from_record("no_such_kind", "{}").unwrap_err();
    let listed = std::error::Error::source(&unknown).expect("the reason is kept").to_string();
    let (_, kinds) = listed.split_once("expected one of ").expect("it lists what is known");
    let kinds: Vec<&str> =
        kinds.split('`').filter(|part| !part.contains([',', ' '])).filter(|part| !part.is_empty()).collect();
    assert!(kinds.len() > 40, "{kinds:?}");
    let script = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("contrib/verify.py")).unwrap();
    let missing: Vec<&&str> = kinds.iter().filter(|kind| !script.contains(&format!("\"{kind}\""))).collect();
    assert_eq!(missing, [&""; 0]);
}
