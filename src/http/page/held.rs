//! What holds rotations up because somebody wants it so: pauses that stand, and freezes that have come.

use super::words::{distance, moment};
use crate::policy::{Rules, freezes_from};
use crate::ports::Situation;

/// One of them.
pub(super) struct Held {
    /// `Paused` or `Frozen`.
    pub(super) word: &'static str,
    /// The pattern of the names that it holds up.
    pub(super) scope: String,
    /// When it ends, and in how long.
    pub(super) until: String,
    /// Who wants it, and why.
    pub(super) why: String,
}

/// Those that hold something up now, the first to end first.
pub(super) fn held(situation: &Situation, rules: &Rules) -> Vec<Held> {
    let now = situation.now;
    let pauses = situation.fleet.standing_pauses(now).map(|(scope, pause)| {
        (
            pause.until,
            "Paused",
            scope.clone(),
            format!("{} at {}: {}", pause.by.name(), moment(pause.since), pause.reason),
        )
    });
    let freezes = freezes_from(now, rules, &situation.fleet).filter(|(freeze, _)| freeze.span.contains(now));
    let freezes = freezes.map(|(freeze, by)| {
        let by = by.map_or_else(String::new, |by| format!(", by {}", by.name()));
        (freeze.span.end, "Frozen", freeze.scope.to_string(), format!("{}{by}: {}", freeze.name, freeze.reason))
    });
    let mut held: Vec<_> = pauses.chain(freezes).collect();
    held.sort();
    held.into_iter()
        .map(|(until, word, scope, why)| Held {
            word,
            scope,
            until: format!("{}, {}", moment(until), distance(until, now)),
            why,
        })
        .collect()
}
