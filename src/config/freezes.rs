//! The sections `[[freeze]]`: when nothing is rotated, and why.

use std::collections::BTreeSet;

use jiff::tz::TimeZone;

use super::section::Section;
use super::value;
use crate::domain::{Freeze, Glob, Span};

/// Reads every freeze; times without an offset are those of `zone`.
pub(super) fn read(top: &mut Section<'_>, zone: &TimeZone) -> Vec<Freeze> {
    let mut names = BTreeSet::new();
    top.sections("freeze", "[[freeze]]").into_iter().filter_map(|section| read_one(section, zone, &mut names)).collect()
}

fn read_one(mut section: Section<'_>, zone: &TimeZone, names: &mut BTreeSet<String>) -> Option<Freeze> {
    let document = section.document();
    let name = section.required("name", value::name);
    if let Some(name) = &name
        && !names.insert(name.value.clone())
    {
        document.problem(&name.spot, format!("a freeze named `{}` stands further up already", name.value), None);
    }
    let reason = section.required("reason", value::owned_text);
    let start = section.required("start", value::moment);
    let end = section.required("end", value::moment);
    let scope = section.optional("scope", value::glob);
    section.finish();
    let (start, end_at) = (start?, end?);
    let (start, end) = (start.value.start(zone), end_at.value.end(zone));
    if end <= start {
        document.problem(&end_at.spot, "`end` is not after `start`", "a freeze ends by itself".to_owned());
        return None;
    }
    let scope = scope.map_or_else(|| Glob::new("*"), |scope| scope.value);
    Some(Freeze { name: name?.value, reason: reason?.value, span: Span { start, end }, scope })
}
