//! What an auditor kept, held against ledgers and slices by two verifiers: heads, checkpoints and keys.

use rekeyd::store::CHECKPOINTS;

use super::verifiers::{Scene, VENV, answer, events, python, refusal};

/// What came of a failed copy, or of a hand that took too little, is not held against anything: both say so, and verify
/// nothing.
#[tokio::test]
async fn neither_takes_nothing_for_something() {
    let scene = Scene::new().await;
    let one = scene.keep("one", |place| place == 3);
    let text = std::fs::read_to_string(&one).unwrap();
    let (empty, half) = (scene.write("empty", "\n"), scene.write("half", &text[..text.len() - 20]));
    let all = std::fs::read_to_string(scene.path(CHECKPOINTS)).unwrap();
    let half_of_two = scene.write("two", &all[..all.len() - 20]);
    let short = scene.write("short", &scene.head(19)[..60]);
    for kept in ["-", &empty, &half, &half_of_two, &short] {
        let (one, other) =
            (refusal(scene.rekeyd(&["--against", kept])), refusal(scene.python(VENV, &["--against", kept])));
        assert!(one.contains("hold") && other.contains("cannot verify"), "{kept}: {one} {other}");
    }
    // Nor is a variable that is empty.
    for option in ["--against", "--checkpoints", "--key", "--keys"] {
        assert_eq!(scene.rekeyd(&[option, ""]).output().unwrap().status.code(), Some(2), "{option}");
        assert!(refusal(scene.python(VENV, &[option, ""])).contains("cannot verify"), "{option}");
    }
    // All is there but the end of the last line: it counts, and one of another chain is told.
    let whole = scene.write("whole", text.trim_end());
    assert_eq!(scene.both(&["--against", &whole]).0["verified"], true);
    let several = scene.write("several", all.trim_end());
    let beginning = scene.write("beginning", &format!("0 {}", "09".repeat(32)));
    assert_eq!(scene.both(&["--against", &beginning]).0["verified"], true);
    scene.replace([9; 32], events("c")).await;
    for kept in [&whole, &several] {
        let wanted = if kept == &whole { 19 } else { 15 };
        assert_eq!(scene.both(&["--against", kept]).0["record"], wanted);
    }
    scene.replace([8; 32], events("c")).await;
    assert_eq!(scene.both(&["--against", &beginning]).0["record"], 1);
}

/// A crash may leave half a checkpoint at the end of the daemon's own file: wherever it was cut, both pass over it and say so.
#[tokio::test]
async fn both_pass_over_a_checkpoint_that_was_cut_off() {
    let scene = Scene::new().await;
    let whole = std::fs::read(scene.path(CHECKPOINTS)).unwrap();
    let dash = whole.iter().rposition(|byte| *byte == 0xe2).unwrap();
    for end in [whole.len() - 2, whole.len() - 20, dash + 1, dash, dash - 30] {
        std::fs::write(scene.path(CHECKPOINTS), &whole[..end]).unwrap();
        let (one, other) = scene.both(&[]);
        assert_eq!((&one["checkpoints"], &other["checkpoints"]), (&3.into(), &3.into()), "{end}: {one} {other}");
        assert_eq!((&one["cut_off"], &other["cut_off"]), (&true.into(), &true.into()), "{end}: {one} {other}");
    }
}

/// What was kept of other records than a slice's says nothing against it, and is not taken for checked; the head right before
/// it is held.
#[tokio::test]
async fn a_slice_is_held_against_what_was_kept_of_it_alone() {
    let scene = Scene::new().await;
    let (slice, own) = (scene.slice("ledger.jsonl", 9, 16), scene.keep("own", |place| place == 2));
    let kept = scene.keep("kept", |_| true);
    let heads = scene.write("heads", &format!("{}\n{}\n{}", scene.head(8), scene.head(7), scene.head(17)));
    let key = scene.keys().remove(0);
    let with = |kept: &str| answer(python(VENV, &[&slice, "--checkpoints", &own, "--against", kept, "--key", &key]));
    let said = with(&kept);
    assert_eq!((&said["verified"], &said["outside"]), (&true.into(), &serde_json::json!([1, 19])), "{said}");
    assert_eq!((&said["checkpoints"], &said["signatures"]), (&3.into(), &"good".into()), "{said}");
    assert_eq!(with(&heads)["outside"], serde_json::json!([7, 17]));
    let forged = scene.write("forged", &format!("8 {}", "00".repeat(32)));
    assert_eq!(with(&forged)["record"], 9);
    // The bundle's own checkpoints are of its records: cut off at either end, it shows.
    let all = answer(python(VENV, &[&slice, "--checkpoints", &kept, "--key", &key]));
    assert_eq!(all["record"], 17, "{all}");
    let early = scene.keep("early", |place| place < 3);
    assert_eq!(answer(python(VENV, &[&slice, "--checkpoints", &early, "--key", &key]))["record"], 1);
}

