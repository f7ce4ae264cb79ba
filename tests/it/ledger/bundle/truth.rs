//! What a bundle must not leave out, nor claim without proof.

use super::*;

/// A report of other days than a whole year.
fn report_of(dir: &Path, name: &str, from: &str, to: &str) -> (PathBuf, String) {
    let path = dir.join(name);
    let output = export_of(dir, &path, from, to);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report = std::fs::read_to_string(path.join("report.html")).unwrap();
    (path, report)
}

fn changed(target: &Target, change: KeyChange, before: &str, after: &str, dates: [f64; 3]) -> Event {
    let [not_before, first_seen, last_seen] = dates.map(day);
    Event::KeyChanged {
        target: target.id(),
        change,
        before: before.into(),
        after: after.into(),
        last_seen,
        not_before: Some(not_before),
        first_seen,
        suspect: None,
        looked_at: None,
    }
}

fn days_of(bundle: &Path, class: &str) -> u64 {
    lines(bundle, "coverage.jsonl")[0][class].as_u64().unwrap()
}

/// A key of January that comes back in May is a matter of May: of the quarter in which it came back, and drawn there. From when
/// its successor was last seen on, it may have been in use.
#[tokio::test]
async fn a_regression_is_told_of_the_day_on_which_the_key_came_back() {
    let target = member("mail", "rs0");
    let dir = written(life(&target, 0.0, 30.0, 100.0)).await;
    let back = changed(&target, KeyChange::Regression, "mail-rs0-4", "mail-rs0-1", [1.0, 1.0003, 110.0]);
    append(dir.path(), vec![told(120.0, back)]).await;
    // Found before midnight, and recorded after it.
    let midnight = 181.0;
    let found = [midnight - 1e-7, midnight - 1e-7, midnight - 1e-7];
    let foreign = changed(&target, KeyChange::Foreign, "mail-rs0-1", "someone-elses", found);
    append(dir.path(), vec![told(midnight + 1e-7, foreign)]).await;

    let counts = |report: &str| {
        let number = |words: &str| report.split(words).nth(1).unwrap().split('.').next().unwrap().trim().to_owned();
        (number("Returns to an earlier key:"), number("Keys that somebody else brought:"))
    };
    let (_, first) = report_of(dir.path(), "first", "2025-01-01", "2025-03-31");
    let (bundle, second) = report_of(dir.path(), "second", "2025-04-01", "2025-06-30");
    let (_, third) = report_of(dir.path(), "third", "2025-07-01", "2025-09-30");
    let expected = [("0", "0"), ("1", "0"), ("0", "1")].map(|(one, other)| (one.to_owned(), other.to_owned()));
    assert_eq!([counts(&first), counts(&second), counts(&third)], expected);
    // The first third of the quarter's picture, which begins behind the names.
    let x = 250.0 + 750.0 * (120.0 - 90.0) / 91.0;
    assert!(second.contains(&format!("<line class=\"strange\" x1=\"{x:.1}\"")), "{second}");
    // It was 90 days old on day 91, so it is too old from day 110 on.
    assert_eq!((days_of(&bundle, "within"), days_of(&bundle, "overrun")), (20, 71));
}

/// A target that was excluded was not rotated by anybody's order. An earlier key that is found when it is listed again makes
/// no overrun of that time, and hides no reason.
#[tokio::test]
async fn a_regression_takes_no_exclusion_back() {
    let target = member("mail", "rs0");
    let listed = |on, listing| told(on, Event::TargetChanged { description: target.clone(), listing });
    let excluded = listed(100.0, Listing::Excluded { pattern: "mail".into() });
    let back = changed(&target, KeyChange::Regression, "mail-rs0-1", "mail-rs0-0", [1.0, 80.01, 99.9]);
    let story = life(&target, 80.0, 400.0, 90.0).into_iter();
    let story = story.chain([excluded, listed(130.0, Listing::Eligible), told(130.1, back), told(140.0, booted())]);
    let dir = written(story.collect()).await;
    let (bundle, report) = report_of(dir.path(), "bundle", "2025-04-01", "2025-05-20");
    let days = ["within", "left_out", "overrun"].map(|class| days_of(&bundle, class));
    assert_eq!(days, [10, 30, 10], "{}", lines(&bundle, "coverage.jsonl")[0]);
    assert!(report.contains("Left out, excluded by"), "{report}");
}

