//! The history of a real daemon, asked for by command and over HTTP while it works: filters, pages, the life of a key.

use std::collections::BTreeSet;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use rekeyd::simulator::{Simulator, SimulatorSpec};
use serde_json::Value;

use super::site::{Running, Site, Wanted, until};

async fn ask(daemon: &Running, path: &str) -> Value {
    let (status, body) = daemon.get(path).await;
    assert_eq!(status, 200, "{path}: {body}");
    serde_json::from_str(&body).unwrap()
}

/// Every row of a listing, page by page.
async fn walk(daemon: &Running, path: &str, rows: &str) -> Vec<Value> {
    let (mut all, mut next) = (Vec::new(), String::new());
    loop {
        let page = ask(daemon, &format!("{path}{next}")).await;
        all.extend(page[rows].as_array().unwrap().clone());
        match page["next"].as_str() {
            Some(cursor) => next = format!("&cursor={cursor}"),
            None => return all,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_found_by_whatever_is_known_of_it() {
    let simulator = Simulator::start(SimulatorSpec {
        faults: vec!["unavailable@put:billing/invoices/*:1".parse().unwrap()],
        ..SimulatorSpec::default()
    })
    .await
    .unwrap();
    let site = Site::new(&Wanted::of(&simulator));
    let daemon = site.start();
    until("a few rotations and a failure", || {
        let history = site.json(&["history"]);
        let count = |state| history.iter().filter(|row| row["state"] == state).count();
        (count("done") >= 3 && count("failed") >= 1).then_some(())
    })
    .unwrap();
    // Pages join without a gap, whatever comes in front meanwhile, and say the same as the command.
    let by_page = walk(&daemon, "/api/v1/rotations?limit=2&state=done&until=2999-01-01", "rotations").await;
    let by_command = site.json(&["history", "--state", "done"]);
    let identity = |row: &Value| format!("{} {}.{}", row["target"], row["slot"], row["attempt"]);
    let (one, other): (BTreeSet<_>, BTreeSet<_>) =
        (by_page.iter().map(identity).collect(), by_command.iter().map(identity).collect());
    assert!(one.is_subset(&other) && one.len() == by_page.len() && one.len() >= 3, "{one:?} {other:?}");

    let failed = ask(&daemon, "/api/v1/rotations?state=failed,unconfirmed&project=billing&actor=schedule").await;
    let failed = failed["rotations"].as_array().unwrap().clone();
    assert!(!failed.is_empty() && failed.iter().all(|row| row["target"].as_str().unwrap().contains("/billing/")));
    // A name that nobody has is no answer, nor is a word that nothing has.
    for (arguments, code, said) in [
        (&["history", "--project", "nobody"][..], 1, "these are: analytics, billing"),
        (&["history", "nobody*"], 1, "no target's name matches"),
        (&["audit", "records", "nobody*"], 1, "no target's name matches"),
        (&["audit", "records", "--kind", "rotation_dune"], 2, "rotation_done"),
        (&["history", "--actor", "no-such-user"], 2, "no user of this machine"),
        (&["history", "--limit", "0"], 2, "0 is not in 1.."),
        (&["history", "--since", "2026-05-02", "--until", "2026-05-01"], 1, "--until is not behind --since"),
    ] {
        let answer = site.ask(arguments);
        assert!(answer.code == Some(code) && answer.out.is_empty() && answer.err.contains(said), "{answer:?}");
    }
    assert!(site.json(&["audit", "records", "--actor", "root"]).is_empty(), "root gave no order yet");

    // A key's life, from the key that a rotation brought.
    let (key, target) = (by_page[0]["key_after"].as_str().unwrap(), &by_page[0]["target"]);
    let life = site.json(&["history", "--key", key]).remove(0);
    assert_eq!((&life["life"][0]["target"], &life["life"][0]["key"]), (target, &Value::from(key)), "{life}");
    assert_eq!(life["rotations"][0]["target"], *target);
    let over_http = ask(&daemon, &format!("/api/v1/rotations?key={key}")).await;
    assert_eq!(over_http["rotations"].as_array().unwrap().len(), life["rotations"].as_array().unwrap().len());
    let shown = site.ask(&["history", "--key", key]).text();
    assert!(shown.contains("in use") && shown.contains(key), "{shown}");

    // The ledger's records come with all that their hashes are made of.
    let started = ask(&daemon, "/api/v1/ledger?kind=daemon_started").await["records"][0].clone();
    assert_eq!((&started["seq"], &started["actor"]), (&1.into(), &"daemon".into()), "{started}");
    let records = walk(&daemon, "/api/v1/ledger?limit=7", "records").await;
    // Newest first by their times; two that wait for one commit can be numbered the other way round.
    let at = |record: &Value| record["at"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    let place = |record: &Value| (at(record), record["seq"].as_u64().unwrap());
    assert!(records.windows(2).all(|pair| place(&pair[0]) > place(&pair[1])));
    let mut seqs: Vec<u64> = records.iter().map(|record| place(record).1).collect();
    seqs.sort_unstable();
    assert!(seqs.iter().copied().eq(1..=records.len() as u64), "{seqs:?}");
    let own = ask(&daemon, &format!("/api/v1/ledger?target={}", target.as_str().unwrap())).await;
    assert!(own["records"].as_array().unwrap().iter().all(|record| record["name"] == *target));

    let csv = site.ask(&["history", "--csv", "--limit", "2"]).out;
    assert!(csv.starts_with("begun_at,target,slot,") && csv.lines().count() == 3, "{csv}");
    let some = ask(&daemon, "/api/v1/targets?target=emea/billing/*").await["targets"].as_array().unwrap().len();
    let planned = ask(&daemon, "/api/v1/plan?target=emea/billing/*").await["plan"].as_array().unwrap().len();
    assert_eq!((some, planned), (7, 7));
    for wrong in [
        "rotations?state=x",
        "rotations?cursor=x",
        "rotations?kind=x",
        "rotations?actor=root",
        "ledger?since=x",
        "ledger?tarhet=x",
        "ledger?kind=x",
        "targets?tarhet=x",
        "plan?tarhet=x",
    ] {
        assert_eq!(daemon.get(&format!("/api/v1/{wrong}")).await.0, 400, "{wrong}");
    }

    // The daemon's own checkpoints hold, while it works and after it; the key that it serves is the one on record.
    let served = ask(&daemon, "/api/v1/ledger/key").await;
    let head = site.json(&["audit", "head"]).remove(0);
    assert_eq!(served["key"], head["key"]);
    let verified = site.json(&["audit", "verify"]).remove(0);
    assert!(verified["checkpoints"].as_u64().unwrap() >= 3, "{verified}");
    let log = daemon.stop();
    assert!(log.contains("checkpoint "), "{log}");
    let verified = site.json(&["audit", "verify"]).remove(0);
    assert_eq!(verified["anchored"], verified["head"]["seq"], "a stop is anchored: {verified}");
}

/// What a time without an offset means: the configured zone's, in the file, for every command and for the routes.
#[tokio::test(flavor = "multi_thread")]
async fn the_same_words_mean_the_same_time_everywhere() {
    let zone = TimeZone::get("Asia/Tokyo").unwrap();
    let local = |hours| (Timestamp::now() + SignedDuration::from_hours(hours)).to_zoned(zone.clone());
    let words = |hours| local(hours).strftime("%Y-%m-%dT%H:%M:%S").to_string();
    let simulator = Simulator::start(SimulatorSpec::default()).await.unwrap();
    let site = Site::new(&Wanted::of(&simulator));
    let text = std::fs::read_to_string(site.config()).unwrap();
    let (start, end) = (words(100), words(102));
    let freeze =
        format!("[[freeze]]\nname = 'file'\nreason = 'CHG-1'\nscope = 'nobody'\nstart = {start}\nend = {end}\n");
    site.configure(&format!("timezone = 'Asia/Tokyo'\n{text}\n{freeze}"));
    let daemon = site.start();

    let order = ["freeze", "nobody", "--name", "order", "--reason", "CHG-1", "--from", &start, "--until", &end];
    assert_eq!(site.ask(&order).code, Some(3), "it stands, and holds nobody");
    let frozen = site.json(&["freeze"]);
    let span = |name: &str| {
        let freeze = frozen.iter().find(|freeze| freeze["name"] == name).unwrap();
        (freeze["start"].clone(), freeze["end"].clone())
    };
    assert_eq!(span("file"), span("order"));
    assert_eq!(site.ask(&["pause", "nobody", "--until", &end, "--reason", "CHG-1"]).code, Some(3));
    assert_eq!(site.json(&["pause"])[0]["until"], span("file").1);

    // The day that is written holds records in each of these; its hours decide.
    let number = |rows: &Value| rows["records"].as_array().unwrap().len();
    for (asked, time, some) in
        [("since", words(-1), true), ("since", words(1), false), ("until", words(-1), false), ("until", words(1), true)]
    {
        let by_route = ask(&daemon, &format!("/api/v1/ledger?kind=daemon_started&{asked}={time}")).await;
        let by_command = site.json(&["audit", "records", "--kind", "daemon_started", &format!("--{asked}"), &time]);
        assert_eq!((number(&by_route), by_command.len()), (some.into(), some.into()), "{asked} {time}");
    }
    let status = async |time: &str| daemon.get(&format!("/api/v1/rotations?since={time}")).await.0;
    assert_eq!((status("2026-05-01").await, status("2026-05-01T06:00:00[Europe/Rome]").await), (200, 400));
    let day_and_hour = site.ask(&["audit", "export", "--from", "2026-05-01T06:00:00", "--to", "2026-05-02"]);
    assert!(day_and_hour.code == Some(2) && day_and_hour.err.contains("not a day"), "{day_and_hour:?}");
}
