//! Comma-separated values (RFC 4180), made from the same JSON objects that go out as JSON Lines.

use serde_json::Value;

/// A rotation's columns, by their names in its JSON object.
pub const ROTATION_COLUMNS: &[&str] = &[
    "begun_at",
    "target",
    "slot",
    "attempt",
    "state",
    "how",
    "key_before",
    "key_after",
    "due_at",
    "intended_at",
    "sent_at",
    "accepted_at",
    "ended_at",
    "actor",
    "stage",
    "failure",
    "why",
    "retry_at",
    "mechanism",
    "manager",
    "project_id",
    "cluster_id",
    "ledger_seq",
];
/// A ledger record's columns.
pub const RECORD_COLUMNS: &[&str] =
    &["seq", "at", "kind", "actor", "name", "target", "rotation", "payload", "prev_hash", "hash"];

/// What a formula may begin with: some programs pass over white space before the sign.
const FORMULA: [char; 7] = ['=', '+', '-', '@', '\t', '\r', '\n'];

/// The first line.
pub fn csv_heading(columns: &[&str]) -> String {
    columns.join(",") + "\r\n"
}

/// One object as a line; what it lacks is empty, and what is no plain value is its JSON.
///
/// Spreadsheets take a text for a formula that begins with one of some signs (OWASP, CSV injection), and names and texts come
/// from afar: an apostrophe stands before such a one. JSON Lines have each text as it is.
pub fn csv_line(columns: &[&str], object: &Value) -> String {
    let cells: Vec<String> = columns.iter().map(|column| cell(&object[*column])).collect();
    cells.join(",") + "\r\n"
}

fn cell(value: &Value) -> String {
    let text = match value {
        Value::Null => String::new(),
        Value::String(text) if text.starts_with(FORMULA) => format!("'{text}"),
        Value::String(text) => text.clone(),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    };
    if text.contains(['"', ',', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// Whatever a server calls a cluster: a spreadsheet shows it, splits nothing and runs nothing.
    #[test]
    fn a_cell_is_one_cell_and_no_formula() {
        let object =
            json!({ "a": "x,\"y\"\nz", "b": "=HYPERLINK(1)", "c": null, "d": -3, "e": { "k": 1 }, "g": "\r=1" });
        assert_eq!(
            csv_line(&["a", "b", "c", "d", "e", "f", "g"], &object),
            "\"x,\"\"y\"\"\nz\",'=HYPERLINK(1),,-3,\"{\"\"k\"\":1}\",,\"'\r=1\"\r\n"
        );
    }
}