/// Bundles of periods that follow on each other join: each names the records on both sides of it.
#[tokio::test]
async fn bundles_that_follow_on_each_other_join() {
    let dir = written(life(&member("mail", "rs0"), 0.0, 30.0, 364.0)).await;
    let (one, report) = report_of(dir.path(), "one", "2025-01-01", "2025-06-30");
    let (other, next) = report_of(dir.path(), "other", "2025-07-01", "2025-12-31");
    let (one, other) = (lines(&one, "ledger.jsonl"), lines(&other, "ledger.jsonl"));
    let (last, first) = (one.last().unwrap(), &other[0]);
    assert_eq!(
        (last["seq"].as_u64().unwrap() + 1, &last["hash"]),
        (first["seq"].as_u64().unwrap(), &first["prev_hash"])
    );
    assert!(report.contains(&format!("the next one begins with record {}", first["seq"])), "{report}");
    assert!(next.contains(&format!("the period before ends with record {}", last["seq"])), "{next}");
}

/// A month in which nobody looked is not proved by the records of that month. When the same key is seen again it is; when an
/// earlier one is found in its place, that one counts from when the other was last seen.
#[tokio::test]
async fn a_month_in_which_nobody_looked_is_not_proved() {
    let target = member("mail", "rs0");
    // Keys of day 1 and 146; stopped on the first of June, started on the first of July.
    let story = || {
        let stopped = told(151.0, Event::DaemonStopped { parked: 0 });
        life(&target, 0.0, 145.0, 150.0).into_iter().chain([stopped, told(181.0, booted())])
    };
    let back = changed(&target, KeyChange::Regression, "mail-rs0-2", "mail-rs0-1", [1.0, 1.0003, 151.0]);
    for (found, within, overrun) in [(booted(), 30, 0), (back, 0, 30)] {
        let dir = written(story().chain([told(181.01, found), told(190.0, booted())]).collect()).await;
        let (june, report) = report_of(dir.path(), "june", "2025-06-01", "2025-06-30");
        assert_eq!((days_of(&june, "unproved"), days_of(&june, "within")), (30, 0));
        assert_eq!(lines(&june, "gaps.jsonl")[0]["about"], "not seen: rekeyd did not run");
        assert!(report.contains("<code>not seen: rekeyd did not run</code>"), "{report}");
        let (later, _) = report_of(dir.path(), "later", "2025-06-01", "2025-07-20");
        let june: Vec<_> = ["within", "overrun"].into_iter().map(|class| days_of(&later, class)).collect();
        // And the 20 days of July.
        assert_eq!(june, [within * 5 / 3, overrun * 5 / 3]);
    }
}

