//! The sections `[policy.NAME]`: how often, when and how loud.
//!
//! What `[policy.default]` leaves out has the built-in default; what another policy leaves out is as in
//! `[policy.default]`.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::document::{Spot, Written};
use super::section::Section;
use super::value;
use crate::domain::{Period, PolicyName};
use crate::policy::Policy;

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
}

/// Reads every policy.
pub(super) fn read(top: &mut Section<'_>) -> Policies {
    let mut sections = top.sections_by_name("policy");
    let default = sections.iter().position(|(name, _)| name.value == DEFAULT).map(|index| sections.swap_remove(index));
    let builtin = PolicyEntry { policy: Arc::new(Policy::with_defaults(PolicyName::new(DEFAULT))), settle_at: None };
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
    refuse_what_is_not_built(&mut section);
    let noted_before = section.document().count();
    let every = section.optional("every", value::period);
    let spread = section.optional("spread", value::spread);
    let alert_after = section.optional("alert_after", value::period);
    let first_rotation = section.optional("first_rotation", value::first_rotation);
    let confirm_within = section.optional("confirm_within", value::period);
    let settle = section.optional("settle", value::period);
    // Who needs more than a hundred tries needs an operator, and should be told so.
    let max_attempts = section.optional("max_attempts", value::whole_number(1..=100));
    let observe_every = section.optional("observe_every", value::period);

    let policy = Policy {
        name,
        every: value_or(&every, base.policy.every),
        spread: value_or(&spread, base.policy.spread),
        alert_after: value_or(&alert_after, base.policy.alert_after),
        first_rotation: value_or(&first_rotation, base.policy.first_rotation),
        confirm_within: value_or(&confirm_within, base.policy.confirm_within),
        settle: value_or(&settle, base.policy.settle),
        max_attempts: value_or(&max_attempts, base.policy.max_attempts),
        observe_every: value_or(&observe_every, base.policy.observe_every),
    };
    let spots = Spots {
        every: spot_of(&every),
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
    PolicyEntry { policy: Arc::new(policy), settle_at }
}

/// A setting that would not do what it says must not be taken in silence.
fn refuse_what_is_not_built(section: &mut Section<'_>) {
    for name in ["cron", "windows"] {
        let Some(setting) = section.take(name) else { continue };
        if name == "windows" && setting.is_empty_list() {
            continue;
        }
        section.document().problem(
            &setting.key_spot(),
            format!("`{name}` is not supported by this version"),
            "use `every`".to_owned(),
        );
    }
}

/// Where a policy's own settings stand; none for what it inherits.
struct Spots<'w> {
    every: Option<&'w Spot>,
    spread: Option<&'w Spot>,
    alert_after: Option<&'w Spot>,
    confirm_within: Option<&'w Spot>,
    settle: Option<&'w Spot>,
}

impl Spots<'_> {
    /// Checks settings against each other. What a policy inherits whole was checked where it stands.
    fn check(&self, section: &Section<'_>, policy: &Policy) {
        let document = section.document();
        let every = policy.every;
        if let Some(spot) = self.spread.or(self.every)
            && policy.spread.as_secs(every) > every.as_secs()
        {
            let what = format!("`spread` ({}) is longer than `every` ({every})", policy.spread);
            document.problem(spot, what, "a slot would fall due after the next one".to_owned());
        }
        if let Some(spot) = self.confirm_within.or(self.every)
            && policy.confirm_within > every
        {
            let what = format!("`confirm_within` ({}) is longer than `every` ({every})", policy.confirm_within);
            document.problem(spot, what, "a rotation would still be open when the next one is due".to_owned());
        }
        if let Some(spot) = self.settle.or(self.every)
            && policy.settle > every
        {
            let what = format!("`settle` ({}) is longer than `every` ({every})", policy.settle);
            document.warning(spot, what, "after a lost reply a target misses its next slot".to_owned());
        }
        let latest = every.as_secs() + policy.spread.as_secs(every);
        if let Some(spot) = self.alert_after.or(self.every).or(self.spread)
            && policy.alert_after.as_secs() <= latest
        {
            let what = format!(
                "`alert_after` ({}) is not longer than `every` and `spread` together ({every} and {})",
                policy.alert_after, policy.spread
            );
            document.warning(spot, what, "keys would raise the alert before they are due".to_owned());
        }
        if let Some(spot) = self.every
            && every < SHORT
        {
            document.warning(
                spot,
                format!("`every` ({every}) is below an hour"),
                "good for a rehearsal only".to_owned(),
            );
        }
    }
}

fn value_or<T: Copy>(written: &Option<Written<T>>, inherited: T) -> T {
    written.as_ref().map_or(inherited, |written| written.value)
}

fn spot_of<T>(written: &Option<Written<T>>) -> Option<&Spot> {
    written.as_ref().map(|written| &written.spot)
}
