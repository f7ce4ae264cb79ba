//! The rooms of the house use each other in one direction only, and every file says what it is for.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Which rooms each room may use. `main.rs` and `lib.rs` are the door and the plan of the house.
pub(crate) const MAY_USE: &[(&str, &[&str])] = &[
    ("domain", &[]),
    ("policy", &["domain"]),
    ("ports", &["domain"]),
    ("engine", &["policy", "ports", "domain"]),
    ("alerts", &["policy", "ports", "domain"]),
    ("remote", &["ports", "domain"]),
    ("store", &["durable", "ports", "domain"]),
    ("telemetry", &["ports", "domain"]),
    ("evidence", &["durable", "domain", "policy", "ports", "store"]),
    ("config", &["domain", "policy"]),
    ("connection", &[]),
    ("durable", &[]),
    ("http", &["connection", "ports", "domain", "policy", "alerts", "telemetry"]),
    ("control", &["connection", "ports", "domain", "policy"]),
    ("simulator", &[]),
    (
        "app",
        &[
            "domain",
            "policy",
            "ports",
            "engine",
            "alerts",
            "remote",
            "store",
            "telemetry",
            "config",
            "http",
            "control",
            "simulator",
        ],
    ),
    (
        "cli",
        &[
            "alerts",
            "app",
            "config",
            "control",
            "domain",
            "evidence",
            "policy",
            "ports",
            "simulator",
            "store",
            "telemetry",
        ],
    ),
];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}

/// The rooms that a source text names: what follows `crate::`, singly or in braces.
fn rooms_named(source: &str) -> BTreeSet<String> {
    let code: String =
        source.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
    let mut rooms = BTreeSet::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        if let Some(group) = rest.strip_prefix('{') {
            let mut depth = 0_usize;
            let mut word = String::new();
            for letter in group.chars() {
                match letter {
                    '{' => depth += 1,
                    '}' if depth == 0 => break,
                    '}' => depth -= 1,
                    ',' | ':' | ' ' | '\n' if depth == 0 => {
                        rooms.extend((!word.is_empty()).then(|| std::mem::take(&mut word)));
                    }
                    letter if depth == 0 => word.push(letter),
                    _ => {}
                }
            }
            rooms.extend((!word.is_empty()).then_some(word));
        } else {
            rooms.insert(rest.chars().take_while(|letter| letter.is_alphanumeric() || *letter == '_').collect());
        }
    }
    rooms
}

/// The architecture's arrows hold in every file.
#[test]
fn imports_point_one_way() {
    let may_use: BTreeMap<&str, &[&str]> = MAY_USE.iter().copied().collect();
    let source = root().join("src");
    let mut wrong = Vec::new();
    for file in rust_files(&source) {
        let inside = file.strip_prefix(&source).unwrap();
        let room = inside.iter().next().unwrap().to_str().unwrap().trim_end_matches(".rs");
        if ["main", "lib"].contains(&room) {
            continue;
        }
        let allowed = may_use.get(room).unwrap_or_else(|| panic!("{room} has no line in the table"));
        for named in rooms_named(&fs::read_to_string(&file).unwrap()) {
            if may_use.contains_key(named.as_str()) && named != room && !allowed.contains(&named.as_str()) {
                wrong.push(format!("{} uses {named}, which {room} may not", inside.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The reader of the arrows reads every form of import.
#[test]
fn every_form_of_import_is_read() {
    let source = "use crate::domain::{Event, Fleet};\nuse crate::{ports, store::{self, Reader}};\n// crate::http\nlet x = crate::engine::new();";
    let named: Vec<_> = rooms_named(source).into_iter().collect();
    assert_eq!(named, ["domain", "engine", "ports", "store"]);
}

/// A stranger knows from a file's first line what it is for.
#[test]
fn every_file_says_what_it_is_for() {
    for folder in ["src", "tests", "benches"] {
        let folder = root().join(folder);
        if !folder.exists() {
            continue;
        }
        for file in rust_files(&folder) {
            let text = fs::read_to_string(&file).unwrap();
            let first = text.lines().next().unwrap_or_default();
            assert!(first.starts_with("//! ") && first.len() > 20, "{} begins with {first:?}", file.display());
        }
    }
}
