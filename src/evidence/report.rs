//! The page that a person reads and prints: self-contained, without scripts.

use askama::Template;
use jiff::Timestamp;

use super::access::{Closed, Holder, News};
use super::cover::Class;
use super::gather::Evidence;
use super::picture::{clusters, picture};
use super::unlisted::Unlisted;
use crate::domain::{ApiKey, Excess, KeyOrigin, Power, State};

/// So many API keys, changes of them, and lists that could not be read, are spelled out on the page; the files have all.
const HOLDERS: usize = 8;
/// So many findings are spelled out on the page; the files have all.
const FINDINGS: usize = 10;

#[derive(Template)]
#[template(path = "evidence/report.html")]
struct Report {
    from: String,
    to: String,
    origin: String,
    head_seq: u64,
    head_hash: String,
    records: u64,
    first_seq: u64,
    misdated: u64,
    last_seq: u64,
    checkpoints: usize,
    newest_checkpoint: Option<u64>,
    targets: usize,
    days: usize,
    target_days: usize,
    classes: Vec<ClassRow>,
    rotations: Vec<(&'static str, usize)>,
    foreign: usize,
    regressions: usize,
    policies: Vec<PolicyRow>,
    findings: Vec<Finding>,
    more_findings: usize,
    left_out: Vec<(String, usize)>,
    /// The longest stretches in which something could not be listed.
    unlisted: Vec<String>,
    more_unlisted: usize,
    svg: String,
    not_drawn: usize,
    /// How many lists of API keys were ever asked for.
    lists: usize,
    closed_lists: Vec<String>,
    more_closed_lists: usize,
    holders: Vec<HolderRow>,
    more_holders: usize,
    access_news: Vec<NewsRow>,
    more_access_news: usize,
}

struct ClassRow {
    word: &'static str,
    meaning: &'static str,
    days: usize,
    share: String,
    targets: usize,
}

struct PolicyRow {
    name: String,
    targets: usize,
    since: String,
    words: String,
}

/// An API key that can rotate.
struct HolderRow {
    key: String,
    manager: String,
    description: String,
    can: &'static str,
    roles: String,
    since: String,
    excess: String,
}

struct NewsRow {
    at: String,
    what: &'static str,
    key: String,
    manager: String,
    roles: String,
}

struct Finding {
    name: String,
    class: &'static str,
    from: String,
    to: String,
    about: String,
}

pub(super) fn report(evidence: &Evidence) -> String {
    let rows = clusters(evidence);
    let (svg, not_drawn) = picture(evidence, &rows);
    let (days, targets) = (evidence.span.days(), evidence.targets.len());
    let target_days = days * targets;
    let there = target_days - evidence.days_of(Class::NotThere);
    let classes = Class::ALL.map(|class| {
        let of_class = evidence.days_of(class);
        ClassRow {
            word: class.word(),
            meaning: meaning(class),
            days: of_class,
            share: share(class, of_class, there),
            targets: evidence.targets.iter().filter(|story| story.days_of(class) > 0).count(),
        }
    });
    let rotations =
        State::ALL.iter().map(|state| (state.as_str(), evidence.rotations.get(state).copied().unwrap_or(0)));
    let came = |origin| evidence.keys.values().flatten().filter(|(_, came)| *came == origin).count();
    let (findings, more_findings) = findings(evidence);
    let report = Report {
        from: evidence.span.from.to_string(),
        to: evidence.span.to.to_string(),
        origin: evidence.origin.clone(),
        head_seq: evidence.head.seq,
        head_hash: evidence.head.hash.iter().map(|byte| format!("{byte:02x}")).collect(),
        records: evidence.slice.records,
        first_seq: evidence.slice.first,
        misdated: evidence.slice.misdated,
        last_seq: evidence.slice.last,
        checkpoints: evidence.checkpoints.len(),
        newest_checkpoint: evidence.checkpoints.iter().map(|checkpoint| checkpoint.head.seq).max(),
        targets,
        days,
        target_days,
        classes: classes.into(),
        rotations: rotations.into_iter().filter(|(_, count)| *count > 0).collect(),
        foreign: came(KeyOrigin::Foreign),
        regressions: came(KeyOrigin::Regression),
        policies: in_force(evidence),
        findings,
        more_findings,
        left_out: left_out(evidence),
        unlisted: unlisted(evidence),
        more_unlisted: evidence.unlisted.len().saturating_sub(HOLDERS),
        svg,
        not_drawn,
        lists: evidence.access.lists.len(),
        closed_lists: evidence.access.closed.iter().take(HOLDERS).map(closed).collect(),
        more_closed_lists: evidence.access.closed.len().saturating_sub(HOLDERS),
        holders: evidence.access.holders.iter().take(HOLDERS).map(holder).collect(),
        more_holders: evidence.access.holders.len().saturating_sub(HOLDERS),
        access_news: evidence.access.news.iter().take(HOLDERS).map(news).collect(),
        more_access_news: evidence.access.news.len().saturating_sub(HOLDERS),
    };
    report.render().expect("the template writes into memory")
}

/// A time as the page shows it.
fn minute(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M").to_string()
}

/// How many hundredths of the days on which targets were there, to two places, rounded to the worse: no bad day is lost.
fn share(class: Class, days: usize, there: usize) -> String {
    let (parts, there) = (days * 10_000, there.max(1));
    let parts = match class {
        Class::NotThere => return String::new(),
        Class::Within => parts / there,
        Class::LeftOut | Class::Unproved | Class::Unread | Class::Overrun => parts.div_ceil(there),
    };
    format!("{}.{:02}", parts / 100, parts % 100)
}

const fn meaning(class: Class) -> &'static str {
    match class {
        Class::Within => "the key was seen to come, and was not older than its policy allows",
        Class::Overrun => "the key was older than its policy allows, or may have been",
        Class::Unread => "the target is to be rotated, and its key was not read yet",
        Class::Unproved => {
            "not on record: the key's age, how old it may grow, or, where nobody could look, that it still was in use"
        }
        Class::LeftOut => "the target was listed and not rotated; population has the reason",
        Class::NotThere => "the target was not listed yet, or no more",
    }
}

