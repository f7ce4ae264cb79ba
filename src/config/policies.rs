//! The sections `[policy.NAME]`: how often, when and how loud.
//!
//! What `[policy.default]` leaves out has the built-in default; what another policy leaves out is as in
//! `[policy.default]`.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::SignedDuration;
use jiff::tz::TimeZone;

use super::document::{Spot, Written};
use super::section::Section;
use super::value;
use crate::domain::{Period, PolicyName};
use crate::policy::{Policy, Rhythm, Windows};

/// The policy that others inherit from, and that managers have which name none.
pub(super) const DEFAULT: &str = "default";

/// Shorter intervals are for rehearsals.
const SHORT: Period = Period::minutes(60);

/// Every policy by its name; the default one is always among them.
pub(super) type Policies = BTreeMap<PolicyName, PolicyEntry>;

/// A policy, and where it stands.
pub(super) struct PolicyEntry {
    pub(super) policy: Arc<Policy>,
    /// Where its `settle` was written, in its own section or in the one that it inherits from.
    pub(super) settle_at: Option<Spot>,
    /// The time zone of its calendars and windows.
    pub(super) zone: TimeZone,
    /// How long each of its windows is and where it was written, in its own section or in the one that it inherits from.
    pub(super) windows_at: Vec<(SignedDuration, Spot)>,
}

/// Reads every policy; `zone` is that of those that name none.
pub(super) fn read(top: &mut Section<'_>, zone: &TimeZone) -> Policies {
    let mut sections = top.sections_by_name("policy");
    let default = sections.iter().position(|(name, _)| name.value == DEFAULT).map(|index| sections.swap_remove(index));
    let builtin = PolicyEntry {
        policy: Arc::new(Policy::with_defaults(PolicyName::new(DEFAULT))),
        settle_at: None,
        zone: zone.clone(),
        windows_at: Vec::new(),
    };
    let default = match default {
        Some((_, section)) => read_one(section, PolicyName::new(DEFAULT), &builtin),
        None => builtin,
    };
    let mut policies = Policies::new();
    for (name, section) in sections {
        if !value::is_name(&name.value) {
            section.document().problem(&name.spot, format!("the policy's name {}", value::NAME_RULE), None);
        }
        let name = PolicyName::new(name.value);
        policies.insert(name.clone(), read_one(section, name, &default));
    }
    policies.insert(PolicyName::new(DEFAULT), default);
    policies
}

fn read_one(mut section: Section<'_>, name: PolicyName, base: &PolicyEntry) -> PolicyEntry {
    let noted_before = section.document().count();
    if section.has("every") && section.has("cron") {
        section.has_one_of("every", "cron");
    }
    let zone_at = section.optional("timezone", value::time_zone);
    let zone = zone_at.as_ref().map_or(&base.zone, |written| &written.value).clone();
    let every = section.optional("every", value::period);
    let cron = section.optional("cron", |written| value::cron(written, &zone));
    let spread = section.optional("spread", value::spread);
    let has_windows = section.has("windows");
    let windows = Some(section.list("windows", value::window)).filter(|_| has_windows);
    let overrides = section.optional("max_age_overrides_window", value::yes_or_no);
    let alert_after = section.optional("alert_after", value::period);
    let first_rotation = section.optional("first_rotation", value::one_of);
    let confirm_within = section.optional("confirm_within", value::period);
    let settle = section.optional("settle", value::period);
    // After a hundred failed tries an operator is needed, and quarantine says so.
    let max_attempts = section.optional("max_attempts", value::whole_number(1..=100));
    let observe_every = section.optional("observe_every", value::period);
    let member_order = section.optional("member_order", value::one_of);
    let stop_cluster = section.optional("stop_cluster_on_failure", value::yes_or_no);

    let rhythm = match (&every, &cron) {
        (Some(every), None) => Rhythm::Every(every.value),
        (_, Some(cron)) => Rhythm::Cron(Box::new(cron.value.clone())),
        (None, None) => inherited_rhythm(&base.policy.rhythm, &zone, &section),
    };
    let windows_at = match &windows {
        Some(windows) => windows.iter().map(|window| (window.value.length(), window.spot.clone())).collect(),
        None => base.windows_at.clone(),
    };
    let written = match windows {
        Some(windows) => windows.into_iter().map(|window| window.value).collect(),
        None => base.policy.windows.written().to_vec(),
    };
    let policy = Policy {
        name,
        rhythm,
        spread: value_or(&spread, base.policy.spread),
        windows: if written.is_empty() { Windows::any() } else { Windows::new(zone.clone(), written) },
        max_age_overrides_window: value_or(&overrides, base.policy.max_age_overrides_window),
        alert_after: value_or(&alert_after, base.policy.alert_after),
        first_rotation: value_or(&first_rotation, base.policy.first_rotation),
        confirm_within: value_or(&confirm_within, base.policy.confirm_within),
        settle: value_or(&settle, base.policy.settle),
        max_attempts: value_or(&max_attempts, base.policy.max_attempts),
        observe_every: value_or(&observe_every, base.policy.observe_every),
        member_order: value_or(&member_order, base.policy.member_order),
        stop_cluster_on_failure: value_or(&stop_cluster, base.policy.stop_cluster_on_failure),
    };
    let spots = Spots {
        rhythm: spot_of(&cron).or(spot_of(&every)),
        spread: spot_of(&spread),
        alert_after: spot_of(&alert_after),
        confirm_within: spot_of(&confirm_within),
        settle: spot_of(&settle),
    };
    // What stands in for a value that could not be read contradicts nothing.
    if section.document().count() == noted_before {
        spots.check(&section, &policy);
    }
    let settle_at = spots.settle.cloned().or_else(|| base.settle_at.clone());
    section.finish();
    PolicyEntry { policy: Arc::new(policy), zone, settle_at, windows_at }
}

