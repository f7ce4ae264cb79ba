//! Freezes that are ordered: they hold, they end by themselves or by order, and two operators are one after the other.

use rekeyd::control::{Client, FreezeOrder, Reasoned, ThawOrder};
use rekeyd::domain::Event;
use rekeyd::simulator::{FleetSpec, Simulator, SimulatorSpec};

use super::accounts::{settled, verified};
use super::orders::{assert_is_me, records, succeeded};
use super::site::{Site, Wanted, until};

const CONFIGURED: &str = r#"
[[freeze]]
name = "books"
reason = "CHG-0"
start = 2020-01-01
end = 2090-01-01
scope = "apac/*"
"#;

async fn site() -> (Simulator, Site) {
    let simulator = Simulator::start(SimulatorSpec { fleet: FleetSpec::uniform(4), ..SimulatorSpec::default() });
    let simulator = simulator.await.unwrap();
    let site = Site::new(&Wanted::of(&simulator));
    let text = std::fs::read_to_string(site.config()).unwrap();
    site.configure(&format!("{text}{CONFIGURED}"));
    (simulator, site)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_freeze_by_order_holds_and_ends_by_itself() {
    let (simulator, site) = site().await;
    simulator.set_down(true);
    let daemon = site.start();
    let ordered = site.ask(&["freeze", "emea/*", "--name", "audit", "--reason", "CHG-1: audit", "--for", "8s"]);
    succeeded(&ordered);
    assert!(ordered.out.contains("CHG-1: audit") && ordered.out.contains("books"), "{ordered:?}");
    simulator.set_down(false);
    let reason = || site.json(&["plan"]).first().and_then(|plan| plan["reason"].as_str().map(str::to_owned));
    let held = || {
        site.reader().fleet().is_ok_and(|fleet| fleet.targets.len() == 4)
            && reason().is_some_and(|reason| reason.starts_with("held by freeze audit until"))
    };
    until("they are held", || (held() || !simulator.truth().puts.is_empty()).then_some(())).unwrap();
    let ordered = site.reader().fleet().unwrap().freezes["audit"].clone();
    assert_is_me(&ordered.by);
    assert!(site.ask(&["status"]).out.contains("freeze audit of emea/*, "));
    assert!(site.ask(&["config", "show"]).out.contains("\n# Freeze audit, ordered by "));
    settled(&site, &simulator, 4);
    until("its end is on record", || (!records(&site, "freeze_ended").is_empty()).then_some(())).unwrap();
    let sent = records(&site, "rotation_sending");
    assert!(sent.iter().all(|(record, _)| record.at >= ordered.freeze.span.end), "sent in spite of the freeze");
    assert_eq!(records(&site, "freeze_ended")[0].0.actor, "daemon");
    let held = records(&site, "slot_held");
    let by_it = |event: &Event| matches!(event, Event::SlotHeld { freeze, .. } if freeze == "audit");
    assert!(held.len() == 4 && held.iter().all(|(_, event)| by_it(event)), "{held:?}");
    let mistyped = site.ask(&["freeze", "emae/*", "--name", "typo", "--reason", "CHG-2", "--for", "1d"]);
    assert!(mistyped.code == Some(3) && mistyped.err.contains("the one most like it is emea/"), "{mistyped:?}");
    daemon.stop();
    verified(&site);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_freeze_is_ended_by_order_and_its_name_is_its_own() {
    let (simulator, site) = site().await;
    let _daemon = site.start();
    settled(&site, &simulator, 4);
    let freeze = |name: &str, more: &[&str]| {
        site.ask(&[&["freeze", "emea/*", "--name", name, "--reason", "CHG-1"], more].concat())
    };
    let thaw = |name: &str| site.ask(&["thaw", name, "--reason", "CHG-2"]);
    succeeded(&freeze("audit", &["--for", "1h"]));
    for (name, more, complaint) in [
        ("audit", &["--for", "2h"][..], "a freeze named audit stands by order of "),
        ("books", &["--for", "1h"], "a freeze named books stands in the configuration, of apac/*"),
        ("Audit 2", &["--for", "1h"], "the name must consist of"),
        ("long", &["--for", "400d"], "takes no longer than one"),
        ("past", &["--until", "2020-01-01"], "in the future"),
    ] {
        let refused = freeze(name, more);
        assert!(refused.code == Some(1) && refused.err.contains(complaint), "{refused:?}");
    }
    // A freeze ends by itself: nobody can order one that does not.
    assert_eq!(freeze("endless", &[]).code, Some(2));
    assert!(thaw("books").err.contains("in the configuration; take it out there"));
    assert!(thaw("nobody").err.contains("no freeze named"));

    let held = site.ask(&["rotate", "emea/*", "--yes", "--reason", "CHG-3"]);
    assert!(held.code == Some(3) && held.out.contains("held"), "{held:?}");
    succeeded(&freeze("later", &["--from", "1h", "--for", "1h"]));
    succeeded(&thaw("later"));
    assert!(!site.reader().fleet().unwrap().freezes.contains_key("later"), "what never began leaves nothing behind");
    assert_eq!(simulator.truth().changes.len(), 4);
    succeeded(&thaw("audit"));
    until("they are rotated", || (simulator.truth().changes.len() == 8).then_some(())).unwrap();
    let ended = records(&site, "freeze_ended");
    let [_, (_, Event::FreezeEnded { reason: Some(reason), by: Some(by), .. })] = &ended[..] else {
        panic!("{ended:?}")
    };
    assert_eq!(reason, "CHG-2");
    assert_is_me(by);
    // What it held would pass for missed, had its name another span now.
    let again = freeze("audit", &["--for", "1h"]);
    assert!(again.code == Some(1) && again.err.contains("was ordered before"), "{again:?}");
    verified(&site);
}

/// Twenty who order a freeze of one name at once: one has it, and the others are told so.
#[tokio::test(flavor = "multi_thread")]
async fn ordered_and_ended_by_many_at_once_it_is_one() {
    let (_simulator, site) = site().await;
    let _daemon = site.start();
    let socket = site.state().join("control.sock");
    let mut orders = tokio::task::JoinSet::new();
    for number in 0..20 {
        let (socket, scope) = (socket.clone(), format!("emea/{number}"));
        let end = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(1);
        let order = FreezeOrder { name: "audit".to_owned(), scope, start: None, end };
        let order = Reasoned { reason: "CHG".to_owned(), login: None, order };
        orders.spawn(async move { Client::new(&socket).unwrap().order(&order).await.is_ok() });
    }
    assert_eq!(orders.join_all().await.into_iter().filter(|taken| *taken).count(), 1);
    let mut orders = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let socket = socket.clone();
        let order = ThawOrder { name: "audit".to_owned() };
        let order = Reasoned { reason: "CHG".to_owned(), login: None, order };
        orders.spawn(async move { Client::new(&socket).unwrap().order(&order).await.is_ok() });
    }
    assert!(orders.join_all().await.contains(&true));
    assert_eq!(records(&site, "freeze_set").len(), 1);
    verified(&site);
}
