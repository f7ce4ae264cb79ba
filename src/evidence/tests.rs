//! The verifier that is shipped with a bundle, against what this version reads.

use std::error::Error as _;
use std::io::Write as _;
use std::process::Command;

use serde_json::{Value, json};

use crate::domain::{Event, sample};

/// What stands in the place of a value of a payload.
fn others() -> Vec<Value> {
    let numbers = [json!(-1), json!(7), json!(1.5), json!(70_000), json!(1_u64 << 40), json!(u64::MAX)];
    let others =
        [Value::Null, json!(true), json!("here"), json!(""), json!([]), json!([7]), json!({}), json!({ "x": 1 })];
    numbers.into_iter().chain(others).collect()
}

/// The value with each of its parts in turn left out, and replaced by others; and itself.
fn variants(value: &Value) -> Vec<Value> {
    let mut found = others();
    found.push(value.clone());
    if let Value::Object(object) = value {
        for (name, held) in object {
            let mut less = object.clone();
            less.remove(name);
            found.push(less.into());
            found.extend(variants(held).into_iter().map(|held| {
                let mut changed = object.clone();
                changed.insert(name.clone(), held);
                changed.into()
            }));
        }
    } else if let Value::Array(array) = value {
        for (place, held) in array.iter().enumerate() {
            found.extend(variants(held).into_iter().map(|held| {
                let mut changed = array.clone();
                changed[place] = held;
                changed.into()
            }));
        }
    }
    found
}

/// Records of every kind, as they should be and otherwise.
fn records() -> Vec<(String, String)> {
    let mut records = vec![("no_such_kind".to_owned(), "{}".to_owned())];
    for event in sample::every_event("2026-05-01T06:00:00.123456Z".parse().unwrap()) {
        let (kind, payload) = event.to_record();
        let value: Value = serde_json::from_str(&payload).unwrap();
        records.extend(variants(&value).into_iter().map(|variant| (kind.clone(), variant.to_string())));
        for (name, held) in value.as_object().unwrap() {
            records.push((kind.clone(), format!("{{\"{name}\":{held},{}", &payload[1..])));
        }
        records.extend(
            [format!("{payload} x"), payload.replace('}', ""), "no JSON".to_owned()].map(|text| (kind.clone(), text)),
        );
    }
    records
}

/// A record that one verifier reads and the other does not is one that a forger would add: the tables are compared by neither.
#[test]
fn the_second_verifier_reads_what_the_first_one_reads() {
    let mut records = records();
    // Where one of some words should be, whoever says what is wrong lists them.
    let listed = records.iter().filter_map(|(kind, payload)| {
        let why = Event::from_record(kind, payload).err()?.source()?.to_string();
        why.starts_with("unknown variant `here`").then_some((kind, payload, why))
    });
    let all = json!({ "code": "x", "pattern": "x", "status": "x", "type_name": "x" });
    let mut worded = Vec::new();
    for (kind, payload, why) in listed {
        for word in why.split('`').skip(3).step_by(2) {
            let held = [json!(word), json!({ word: "x" }), json!({ word: all })];
            worded.extend(held.map(|held| (kind.clone(), payload.replace("\"here\"", &held.to_string()))));
        }
    }
    assert!(records.len() > 5000 && worded.len() > 1000, "{} and {}", records.len(), worded.len());
    records.extend(worded);
    let mut file = tempfile::NamedTempFile::new().unwrap();
    let lines: String = records.iter().map(|record| json!(record).to_string() + "\n").collect();
    file.write_all(lines.as_bytes()).unwrap();
    let script = "import json, sys
sys.path.insert(0, 'contrib')
import verify
for line in open(sys.argv[1]):
    kind, payload = json.loads(line)
    print(verify.payload_of((1, 0, kind, 'daemon', '', '', payload)) is not None)";
    let output = Command::new("python3")
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(["-B", "-c", script])
        .arg(file.path())
        .output()
        .expect("python3 is missing: run tests/setup.sh (Debian: apt-get install python3)");
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(said.lines().count(), records.len(), "{}", String::from_utf8_lossy(&output.stderr));
    let differ: Vec<_> = records
        .iter()
        .zip(said.lines())
        .filter(|((kind, payload), said)| Event::from_record(kind, payload).is_ok() != (*said == "True"))
        .collect();
    assert!(differ.is_empty(), "{} of {}: {:#?}", differ.len(), records.len(), &differ[..differ.len().min(20)]);
}
