//! What is told of the daemon's own ledger and configuration.

use super::*;
use crate::ports::{Anchor, Check, Refusal};

/// What is wrong with its own ledger and configuration the daemon tells itself. What is on record of it stands where nothing is
/// known: after a restart, which mends no ledger, and for those who read the record without the daemon.
#[test]
fn what_the_daemon_knows_of_itself_is_told() {
    let own = |world: &World, now: &str| {
        let fired = world.fired(at(now)).into_iter();
        fired.filter(|alert| alert.subject == AlertSubject::Daemon).collect::<Vec<_>>()
    };
    let kinds = |world: &World| own(world, "2026-01-01T00:16:00Z").iter().map(|alert| alert.kind).collect::<Vec<_>>();
    let mut world = World::new();
    let well = Upkeep { check: Check::Whole { records: 14 }, ..Upkeep::default() };
    for upkeep in [None, Some(Upkeep::default()), Some(well.clone())] {
        world.upkeep = upkeep;
        assert_eq!(kinds(&world), []);
    }

    world.upkeep = Some(Upkeep {
        check: Check::Broken { why: "record 14: table rotation".to_owned() },
        anchor: Anchor { failure: Some("/mnt/checkpoints: no space".to_owned()), ..Anchor::default() },
        refused: Some(Refusal::Wrong("error: `every` has no unit\n --> rekeyd.toml:8:9".to_owned())),
    });
    let fired = own(&world, "2026-01-01T00:10:00Z");
    let all = [AlertKind::LedgerBroken, AlertKind::CheckpointBehind, AlertKind::ConfigRefused];
    assert_eq!(fired.iter().map(|alert| alert.kind).collect::<Vec<_>>(), all);
    for (alert, why) in fired.iter().zip(["record 14: table rotation", "no space", "`every` has no unit; the former"]) {
        assert!(alert.words.contains(why) && alert.words.contains("Next: "), "{}", alert.words);
        assert!(!alert.words.contains('\n'), "{}", alert.words);
    }
    // Whoever has a file with nothing wrong in it is not sent to look for what is wrong.
    let next = |world: &World| {
        let refused = own(world, "2026-01-01T00:10:00Z").pop().unwrap().words;
        refused.split_once("Next: ").unwrap().1.to_owned()
    };
    assert!(next(&world).starts_with("mend what `rekeyd check` says"), "{}", next(&world));
    let refused = Some(Refusal::WantsRestart("[http] can only be changed by a restart".to_owned()));
    let former = world.upkeep.replace(Upkeep { refused, ..Upkeep::default() });
    assert!(next(&world).starts_with("restart the daemon"), "{}", next(&world));
    world.upkeep = former;
    for Alert { kind: alert, subject, words, .. } in fired {
        world.tell("2026-01-01T00:10:00Z", Event::AlertRaised { alert, subject, words });
    }
    let told = |now: &str| own(&world, now).into_iter().filter(|alert| has_lasted(alert, at(now))).count();
    assert_eq!((told("2026-01-01T00:14:59Z"), told("2026-01-01T00:15:00Z")), (1, 3));

    world.upkeep = Some(Upkeep::default());
    assert_eq!(
        kinds(&world),
        [AlertKind::LedgerBroken],
        "a restart mends no ledger, and begins with another configuration"
    );
    world.upkeep = None;
    assert_eq!(kinds(&world), all);
    assert!(own(&world, "2026-01-01T00:16:00Z").iter().all(|alert| alert.since == Some(at("2026-01-01T00:10:00Z"))));
    world.upkeep = Some(well);
    assert_eq!(kinds(&world), []);
}
