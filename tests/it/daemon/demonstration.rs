//! `rekeyd demo`: what a newcomer sees first.

use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};

use super::site::{finish, rekeyd};

/// `N` in the summary's "N rotations of M targets are on record", and `M`.
fn summary(out: &str) -> (usize, usize) {
    let line = out.lines().find(|line| line.contains("are on record")).unwrap_or_else(|| panic!("{out}"));
    let numbers: Vec<usize> = line.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    (numbers[0], numbers[1])
}

fn assert_all_is_well(out: &str) {
    assert!(out.contains("pass no slot was answered twice"), "{out}");
    assert!(out.contains("  verified ") && !out.contains("FAIL"), "{out}");
}

#[test]
fn ends_by_itself_with_a_good_account() {
    let shown = finish(rekeyd(&["demo", "--for", "8s"]));
    assert_eq!(shown.code, Some(0), "{shown:?}");
    let (rotations, targets) = summary(&shown.out);
    assert!(targets >= 10 && rotations >= targets, "{}", shown.out);
    assert_all_is_well(&shown.text());
    assert!(!shown.out.contains('\u{1b}'), "colours in a pipe");
}

#[test]
fn ctrl_c_ends_it_with_the_summary() {
    let mut child = rekeyd(&["demo"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut text = String::new();
    while !text.contains(" in 0.") {
        assert!(out.read_line(&mut text).unwrap() > 0, "it ended: {text}");
    }
    let kill = format!("kill -INT {}", child.id());
    assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    out.read_to_string(&mut text).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0), "{text}");
    assert!(summary(&text).0 >= 1, "{text}");
    assert_all_is_well(&text);
}