/// Of a list that was closed for months nothing is known for these months, although it can be read again at the end.
#[tokio::test]
async fn a_list_that_was_closed_in_between_is_not_said_to_have_been_read() {
    let list = |project: &str| Reach::Project(project.into());
    let read = |project| Event::ApiKeysRead { manager: "emea".into(), list: list(project) };
    let closed = |project| Event::ApiKeysUnread {
        manager: "emea".into(),
        list: list(project),
        failure: failure(Reason::RoleMissing),
    };
    let open = vec![told(-300.0, read("60")), told(-300.0, read("61"))];
    let dir = written(open.clone()).await;
    let (_, report) = report_of(dir.path(), "open", "2025-01-01", "2025-12-31");
    assert!(report.contains("All 2 lists were read.") && report.contains("No change was seen"), "{report}");

    let more = [
        told(-20.0, closed("61")),
        told(10.0, read("61")),
        told(31.0, closed("60")),
        told(40.0, closed("60")),
        told(333.0, read("60")),
        told(100.0, read("62")),
        told(200.0, closed("62")),
    ];
    let dir = written(open.into_iter().chain(more).collect()).await;
    let (bundle, report) = report_of(dir.path(), "closed", "2025-01-01", "2025-12-31");
    let told = "was not read:</b> emea, project 61, from 2025-01-01 00:00 to 2025-01-11 00:00; \
         emea, project 60, from 2025-02-01 00:00 to 2025-11-30 00:00; \
         emea, project 62, from 2025-01-01 00:00 to 2025-04-11 00:00; \
         emea, project 62, from 2025-07-20 00:00 on.";
    assert!(report.contains(told) && report.contains("No change was seen"), "{report}");
    let rows = lines(&bundle, "api_keys.jsonl");
    assert_eq!((&rows[0]["is"], &rows[0]["at"]), (&"list_closed".into(), &"2025-01-01T00:00:00Z".into()), "{rows:?}");
}

/// A manager that never answered, a project that could not be read, a cluster without its config servers, and the daemon itself:
/// of what was there only then there is no row, and whoever reads is told so.
#[tokio::test]
async fn what_could_not_be_listed_is_told() {
    let failing = |manager: &str| Event::ManagerFailing { manager: manager.into(), failure: failure(Reason::TimedOut) };
    let answering = |manager: &str| Event::ManagerAnswering { manager: manager.into() };
    let gap = || Gap { project_id: "5f".into(), project: "billing".to_owned(), cluster: "sharded1".to_owned() };
    let project = || "secret-payments".to_owned();
    let (manager, failure) = (|| "emea".into(), failure(Reason::NotFound));
    let more = [
        (-90.0, failing("latam")),
        (-80.0, answering("latam")),
        (-20.0, failing("apac")),
        (-5.0, Event::GapFound { manager: manager(), gap: gap() }),
        (31.0, Event::ProjectUnread { manager: manager(), project: project(), failure }),
        (40.0, Event::GapClosed { manager: manager(), gap: gap() }),
        (59.0, Event::ProjectRead { manager: manager(), project: project() }),
        (100.0, Event::DaemonStopped { parked: 0 }),
        (105.0, Event::TargetRearmed { target: member("mail", "rs0").id(), reason: "CHG-1".to_owned(), by: None }),
        (110.0, booted()),
        // It died after the rotation of day 151.
        (160.0, booted()),
    ];
    let told = more.map(|(on, event)| told(on, event));
    let dir = written(life(&member("mail", "rs0"), -60.0, 30.0, 364.0).into_iter().chain(told).collect()).await;
    let (bundle, report) = report_of(dir.path(), "bundle", "2025-01-01", "2025-12-31");
    let rows = lines(&bundle, "gaps.jsonl");
    let rows: Vec<String> = rows
        .iter()
        .map(|row| ["class", "name", "from", "to", "about"].map(|name| row[name].as_str().unwrap()).join(" "))
        .collect();
    let died = rows.last().map_or("", |row| row);
    assert!(
        died.starts_with("unlisted * 2025-06-01T00:00:25") && died.contains(" 2025-06-10T00:00:00Z rekeyd"),
        "{died}"
    );
    let expected = [
        "unlisted apac/* 2025-01-01T00:00:00Z 2026-01-01T00:00:00Z the manager did not answer",
        "unlisted emea/billing/sharded1/* 2025-01-01T00:00:00Z 2025-02-10T00:00:00Z a sharded cluster was listed without config servers",
        "unlisted emea/secret-payments/* 2025-02-01T00:00:00Z 2025-03-01T00:00:00Z the project could not be listed",
        "unlisted * 2025-04-11T00:00:00Z 2025-04-21T00:00:00Z rekeyd did not run",
    ];
    assert_eq!(rows[..rows.len() - 1], expected);
    for told in
        ["apac/* from 2025-01-01 00:00 to 2026-01-01 00:00, the manager", "emea/secret-payments/* from 2025-02-01"]
    {
        assert!(report.contains(told), "{told}");
    }
    assert!(!report.contains("Nothing: no key"), "{report}");

    // Before its first record nothing was, and a period in good order has no such row.
    let (year, _) = report_of(dir.path(), "former", "2023-01-01", "2023-12-31");
    assert_eq!(lines(&year, "gaps.jsonl")[0]["name"], "*");
    let dir = written(life(&member("mail", "rs0"), -60.0, 30.0, 364.0)).await;
    let (year, report) = report_of(dir.path(), "good", "2025-01-01", "2025-12-31");
    assert!(lines(&year, "gaps.jsonl").is_empty() && report.contains("Nothing: no key"), "{report}");
}