/// Promise: with a key that was kept, nobody else's key vouches for anything, whatever the ledger or the slice says of it.
#[tokio::test]
async fn both_believe_a_kept_key_and_no_other() {
    let scene = Scene::new().await;
    let key = scene.keys().remove(0);
    let (one, other) = scene.both(&["--key", &key]);
    assert_eq!((&one["anchored"], &other["anchored"]), (&19.into(), &19.into()), "{one} {other}");
    let signer =
        serde_json::json!([{ "key": key, "named": 1, "checkpoints": 4, "first": 1, "newest": 19, "trusted": true }]);
    assert_eq!((&one["keys"], &other["keys"]), (&signer, &signer));

    // A second key comes into use: it vouches for what comes after it, to those who have it.
    scene.change_key().await;
    let (kept, all) = (scene.write("kept", &(key.clone() + "\n")), scene.write("all", &scene.keys().join("\n")));
    let (one, other) = scene.both(&["--keys", &kept]);
    for said in [&one, &other] {
        assert_eq!((&said["verified"], &said["anchored"]), (&true.into(), &19.into()), "{said}");
        let told: Vec<_> =
            said["keys"].as_array().unwrap().iter().map(|key| (&key["named"], &key["trusted"])).collect();
        assert_eq!(told, [(&1.into(), &true.into()), (&20.into(), &false.into())], "{said}");
    }
    assert!(other["signatures"].as_str().unwrap().contains("by others than the keys that you trust"), "{other}");
    assert_eq!(scene.both(&["--keys", &all]).0["anchored"], 27);
    assert_eq!(scene.both(&[]).0["anchored"], 27);
    let none = scene.write("none", "\n");
    let (one, other) = (refusal(scene.rekeyd(&["--keys", &none])), refusal(scene.python(VENV, &["--keys", &none])));
    assert!(one.contains("there is none") && other.contains("holds no key"), "{one} {other}");

    // Written anew from before the second key, by one who has the first.
    scene.replace([9; 32], events("c")).await;
    assert_eq!(scene.both(&["--keys", &kept]).0["verified"], true, "the limit that SECURITY.md admits");
    let (one, other) = scene.both(&["--keys", &all]);
    for said in [&one, &other] {
        assert_eq!(said["record"], 20, "{said}");
        assert!(said["why"].as_str().unwrap().contains("no record names"), "{said}");
    }

    // All of it written anew, by one who named a key of his own.
    scene.replace_by([7; 32], [9; 32], events("c")).await;
    assert_eq!(scene.both(&[]).0["verified"], true, "the limit that SECURITY.md admits");
    let (one, other) = scene.both(&["--key", &key]);
    assert_eq!((&one["verified"], &one["record"]), (&false.into(), &1.into()), "{one} {other}");
    // And a slice of it, with his key in it and beside it.
    let (slice, own) = (scene.slice("ledger.jsonl", 1, 16), scene.keep("own", |place| place < 3));
    let with = |keys: &[&str]| answer(python(VENV, &[&[slice.as_str(), "--checkpoints", &own][..], keys].concat()));
    assert_eq!(with(&["--key", &scene.keys()[0]])["signatures"], "good");
    let said = with(&["--key", &key]);
    assert_eq!((&said["verified"], &said["record"]), (&false.into(), &1.into()), "{said}");
    // Without its checkpoints nobody vouches for it either.
    std::fs::write(scene.path("own"), "").unwrap();
    assert_eq!(with(&["--key", &key])["verified"], false);
    assert_eq!(with(&[])["signatures"], "none");
}

/// Promise: whoever has a key that was replaced signs nothing with it any more.
#[tokio::test]
async fn a_key_ends_where_its_successor_is_named() {
    let scene = Scene::new().await;
    scene.change_key().await;
    let own = std::fs::read_to_string(scene.path(CHECKPOINTS)).unwrap();
    let last = scene.write("last", &(own.clone() + &scene.signed_by_the_first_key(20)));
    assert_eq!(scene.both(&["--checkpoints", &last]).0["verified"], true, "the record that names the successor");
    let late = scene.write("late", &(own + &scene.signed_by_the_first_key(21)));
    let (one, other) = scene.both(&["--checkpoints", &late]);
    for said in [&one, &other] {
        assert_eq!(said["record"], 21, "{said}");
        assert!(said["why"].as_str().unwrap().contains("successor was named before"), "{said}");
    }
    // In a slice too, if the change is in it.
    let (slice, key) = (scene.slice("ledger.jsonl", 16, 27), scene.keys().remove(0));
    let of_slice = scene.keep("of-slice", |place| place >= 3);
    let with = |own: &str| answer(python(VENV, &[&slice, "--checkpoints", own, "--key", &key]));
    assert_eq!(with(&of_slice)["anchored"], 19);
    let late = std::fs::read_to_string(&of_slice).unwrap() + &scene.signed_by_the_first_key(21);
    assert_eq!(with(&scene.write("late", &late))["record"], 21);
}
