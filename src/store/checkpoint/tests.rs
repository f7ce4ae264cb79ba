//! The forms against their documents, and the keeper against files that are cut, foreign or away.

use super::*;
use crate::domain::OnCheckpointFailure;
use crate::ports::Head;

const ID: [u8; 32] = [7; 32];

fn head(seq: u64) -> Head {
    Head { seq, hash: [u8::try_from(seq).unwrap(); 32] }
}

/// A ledger that holds so many records.
fn ledger(records: u64) -> impl Fn(u64) -> rusqlite::Result<Option<[u8; 32]>> {
    move |seq| Ok((1..=records).contains(&seq).then(|| head(seq).hash))
}

fn keeper(dir: &std::path::Path) -> Keeper {
    let key = CheckpointKey::of_state_dir(dir, [9; 32]).unwrap();
    Keeper::new(&ID, Keeping { file: dir.join(CHECKPOINTS), key, on_failure: OnCheckpointFailure::Block, begun: false })
}

/// The key of the examples in Go's package `note`, whose form the specification took over.
#[test]
fn a_strangers_key_reads_back() {
    let key = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
    let parsed: VerifierKey = key.parse().unwrap();
    assert_eq!(parsed.to_string(), key);
    let wrong = "PeterNeumann+c74f20a4+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
    assert!(wrong.parse::<VerifierKey>().is_err());
}

/// What is written can be read and verified, and one changed letter cannot.
#[test]
fn a_checkpoint_verifies_by_the_key_that_signed_it_and_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let mut keeper = keeper(dir.path());
    keeper.keep(&head(3), ledger(3)).unwrap();
    keeper.keep(&head(5), ledger(5)).unwrap();
    let text = std::fs::read_to_string(dir.path().join(CHECKPOINTS)).unwrap();
    let (found, whole) = parse_checkpoints(text.as_bytes()).unwrap();
    assert_eq!((found.len(), whole), (2, text.len()));
    assert_eq!((&found[1].head, found[1].origin.as_str()), (&head(5), origin_of(&ID).as_str()));
    let key: VerifierKey = keeper.anchor().key.clone().unwrap().parse().unwrap();
    assert!(found.iter().all(|checkpoint| key.signed(checkpoint)));
    let mut forged = found[1].clone();
    forged.head.seq = 4;
    assert!(!key.signed(&forged));
    let other = CheckpointKey::of_state_dir(tempfile::tempdir().unwrap().path(), [8; 32]).unwrap();
    assert!(!other.verifier(&origin_of(&ID)).signed(&found[0]));
    assert!(text.contains(&found[0].to_note()));
}

#[test]
fn a_key_file_is_made_closed_and_an_open_one_refused() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let public = |dir| CheckpointKey::of_state_dir(dir, [1; 32]).map(|key| key.verifier("n").to_string());
    let first = public(dir.path()).unwrap();
    let path = dir.path().join(CHECKPOINT_KEY);
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let again = CheckpointKey::of_state_dir(dir.path(), [2; 32]).unwrap();
    assert_eq!(again.verifier("n").to_string(), first, "an old key is kept");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
    assert!(matches!(public(dir.path()), Err(KeyError::Open { .. })));
    assert!(matches!(CheckpointKey::from_pem("secret"), Err(KeyError::Malformed)));
}

/// The writing was cut off by a crash: the file is mended, and holds whole checkpoints only.
#[test]
fn a_torn_checkpoint_is_taken_away() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(CHECKPOINTS);
    keeper(dir.path()).keep(&head(3), ledger(3)).unwrap();
    let whole = std::fs::read_to_string(&path).unwrap();
    for cut in 1..whole.len() {
        std::fs::write(&path, [whole.as_bytes(), &whole.as_bytes()[..cut]].concat()).unwrap();
        keeper(dir.path()).keep(&head(4), ledger(4)).unwrap();
        let (found, _) = parse_checkpoints(&std::fs::read(&path).unwrap()).unwrap();
        let seqs: Vec<u64> = found.iter().map(|checkpoint| checkpoint.head.seq).collect();
        assert!(seqs == [3, 4] || seqs == [3, 3, 4], "cut at {cut}: {seqs:?}");
    }
}

/// Whoever cut the ledger and starts the daemon again is told, and no contradiction is signed.
#[test]
fn nothing_is_signed_that_contradicts_what_was_signed() {
    let dir = tempfile::tempdir().unwrap();
    keeper(dir.path()).keep(&head(5), ledger(5)).unwrap();
    let mut cut = keeper(dir.path());
    let why = cut.keep(&head(4), ledger(4)).unwrap_err();
    assert!(why.contains("record 5") && cut.blocks(), "{why}");
    let why = keeper(dir.path()).keep(&head(6), |_| Ok(Some([0; 32]))).unwrap_err();
    assert!(why.contains("rewritten"), "{why}");
    let key = CheckpointKey::of_state_dir(dir.path(), [9; 32]).unwrap();
    let on_failure = OnCheckpointFailure::Warn;
    let mut other =
        Keeper::new(&[8; 32], Keeping { file: dir.path().join(CHECKPOINTS), key, on_failure, begun: false });
    assert!(other.keep(&head(6), ledger(6)).unwrap_err().contains("another ledger") && !other.blocks());
}