/// Nothing records that a policy was taken out of the configuration. One that governs no target is not said to be in force.
#[tokio::test]
async fn a_policy_without_targets_is_not_in_force() {
    let governed = |on, policy: &str| {
        let governance = Some(Governance { policy: policy.into(), alert_after: Period::days(90) });
        told(on, Event::TargetGoverned { target: member("mail", "rs0").id(), governance })
    };
    let set =
        |on, policy: &str, words: &str| told(on, Event::PolicySet { policy: policy.into(), words: words.to_owned() });
    let mut entries = life(&member("mail", "rs0"), -60.0, 30.0, 364.0);
    entries.extend([
        set(-90.0, "former", "every 1d"),
        set(-90.0, "middle", "every 2d"),
        set(50.0, "middle", "every 3d"),
    ]);
    entries.extend([governed(-59.0, "former"), governed(-10.0, "middle"), governed(60.0, "default")]);
    let dir = written(entries).await;
    let (bundle, report) = report_of(dir.path(), "bundle", "2025-01-01", "2025-12-31");
    let rows = lines(&bundle, "policies.jsonl");
    let told: Vec<_> = rows
        .iter()
        .map(|row| (row["name"].as_str().unwrap(), row["until"].as_str(), row["targets"].as_u64().unwrap()))
        .collect();
    let expected =
        [("default", None, 1), ("former", None, 0), ("middle", Some("2025-02-20T00:00:00Z"), 1), ("middle", None, 1)];
    assert_eq!(told, expected);
    assert!(["every 2d", "every 3d"].iter().all(|words| report.contains(words)), "{report}");
    assert!(!report.contains("every 1d"), "a policy that governs nothing is said to be in force");
}

/// A cluster that was made anew has its old name and another id: whoever reads the tables can tell the two apart, and the
/// picture counts its member once.
#[tokio::test]
async fn a_cluster_that_was_made_anew_is_told_apart() {
    let old = member("mail", "rs0");
    let new = Target { cluster_id: "id-anew".into(), ..old.clone() };
    let mut entries = life(&old, -60.0, 30.0, 20.0);
    entries.push(told(150.0, Event::TargetGone { target: old.id(), listings: 3 }));
    entries.extend(life(&new, 160.0, 90.0, 170.0));
    let dir = written(entries).await;
    let (bundle, report) = report_of(dir.path(), "bundle", "2025-01-01", "2025-12-31");
    for table in ["population.jsonl", "coverage.jsonl", "gaps.jsonl", "keys.jsonl"] {
        let ids: BTreeSet<String> =
            lines(&bundle, table).iter().map(|row| row["target_id"].as_str().unwrap().to_owned()).collect();
        assert_eq!(ids, BTreeSet::from([old.id().to_string(), new.id().to_string()]), "{table}");
    }
    assert!(report.contains(">emea/billing/mail</text>"), "its one member is counted twice");
    let keys = lines(&bundle, "keys.jsonl").iter().filter(|key| key["first_seen"].as_str().unwrap() >= "2025").count();
    assert_eq!(report.matches("<line class=\"came\"").count(), keys);
}
