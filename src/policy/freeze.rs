//! Every freeze that there is: the one list that plans, misses and calendars go by.

use jiff::Timestamp;

use super::rules::Rules;
use crate::domain::{Caller, Fleet, Freeze};

/// The freezes of the configuration, then those that operators ordered; past, present and to come.
pub fn freezes<'a>(rules: &'a Rules, fleet: &'a Fleet) -> impl Iterator<Item = &'a Freeze> + Clone {
    with_callers(rules, fleet).map(|(freeze, _)| freeze)
}

/// Those of them that are not over, and by whose order; by nobody's if they stand in the configuration.
pub fn freezes_from<'a>(
    now: Timestamp,
    rules: &'a Rules,
    fleet: &'a Fleet,
) -> impl Iterator<Item = (&'a Freeze, Option<&'a Caller>)> {
    with_callers(rules, fleet).filter(move |(freeze, _)| now < freeze.span.end)
}

fn with_callers<'a>(
    rules: &'a Rules,
    fleet: &'a Fleet,
) -> impl Iterator<Item = (&'a Freeze, Option<&'a Caller>)> + Clone {
    let ordered = fleet.freezes.values().map(|ordered| (&ordered.freeze, Some(&ordered.by)));
    rules.freezes.iter().map(|freeze| (freeze, None)).chain(ordered)
}