fn closed(Closed { manager, list, from, to }: &Closed) -> String {
    let to = to.map_or_else(|| "on".to_owned(), |to| format!("to {}", minute(to)));
    format!("{manager}, {list}, from {} {to}", minute(*from))
}

fn holder(holder: &Holder) -> HolderRow {
    let key = &holder.record.key;
    let excess: Vec<&str> = key.excesses(None).into_iter().map(Excess::as_str).collect();
    HolderRow {
        key: key.public_key.clone(),
        manager: holder.manager.to_string(),
        description: if holder.own { "rekeyd itself".to_owned() } else { key.description.clone() },
        can: if key.power() == Power::Rotates { "rotate" } else { "give itself the role" },
        roles: roles(key),
        since: minute(holder.record.first_seen),
        excess: excess.join(", "),
    }
}

fn news(news: &News) -> NewsRow {
    NewsRow {
        at: minute(news.at),
        what: match news.what {
            "listed_first" => "listed first",
            "roles_changed" => "roles changed",
            other => other,
        },
        key: news.key.public_key.clone(),
        manager: news.manager.to_string(),
        roles: if news.what == "removed" { "none: it is gone".to_owned() } else { roles(&news.key) },
    }
}

/// Those that reach a rotation.
fn roles(key: &ApiKey) -> String {
    let powerful = key.grants.iter().filter(|grant| grant.power() >= Power::Grants);
    let roles: Vec<String> = powerful.map(ToString::to_string).collect();
    match roles.as_slice() {
        [] => "none that can".to_owned(),
        [one] => one.clone(),
        [one, more @ ..] => format!("{one} and {} more", more.len()),
    }
}

/// The policies that governed a target in the period.
fn in_force(evidence: &Evidence) -> Vec<PolicyRow> {
    let shown = evidence.policies.iter().filter(|story| story.targets > 0);
    shown
        .map(|story| PolicyRow {
            name: story.name.to_string(),
            targets: story.targets,
            since: minute(story.since),
            words: story.words.clone(),
        })
        .collect()
}

/// The overruns first, then what was not read or not proved; the longest first.
fn findings(evidence: &Evidence) -> (Vec<Finding>, usize) {
    let mut all = Vec::new();
    for story in &evidence.targets {
        for stretch in &story.stretches {
            if matches!(stretch.class, Class::Overrun | Class::Unread | Class::Unproved) {
                all.push((stretch, story.record.target.name().to_string()));
            }
        }
    }
    all.sort_by_key(|(stretch, name)| {
        let length = stretch.to.duration_since(stretch.from);
        (std::cmp::Reverse((stretch.class, length)), name.clone())
    });
    let more = all.len().saturating_sub(FINDINGS);
    let shown = all.into_iter().take(FINDINGS).map(|(stretch, name)| Finding {
        name,
        class: stretch.class.word(),
        from: minute(stretch.from),
        to: minute(stretch.to),
        about: stretch.about.clone(),
    });
    (shown.collect(), more)
}

/// Why targets were left out, and how many of them for each reason.
fn left_out(evidence: &Evidence) -> Vec<(String, usize)> {
    let mut reasons = std::collections::BTreeMap::<String, std::collections::BTreeSet<String>>::new();
    for story in &evidence.targets {
        for stretch in story.stretches.iter().filter(|stretch| stretch.class == Class::LeftOut) {
            reasons.entry(stretch.about.clone()).or_default().insert(story.record.target.id().to_string());
        }
    }
    reasons.into_iter().map(|(reason, targets)| (reason, targets.len())).collect()
}

/// The longest first.
fn unlisted(evidence: &Evidence) -> Vec<String> {
    let mut all: Vec<&Unlisted> = evidence.unlisted.iter().collect();
    all.sort_by_key(|one| std::cmp::Reverse(one.to.duration_since(one.from)));
    let words = |Unlisted { name, from, to, why }: &Unlisted| {
        format!("{name} from {} to {}, {why}", minute(*from), minute(*to))
    };
    all.into_iter().take(HOLDERS).map(words).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A bad day among a hundred thousand is seen, and a whole is said of nothing less.
    #[test]
    fn a_share_is_rounded_to_the_worse() {
        assert_eq!(share(Class::Within, 364_990, 365_000), "99.99");
        assert_eq!(share(Class::Overrun, 10, 365_000), "0.01");
        assert_eq!((share(Class::Within, 365, 365), share(Class::Unread, 0, 365)), ("100.00".into(), "0.00".into()));
        assert_eq!((share(Class::NotThere, 365, 0), share(Class::Within, 0, 0)), (String::new(), "0.00".into()));
    }
}
