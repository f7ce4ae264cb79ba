//! Checkpoints as the daemon makes them: behind each outcome, at its end, and what happens when their file is away.

use rekeyd::domain::OnCheckpointFailure;
use rekeyd::ports::Journal;
use rekeyd::store::{CheckpointKey, Demands, Keeping, VerifyError, parse_checkpoints};

use super::*;

async fn keep(store: &Store, dir: &Path, file: &Path, on_failure: OnCheckpointFailure) {
    let key = CheckpointKey::of_state_dir(dir, [3; 32]).unwrap();
    let named = Event::CheckpointKeySet { key: store.verifier_of(&key).to_string() };
    store.record(vec![entry(0, named)]).await.unwrap();
    store.keep_checkpoints(Keeping { file: file.to_owned(), key, on_failure, begun: false }).await.unwrap();
}

fn seqs(file: &Path) -> Vec<u64> {
    let (found, _) = parse_checkpoints(&std::fs::read(file).unwrap()).unwrap();
    found.iter().map(|checkpoint| checkpoint.head.seq).collect()
}

/// Promise: an outcome that is acknowledged is anchored; what is no outcome waits for one, or for the end.
#[tokio::test]
async fn an_outcome_is_anchored_when_it_is_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("checkpoints");
    let store = Store::open(dir.path(), [9; 32]).unwrap();
    keep(&store, dir.path(), &file, OnCheckpointFailure::Warn).await;
    assert_eq!(seqs(&file), [1]);
    let mut events = one_rotation("rs0", 0);
    let done = events.split_off(6);
    store.record(events).await.unwrap();
    assert_eq!(seqs(&file), [1, 7], "the failed attempt is an outcome");
    store
        .record(vec![entry(9, Event::PolicySet { policy: "default".into(), words: "every 30d".into() })])
        .await
        .unwrap();
    assert_eq!(seqs(&file), [1, 7]);
    assert_eq!((store.anchor().written, store.head().seq), (7, 8));
    store.record(done).await.unwrap();
    assert_eq!(seqs(&file), [1, 7, 9]);
    store.record(vec![entry(10, Event::PolicySet { policy: "a".into(), words: "every 30d".into() })]).await.unwrap();
    store.close().await.unwrap();
    assert_eq!(seqs(&file), [1, 7, 9, 10]);
    let (checkpoints, _) = parse_checkpoints(&std::fs::read(&file).unwrap()).unwrap();
    let reader = Reader::open(dir.path()).unwrap();
    let demands = Demands { checkpoints, ..Demands::default() };
    let verified = reader.verify_against(&demands, |_, _| std::ops::ControlFlow::Continue(())).unwrap();
    assert_eq!((verified.checkpoints, verified.anchored), (4, Some(10)));
    let stopped = reader.verify_against(&demands, |_, _| std::ops::ControlFlow::Break(()));
    assert!(matches!(stopped, Err(VerifyError::BrokenOff)));
}

/// `block`: no checkpoint, no record, no PUT. What is recorded stays; when the disk is back, so is the daemon.
#[tokio::test]
async fn without_checkpoints_nothing_is_recorded_where_it_is_wanted_so() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("other-disk/checkpoints");
    let store = Store::open(dir.path(), [9; 32]).unwrap();
    keep(&store, dir.path(), &file, OnCheckpointFailure::Block).await;
    let refused = store.record(one_rotation("rs0", 0)).await.unwrap_err();
    assert!(matches!(&refused, JournalError::Io(why) if why.contains("other-disk")), "{refused}");
    assert_eq!((store.head().seq, store.anchor().wanted), (1, 1));
    assert!(store.anchor().failure.is_some());
    std::fs::create_dir(dir.path().join("other-disk")).unwrap();
    store.record(one_rotation("rs0", 0)).await.unwrap();
    assert_eq!((seqs(&file), store.anchor().failure), (vec![1, 8], None));
}

/// `warn`: the ledger goes on, and what could not be anchored is anchored as soon as it can, however quiet the day.
#[tokio::test]
async fn without_checkpoints_the_ledger_goes_on_by_default() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("other-disk/checkpoints");
    let store = Store::open(dir.path(), [9; 32]).unwrap();
    keep(&store, dir.path(), &file, OnCheckpointFailure::Warn).await;
    store.record(one_rotation("rs0", 0)).await.unwrap();
    let anchor = store.anchor();
    assert_eq!((anchor.wanted, anchor.written, anchor.failure.is_some()), (8, 0, true));
    std::fs::create_dir(dir.path().join("other-disk")).unwrap();
    store.record(vec![entry(9, Event::PolicySet { policy: "a".into(), words: "every 30d".into() })]).await.unwrap();
    assert_eq!((seqs(&file), store.anchor().written), (vec![9], 9));
}

/// Promise: what a command records while no daemon runs is anchored too; where it cannot be, the command says so.
#[tokio::test]
async fn an_order_that_is_recorded_by_hand_is_anchored() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let (state, file, config) =
        (dir.path().join("state"), dir.path().join("checkpoints"), dir.path().join("rekeyd.toml"));
    let path = dir.path().display();
    let text =
        format!("version = 1\nstate_dir = \"{path}/state\"\n[ledger]\ncheckpoint_file = \"{path}/checkpoints\"\n");
    std::fs::write(&config, text).unwrap();
    let store = Store::open(&state, [9; 32]).unwrap();
    for replica_set in ["rs0", "rs1"] {
        let (target, failure) = (id(replica_set), failure(Reason::RoleMissing));
        store.record(one_rotation(replica_set, 0)).await.unwrap();
        store.record(vec![entry(9, Event::TargetQuarantined { target, attempts: 1, failure })]).await.unwrap();
    }
    store.close().await.unwrap();
    drop(store);
    let rearm = |replica_set: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rekeyd"));
        command.arg("--config").arg(&config).args(["rearm", "--reason", "CHG-1"]).arg(format!("*/{replica_set}"));
        let output = command.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let head = || Reader::open(&state).unwrap().head().unwrap().seq;

    // Nobody signed before: the key is made, and named by the ledger.
    let said = rearm("rs0");
    assert_eq!(said.lines().count(), 1, "{said}");
    assert_eq!((head(), seqs(&file)), (18, vec![18]));
    let key = state.join(rekeyd::store::CHECKPOINT_KEY);
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
    let said = rearm("rs1");
    assert!(said.contains("no signed checkpoint covers this record") && said.contains("open to others"), "{said}");
    assert_eq!((head(), seqs(&file)), (19, vec![18]));
}

/// Whoever cuts the ledger's tail and empties the file leaves a ledger that holds; that nothing is signed any more shows.
#[tokio::test]
async fn checkpoints_that_are_gone_are_missed() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    let file = state.join("checkpoints");
    let store = Store::open(&state, [9; 32]).unwrap();
    keep(&store, &state, &file, OnCheckpointFailure::Warn).await;
    store.record(one_rotation("rs0", 0)).await.unwrap();
    store.close().await.unwrap();
    assert!(rekeyd(dir.path(), &["audit", "verify"]).status.success());
    for gone in [|file: &Path| std::fs::write(file, ""), |file: &Path| std::fs::remove_file(file)] {
        gone(&file).unwrap();
        let said = rekeyd(dir.path(), &["audit", "verify"]);
        let words = String::from_utf8(said.stdout).unwrap();
        assert_eq!((said.status.code(), words.contains("signed from record 1 on")), (Some(3), true), "{words}");
    }
}
