//! `rekeyd plan --ical`: the slots to come for a change calendar (RFC 5545), each at the same identity every time it is made.

use icalendar::{Calendar, Component, Event};
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::horizon::Slot;
use crate::config::Settings;
use crate::domain::Period;

/// The whole calendar. An entry lasts until its rotation is confirmed at the latest, if nothing fails.
pub(super) fn text(slots: &[Slot], now: Timestamp, settings: &Settings) -> String {
    let mut calendar = Calendar::empty();
    calendar.append_property(("VERSION", "2.0"));
    calendar.append_property(("PRODID", concat!("-//rekeyd//rekeyd ", env!("CARGO_PKG_VERSION"), "//EN")));
    calendar.append_property(("CALSCALE", "GREGORIAN"));
    calendar.append_property(("METHOD", "PUBLISH"));
    calendar.append_property(("X-WR-CALNAME", "rekeyd"));
    for slot in slots {
        calendar.push(entry(slot, now, settings));
    }
    calendar.to_string()
}

fn entry(slot: &Slot, now: Timestamp, settings: &Settings) -> Event {
    let occasion = &slot.occasion;
    let lasts = settings.policies.get(&occasion.policy).map_or(Period::minutes(15), |policy| policy.confirm_within);
    let words =
        format!("Slot {} of {}, policy {}: {}.", occasion.rotation.slot, slot.name, occasion.policy, slot.reason());
    Event::new()
        .uid(&format!("{}/{}@rekeyd", occasion.target, occasion.rotation.slot))
        .add_property("DTSTAMP", stamp(now))
        .add_property("DTSTART", stamp(occasion.at))
        .add_property("DTEND", stamp(lasts.after(occasion.at)))
        .summary(&format!("Rotate the key of {}", slot.name))
        .description(&words)
        // Planned work does not make its people busy.
        .add_property("TRANSP", "TRANSPARENT")
        .done()
}

fn stamp(at: Timestamp) -> String {
    at.to_zoned(TimeZone::UTC).strftime("%Y%m%dT%H%M%SZ").to_string()
}