/// The rhythm of the policy that is inherited from, by the clocks of this one's zone.
fn inherited_rhythm(rhythm: &Rhythm, zone: &TimeZone, section: &Section<'_>) -> Rhythm {
    match rhythm {
        Rhythm::Every(period) => Rhythm::Every(*period),
        Rhythm::Cron(cron) => match cron.in_zone(zone.clone()) {
            Ok(cron) => Rhythm::Cron(Box::new(cron)),
            Err(error) => {
                section.document().problem(section.spot(), format!("the inherited `cron` {error}"), None);
                Rhythm::Cron(cron.clone())
            }
        },
    }
}

/// Where a policy's own settings stand; none for what it inherits.
struct Spots<'w> {
    rhythm: Option<&'w Spot>,
    spread: Option<&'w Spot>,
    alert_after: Option<&'w Spot>,
    confirm_within: Option<&'w Spot>,
    settle: Option<&'w Spot>,
}

impl Spots<'_> {
    /// Checks settings against each other. What a policy inherits whole was checked where it stands.
    fn check(&self, section: &Section<'_>, policy: &Policy) {
        let document = section.document();
        let shortest = policy.rhythm.shortest();
        let (rhythm, is_cron) = match &policy.rhythm {
            Rhythm::Every(every) => (format!("`every` ({every})"), false),
            Rhythm::Cron(_) => (format!("the shortest time between two occurrences of `cron` ({shortest})"), true),
        };
        let spread = policy.spread.as_secs(shortest);
        // What the calendar names must not be reached by the spread of what it named before.
        if let Some(spot) = self.spread.or(self.rhythm)
            && (spread > shortest.as_secs() || (is_cron && spread == shortest.as_secs()))
        {
            let than = if is_cron { "not shorter than" } else { "longer than" };
            let what = format!("`spread` ({}) is {than} {rhythm}", policy.spread);
            document.problem(spot, what, "a slot would fall due after the next one".to_owned());
        }
        if let Some(spot) = self.confirm_within.or(self.rhythm)
            && policy.confirm_within > shortest
        {
            let what = format!("`confirm_within` ({}) is longer than {rhythm}", policy.confirm_within);
            document.problem(spot, what, "a rotation would still be open when the next one is due".to_owned());
        }
        if let Some(spot) = self.settle.or(self.rhythm)
            && policy.settle > shortest
        {
            let what = format!("`settle` ({}) is longer than {rhythm}", policy.settle);
            document.warning(spot, what, "after a lost reply a target misses its next slot".to_owned());
        }
        let longest = policy.rhythm.longest();
        if let Some(spot) = self.alert_after.or(self.rhythm).or(self.spread)
            && policy.alert_after.as_secs() <= longest.as_secs() + spread
        {
            let name = if is_cron { "the longest time between two occurrences of `cron`" } else { "`every`" };
            let what = format!(
                "`alert_after` ({}) is not longer than {name} and `spread` together ({longest} and {})",
                policy.alert_after, policy.spread
            );
            document.warning(spot, what, "keys would raise the alert before they are due".to_owned());
        }
        if let Some(spot) = self.rhythm
            && shortest < SHORT
        {
            document.warning(spot, format!("{rhythm} is below an hour"), "good for a rehearsal only".to_owned());
        }
    }
}

fn value_or<T: Copy>(written: &Option<Written<T>>, inherited: T) -> T {
    written.as_ref().map_or(inherited, |written| written.value)
}

fn spot_of<T>(written: &Option<Written<T>>) -> Option<&Spot> {
    written.as_ref().map(|written| &written.spot)
}
