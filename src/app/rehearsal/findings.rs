//! What a manager's replies come to, as lines: pure functions.

use std::collections::{BTreeMap, BTreeSet};

use super::{Line, Step, is_trouble};
use crate::alerts::{About, against};
use crate::domain::{Failure, KeyId, Reason, TargetId, Verdict};
use crate::ports::{Discovery, Greeting};

/// From this version on Ops Manager manages no deployment of a feature compatibility version of 4.0 or earlier.
const NOTHING_LEGACY_FROM: u32 = 7;

/// The next step where nothing can be rotated by this mechanism.
const OTHER_WAY: &str =
    "rotate by the deployment's own encryption setting; see the README, what it manages and what it does not";
/// The next step where the time was too short.
pub(super) const MORE_TIME: &str = "give it more time with --within, or name fewer targets with --target";

/// Whether the manager knows our API key and lets our address in.
pub(super) fn login(greeting: &Greeting, public_key: &str) -> Result<Line, Line> {
    match &greeting.login {
        Ok(()) => Ok(Step::Login.pass(format!("the manager knows API key {public_key}"))),
        // The role that is missing is told by what takes it.
        Err(failure) if failure.reason == Reason::RoleMissing => {
            Ok(Step::Login.pass(format!("the manager knows API key {public_key}, which lacks a role: {failure}")))
        }
        Err(failure) if failure.reason == Reason::AddressRefused => Err(Step::AccessList.failed(failure)),
        Err(failure) => Err(Step::Login.failed(failure)),
    }
}

/// The first number of a version.
fn major(version: &str) -> Option<u32> {
    version.split('.').next()?.trim().parse().ok()
}

/// The version, and what it implies for those keys that could be read; none while nobody has asked for them.
pub(super) fn version(greeting: &Greeting, readable: Option<usize>) -> Line {
    let step = Step::Version;
    let Some(version) = &greeting.server_version else {
        return step.skip("the server does not tell its version");
    };
    if major(version).is_none_or(|major| major < NOTHING_LEGACY_FROM) {
        return step.pass(format!("Ops Manager {version}"));
    }
    let words = format!(
        "Ops Manager {version}; by MongoDB's tables it manages no deployment whose backup key can be rotated this way \
         (FCV 4.0 or earlier)"
    );
    match readable {
        None => step.pass(words),
        Some(0) => step.warn(format!("{words}, and no key here says otherwise"), OTHER_WAY),
        Some(some) => step.pass(format!("{words}; {some} keys here can be read all the same")),
    }
}

pub(super) fn projects(discovery: &Discovery, failed: impl Fn(&Failure) -> Line) -> Vec<Line> {
    let step = Step::Projects;
    let read: BTreeSet<&str> = discovery.sightings.iter().map(|sighting| sighting.target.project.as_str()).collect();
    let mut lines = Vec::new();
    if !read.is_empty() {
        lines.push(step.pass(format!("{} targets are listed in {} projects", discovery.sightings.len(), read.len())));
    }
    for project in &discovery.unread {
        let mut line = failed(&project.failure);
        line.words = format!("project {}: {}", project.name, line.words);
        lines.push(line);
    }
    for gap in &discovery.gaps {
        let words = format!(
            "project {}: the sharded cluster {} is listed without config servers, so it cannot be covered whole",
            gap.project, gap.cluster
        );
        lines.push(step.warn(words, "check in the manager that the backup of the whole cluster is started"));
    }
    if lines.is_empty() {
        lines.push(
            step.warn("no project with a deployment is listed", "give the API key a role in the projects to rotate"),
        );
    }
    lines
}

pub(super) fn targets(keys: &BTreeMap<TargetId, Result<KeyId, Failure>>, unasked: usize) -> Vec<Line> {
    let step = Step::Targets;
    let mut lines = Vec::new();
    let trouble: Vec<&Failure> =
        keys.values().filter(|key| is_trouble(key)).filter_map(|key| key.as_ref().err()).collect();
    let read = keys.values().filter(|key| key.is_ok()).count();
    if read > 0 || (trouble.is_empty() && unasked == 0) {
        lines.push(step.pass(format!("{read} keys can be read")));
    }
    if let Some(first) = trouble.first() {
        let words = format!("{} of {} keys cannot be read; one says {first}", trouble.len(), keys.len() + unasked);
        lines.push(step.fail(words, against(About::Target, first.reason)));
    }
    if unasked > 0 {
        lines.push(step.warn(format!("{unasked} keys could not be asked for in time"), MORE_TIME));
    }
    lines
}

/// Which mechanism governs the keys.
pub(super) fn mechanism(keys: &BTreeMap<TargetId, Result<KeyId, Failure>>, version: Option<&Line>) -> Line {
    let step = Step::Mechanism;
    let ours = keys.values().filter(|key| key.is_ok()).count();
    let others =
        keys.values().filter(|key| key.as_ref().is_err_and(|failure| failure.verdict == Verdict::NotThisWay)).count();
    let words = format!("{ours} keys are governed by the backup (PUT and GET encryptionKey), {others} by other means");
    match (ours, others) {
        (0, 0) => return step.skip("no key was read"),
        (0, _) => {}
        _ => return step.pass(words),
    }
    let told = version.map_or("", |line| line.words.as_str());
    step.warn(format!("{words}: this version can rotate none of them ({told})"), OTHER_WAY)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::rehearsal::Outcome;

    /// A version is read as far as it is one, and old servers get no remark.
    #[test]
    fn a_version_tells_what_it_implies() {
        let told = |version: &str, readable| {
            let greeting = Greeting {
                login: Ok(()),
                server_version: Some(version.to_owned()),
                server_time: None,
                certificate: None,
            };
            super::version(&greeting, readable)
        };
        let modern = |readable| told("8.0.12.500.20250722T1512Z", readable);
        assert!(modern(None).words.contains("manages no deployment"));
        assert_eq!(
            [None, Some(3), Some(0)].map(|readable| modern(readable).outcome),
            [Outcome::Pass, Outcome::Pass, Outcome::Warn]
        );
        let old = told("6.0.27", Some(0));
        assert_eq!((old.outcome, old.words.as_str()), (Outcome::Pass, "Ops Manager 6.0.27"));
        let odd = told("odd", Some(0));
        assert_eq!((odd.outcome, odd.words.as_str()), (Outcome::Pass, "Ops Manager odd"));
    }
}
