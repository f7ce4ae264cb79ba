//! When it is told that targets are gone, of whom, and how long.

use super::*;
use crate::domain::Glob;

/// When the target of the world went.
const WENT: &str = "2026-01-02T00:00:00Z";

/// A second target of the same project.
fn sibling() -> Target {
    Target { cluster_id: "6b".into(), replica_set: "ledger-1".to_owned(), ..target() }
}

/// Two targets of one project, both with a key.
fn two() -> World {
    let mut world = World::with_key();
    let description = sibling();
    world.tell("2026-01-01T00:00:00Z", Event::TargetFound { description, listing: Listing::Eligible });
    world.tell("2026-01-01T00:00:00Z", Event::KeySeen { target: sibling().id(), key: "k".into(), looked_at: None });
    world
}

fn go(world: &mut World, when: &str, target: TargetId) {
    world.tell(when, Event::TargetGone { target, listings: 3 });
}

/// What is told as gone; with the promises that all words keep.
fn gone(world: &World, now: &str) -> Vec<AlertSubject> {
    let first = world.alert(AlertKind::TargetGone, now);
    let fired = world.fired(at(now)).into_iter().filter(|alert| alert.kind == AlertKind::TargetGone);
    let subjects: Vec<_> = fired.map(|alert| alert.subject).collect();
    assert_eq!(first.map(|alert| alert.subject).as_ref(), subjects.first());
    subjects
}

/// A key that nobody looks at any more grows old unseen: somebody is told, and the telling ends by itself.
#[test]
fn a_target_that_went_is_told_for_a_week() {
    let mut world = two();
    go(&mut world, WENT, id());
    let alert = world.alert(AlertKind::TargetGone, "2026-01-05T00:00:00Z").unwrap();
    assert_eq!((alert.severity, alert.since), (Severity::Warning, Some(at(WENT))));
    assert_eq!((&alert.subject, alert.name.as_str()), (&AlertSubject::Target(id()), NAME));
    assert!(alert.words.contains("not listed any more since 2026-01-02T00:00:00Z, for 3d, "), "{}", alert.words);
    assert!(alert.words.contains("neither rotated nor read"), "{}", alert.words);
    assert!(alert.words.ends_with("ends by itself at 2026-01-09T00:00:00Z."), "{}", alert.words);
    assert_eq!(gone(&world, "2026-01-09T00:00:00Z"), [AlertSubject::Target(id())]);
    assert_eq!(gone(&world, "2026-01-09T00:00:00.000001Z"), []);
    world.tell("2026-01-05T00:00:00Z", Event::TargetReturned { target: id() });
    assert_eq!(gone(&world, "2026-01-05T00:00:01Z"), [], "it is listed again");
}

/// A role that is taken away hides a whole project: that is one thing to mend, and one alert.
#[test]
fn a_project_that_went_as_a_whole_is_one_alert() {
    let mut world = two();
    go(&mut world, WENT, id());
    go(&mut world, "2026-01-05T00:00:00Z", sibling().id());
    let project = AlertSubject::Project("emea/5f".to_owned());
    assert_eq!(gone(&world, "2026-01-05T00:00:01Z"), std::slice::from_ref(&project));
    let alert = world.alert(AlertKind::TargetGone, "2026-01-06T00:00:00Z").unwrap();
    assert_eq!((alert.name.as_str(), alert.since), ("emea/billing", Some(at("2026-01-05T00:00:00Z"))));
    assert!(alert.words.contains("nothing of this project is listed any more since 2026-01-05"), "{}", alert.words);
    assert!(alert.words.contains("none of its keys (2) is rotated or read"), "{}", alert.words);
    assert!(alert.words.contains("the API key still has its role in this project"), "{}", alert.words);
    assert_eq!(gone(&world, "2026-01-12T00:00:00Z"), [project], "as long as the last of it is news");
    assert_eq!(gone(&world, "2026-01-12T00:00:00.000001Z"), []);

    // What is listed in a project of another manager, or in another project, is not listed in this one.
    let elsewhere = Target { project_id: "60".into(), ..target() };
    world.tell(WENT, Event::TargetFound { description: elsewhere, listing: Listing::Eligible });
    let description = Target { manager: "apac".into(), ..target() };
    world.tell(WENT, Event::TargetFound { description, listing: Listing::Eligible });
    assert_eq!(gone(&world, "2026-01-06T00:00:00Z").len(), 1);
    // One target that is still listed shows that the project can be, whether it is rotated or not.
    let description = Target { cluster_id: "6c".into(), ..target() };
    world.tell(WENT, Event::TargetFound { description, listing: Listing::NoBackup });
    assert_eq!(
        gone(&world, "2026-01-06T00:00:00Z"),
        [AlertSubject::Target(id()), AlertSubject::Target(sibling().id())]
    );
}

/// Without a key nothing was lost; and what the configuration leaves out was left out on purpose, whenever that was written.
#[test]
fn nothing_is_said_of_what_was_left_out_on_purpose() {
    let now = "2026-01-03T00:00:00Z";
    let mut never = World::new();
    go(&mut never, WENT, id());
    assert_eq!(gone(&never, now), [], "it had no key");

    let excluded = Listing::Excluded { pattern: "ledger*".to_owned() };
    let mut before = World::with_key();
    before.tell("2026-01-01T00:00:00Z", Event::TargetChanged { description: target(), listing: excluded });
    go(&mut before, WENT, id());
    assert_eq!(gone(&before, now), [], "it was excluded before it went");

    let named = |name: &str, exclude: &[&str]| ProjectRules {
        project: ProjectSelector::Name(name.to_owned()),
        policy: None,
        exclude: exclude.iter().map(|glob| Glob::new(glob)).collect(),
    };
    let mut after = World::with_key();
    go(&mut after, WENT, id());
    after.projects = vec![named("billing", &["other*"])];
    assert_eq!(gone(&after, now).len(), 1);
    after.projects = vec![named("billing", &["ledger*"])];
    assert_eq!(gone(&after, now), [], "it is excluded now");
    after.projects = vec![named("payments", &[])];
    assert_eq!(gone(&after, now), [], "its project is not configured any more");
}
