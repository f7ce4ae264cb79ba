//! How moments, lengths, alerts and addresses read on a page.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::map::Twins;
use crate::alerts::{Alert, length};
use crate::domain::{AlertSubject, TargetId, TargetName};

/// A moment to the second. The record is in UTC, and so is the page.
pub(super) fn moment(at: Timestamp) -> String {
    at.to_zoned(TimeZone::UTC).strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// The moment at which a rotation begins, and where that is another one, when it falls due.
pub(super) fn beside(begins_at: Timestamp, due_at: Timestamp) -> String {
    let begins = moment(begins_at);
    if begins_at == due_at { begins } else { format!("{begins}, due {}", moment(due_at)) }
}

/// The day alone.
pub(super) fn day(at: Timestamp) -> String {
    at.to_zoned(TimeZone::UTC).strftime("%Y-%m-%d").to_string()
}

/// The time of day alone.
pub(super) fn hour(at: Timestamp) -> String {
    at.to_zoned(TimeZone::UTC).strftime("%H:%M:%S").to_string()
}

/// How far a moment is from now, in its two largest units.
pub(super) fn distance(at: Timestamp, now: Timestamp) -> String {
    if at > now { format!("in {}", length(now, at)) } else { format!("{} ago", length(at, now)) }
}

/// A length in its largest unit alone: what a cell has room for.
pub(super) fn short_length(start: Timestamp, end: Timestamp) -> String {
    let seconds = end.duration_since(start).as_secs().max(0);
    for (unit, size) in [("d", 86_400), ("h", 3_600), ("m", 60)] {
        if seconds >= size {
            return format!("{}{unit}", seconds / size);
        }
    }
    format!("{seconds}s")
}

/// `one thing`, `2 things`.
pub(super) fn count(number: usize, one: &str, many: &str) -> String {
    if number == 1 { format!("1 {one}") } else { format!("{number} {many}") }
}

/// The address of a target's page.
pub(super) fn address(name: &TargetName, id: Option<&TargetId>) -> String {
    let encoded = |text| utf8_percent_encode(text, OF_AN_ADDRESS);
    let page = format!("/targets/{}", encoded(name.as_str()));
    match id {
        Some(id) => format!("{page}?id={}", encoded(id.as_str())),
        None => page,
    }
}

/// What is written with percent signs in an address: names hold whatever somebody typed into a deployment.
const OF_AN_ADDRESS: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');

/// The text behind percent signs; what is no text comes out as such.
pub(super) fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

/// A text and the commands in it, apart.
pub(super) struct Marked(Vec<Piece>);

pub(super) enum Piece {
    Words(String),
    Command(String),
}

impl Marked {
    /// What stands between backquotes is a command.
    pub(super) fn new(text: &str) -> Self {
        let text = legible(text);
        let pieces = text.split('`').enumerate().filter(|(_, piece)| !piece.is_empty());
        Self(
            pieces
                .map(|(at, piece)| match at % 2 {
                    0 => Piece::Words(piece.to_owned()),
                    _ => Piece::Command(piece.to_owned()),
                })
                .collect(),
        )
    }

    pub(super) fn pieces(&self) -> &[Piece] {
        &self.0
    }
}

/// An alert as a page shows it.
pub(super) struct AlertWords {
    pub(super) severity: &'static str,
    pub(super) name: String,
    /// The page about its target, if it is about one.
    pub(super) address: Option<String>,
    pub(super) what: Marked,
    /// The next step.
    pub(super) next: Option<Marked>,
}

impl AlertWords {
    pub(super) fn of(alert: &Alert, twins: &Twins) -> Self {
        let words = alert.words.strip_prefix(alert.name.as_str()).unwrap_or(&alert.words);
        let words = words.trim_start_matches([':', ' ']);
        let (what, next) = match words.split_once(" Next: ") {
            Some((what, next)) => (what, Some(Marked::new(&capital(next)))),
            None => (words, None),
        };
        let address = if let AlertSubject::Target(id) = &alert.subject {
            let name = TargetName::from(alert.name.as_str());
            Some(address(&name, twins.id(&name, id)))
        } else {
            None
        };
        Self {
            severity: alert.severity.as_str(),
            name: alert.name.clone(),
            address,
            what: Marked::new(&capital(what)),
            next,
        }
    }
}

/// With the moments in it as the rest of the page writes them.
pub(super) fn legible(text: &str) -> String {
    let words = text.split(' ').map(|word| {
        let bare = word.trim_matches(['(', ')', ',', '.', ';', ':']);
        match bare.parse::<Timestamp>() {
            Ok(at) => word.replace(bare, &moment(at)),
            Err(_) => word.to_owned(),
        }
    });
    words.collect::<Vec<_>>().join(" ")
}

/// The kind of an alert as a heading.
pub(super) fn title(alert: &Alert) -> String {
    capital(&alert.kind.as_str().replace('_', " "))
}

/// With a capital at its beginning.
pub(super) fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A name of any kind leads to its own page and to no other place.
    #[test]
    fn an_address_reads_back_as_its_name() {
        for name in ["emea/billing/ledger/ledger-0", "a/ü ?&#%2F/\"><script>/..\n"] {
            let address = address(&name.into(), None);
            assert!(address.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"<>?#&".contains(&byte)), "{address}");
            assert_eq!(decoded(address.strip_prefix("/targets/").unwrap()), name);
        }
    }

    /// Whatever stands in an address is read without a panic.
    #[test]
    fn broken_percent_signs_stay_as_they_are() {
        assert_eq!(decoded("%"), "%");
        assert_eq!(decoded("a%4"), "a%4");
        assert_eq!(decoded("%zz%41"), "%zzA");
        assert_eq!(decoded("%ff"), "\u{fffd}");
    }

    /// Alerts and decisions come in the format of the record; a page has one format.
    #[test]
    fn moments_read_alike() {
        assert_eq!(legible("at (2026-01-01T06:00:00Z, or later)."), "at (2026-01-01 06:00:00 UTC, or later).");
        assert_eq!(legible("1.2 a: b"), "1.2 a: b");
    }

    #[test]
    fn a_cell_has_room_for_one_unit() {
        let start: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        for (seconds, words) in [(-1, "0s"), (59, "59s"), (60, "1m"), (86_399, "23h"), (86_400 * 91, "91d")] {
            assert_eq!(short_length(start, start + jiff::SignedDuration::from_secs(seconds)), words);
        }
    }
}