/// Everything that is not a checkpoint is named by its line.
#[test]
fn other_texts_are_refused() {
    for (text, line) in [("a\n\nb\n", 1), ("o\n1\nx\n\n\u{2014} n AAAA\n", 1), ("\n\no\n1\n\nz\n", 3)] {
        let refusal = parse_checkpoints(text.as_bytes()).unwrap_err();
        assert!(matches!(refusal, CheckpointsError::Malformed { line: at } if at == line), "{text:?}: {refusal}");
    }
    assert_eq!(parse_checkpoints(b"").unwrap(), (vec![], 0));
}

/// Of a long file only the end is read: the newest checkpoint is held against the ledger, and half of one is taken away.
#[test]
fn the_end_of_a_long_file_is_enough() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join(CHECKPOINTS);
    let mut first = keeper(dir.path());
    (1..=250).for_each(|seq| first.keep(&head(seq), ledger(250)).unwrap());
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.len() > 65_536 + 512, "{}", text.len());
    let refused = keeper(dir.path()).keep(&head(251), ledger(200)).unwrap_err();
    assert!(refused.contains("is of record 250"), "{refused}");
    std::fs::write(&file, &text[..text.len() - 20]).unwrap();
    keeper(dir.path()).keep(&head(251), ledger(251)).unwrap();
    let (found, _) = parse_checkpoints(&std::fs::read(&file).unwrap()).unwrap();
    let seqs: Vec<u64> = found.iter().map(|one| one.head.seq).collect();
    assert_eq!(seqs, (1..=249).chain([251]).collect::<Vec<_>>());
}

/// A machine was copied with its checkpoint file's disk: both copies append to one file, and neither may sign past the other.
#[test]
fn what_another_signed_meanwhile_is_held_against_the_ledger() {
    let dir = tempfile::tempdir().unwrap();
    let mut one = keeper(dir.path());
    one.keep(&head(3), ledger(3)).unwrap();
    keeper(dir.path()).keep(&head(5), ledger(5)).unwrap();
    let why = one.keep(&head(4), ledger(4)).unwrap_err();
    assert!(why.contains("record 5") && one.blocks(), "{why}");
    one.keep(&head(6), ledger(6)).unwrap();
}

/// Whoever moves the file away gets a new one, whole, and the name of neither is lost.
#[test]
fn a_file_that_was_moved_away_is_begun_anew() {
    let dir = tempfile::tempdir().unwrap();
    let (file, moved) = (dir.path().join(CHECKPOINTS), dir.path().join("kept"));
    let mut keeper = keeper(dir.path());
    keeper.keep(&head(3), ledger(3)).unwrap();
    std::fs::rename(&file, &moved).unwrap();
    keeper.keep(&head(4), ledger(4)).unwrap();
    for (file, seq) in [(moved, 3), (file, 4)] {
        let (found, _) = parse_checkpoints(&std::fs::read(file).unwrap()).unwrap();
        assert_eq!(found.iter().map(|one| one.head.seq).collect::<Vec<_>>(), [seq]);
    }
}

/// Promise: nothing is taken away from a file but the beginning of a checkpoint of ours. Whoever may write beside the file could
/// have the signing key wiped by a link to it.
#[test]
fn what_others_wrote_is_left_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join(CHECKPOINTS);
    keeper(dir.path()).keep(&head(3), ledger(3)).unwrap();
    let ours = std::fs::read_to_string(&file).unwrap();
    let key = std::fs::read_to_string(dir.path().join(CHECKPOINT_KEY)).unwrap();
    for text in
        ["100 abab\n228 cdcd\n".to_owned(), key, format!("{ours}a line of somebody"), "rekeyd/ledger/00".to_owned()]
    {
        std::fs::write(&file, &text).unwrap();
        let why = keeper(dir.path()).keep(&head(4), ledger(4)).unwrap_err();
        assert!(why.contains("move it away"), "{why}");
        assert_eq!(std::fs::read_to_string(&file).unwrap(), text);
    }
}

/// A disk that fails is not told as a ledger that was rewritten.
#[test]
fn a_ledger_that_cannot_be_read_is_not_called_rewritten() {
    let dir = tempfile::tempdir().unwrap();
    keeper(dir.path()).keep(&head(3), ledger(3)).unwrap();
    let why = keeper(dir.path()).keep(&head(4), |_| Err(rusqlite::Error::InvalidQuery)).unwrap_err();
    assert!(why.contains("cannot be read") && !why.contains("rewritten"), "{why}");
}
