//! What the documents say is what there is: metrics, commands, routes, alerts, rooms, and the configurations they show.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use rekeyd::app::Daemon;
use rekeyd::config::{self, Environment};
use rekeyd::domain::AlertKind;
use rekeyd::http::ROUTES;
use rekeyd::ports::Clock;
use rekeyd::simulator::{Simulator, SimulatorSpec};

use crate::far_end::real_clock;
use crate::house::MAY_USE;

/// Long enough for a loaded machine; nothing waits for it when all is well.
const PATIENCE: Duration = Duration::from_secs(60);

fn document(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

/// The rows of the table whose first heading is `heading`, as their cells.
fn table(text: &str, heading: &str) -> Vec<Vec<String>> {
    let start = format!("| {heading} |");
    let rows = text.lines().skip_while(|line| !line.starts_with(&start)).skip(2);
    let rows: Vec<_> = rows
        .take_while(|line| line.starts_with('|'))
        .map(|line| line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect())
        .collect();
    assert!(!rows.is_empty(), "there is no table {heading:?}");
    rows
}

/// What stands between backquotes in a cell.
fn code(cell: &str) -> BTreeSet<String> {
    cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// The fenced blocks of a language, without what indents them.
fn blocks(text: &str, language: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let fence = line.trim_start();
        let indent = line.len() - fence.len();
        if fence.strip_prefix("```") == Some(language) {
            let block = lines.by_ref().take_while(|line| line.trim_start() != "```");
            blocks.push(block.map(|line| line.get(indent..).unwrap_or_default().to_owned() + "\n").collect());
        }
    }
    blocks
}

/// The script that ARCHITECTURE.md gives to strangers.
pub(crate) fn verification_script() -> String {
    let mut scripts = blocks(&document("ARCHITECTURE.md"), "python");
    assert_eq!(scripts.len(), 1, "one script");
    scripts.remove(0)
}

fn rekeyd(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_rekeyd")).args(arguments).output().unwrap()
}

/// The commands that a help text lists, but for `help` itself.
fn listed(help: &str) -> Vec<String> {
    let lines = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let names = lines.take_while(|line| !line.is_empty()).filter_map(|line| line.split_whitespace().next());
    names.filter(|name| *name != "help").map(str::to_owned).collect()
}

fn help(command: &[&str]) -> String {
    let output = rekeyd(&[command, &["--help"]].concat());
    assert!(output.status.success(), "{command:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_readme_has_every_command_and_no_other() {
    let mut commands = BTreeSet::new();
    for name in listed(&help(&[])) {
        let inner = listed(&help(&[&name]));
        if inner.is_empty() {
            commands.insert(format!("rekeyd {name}"));
        }
        commands.extend(inner.iter().map(|inner| format!("rekeyd {name} {inner}")));
    }
    let readme = table(&document("README.md"), "command");
    let told: BTreeSet<_> = readme.iter().flat_map(|row| code(&row[0])).collect();
    assert_eq!(told, commands);
}

#[test]
fn the_readme_has_every_route_and_no_other() {
    let readme = table(&document("README.md"), "route");
    let told: BTreeSet<_> = readme.iter().flat_map(|row| code(&row[0])).collect();
    assert_eq!(told, ROUTES.iter().map(|route| (*route).to_owned()).collect());
}

#[test]
fn the_readme_has_every_alert_and_no_other() {
    let readme = table(&document("README.md"), "alert");
    let told: BTreeSet<_> = readme.iter().map(|row| (code(&row[0]), row[1].clone())).collect();
    let severity = |kind| rekeyd::alerts::Severity::of(kind).as_str().to_owned();
    let real = AlertKind::ALL.iter().map(|kind| (BTreeSet::from([kind.as_str().to_owned()]), severity(*kind)));
    assert_eq!(told, real.collect());
}

/// The arguments of every command of ours that a text shows between backquotes, as a shell would split them.
fn shown_commands(text: &str) -> Vec<Vec<String>> {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let spans = text.split('`').skip(1).step_by(2);
    let commands = spans.filter_map(|span| {
        let words: Vec<_> = span.split(' ').map(|word| word.trim_matches('\'').to_owned()).collect();
        let ours = ["rekeyd", "sudo"].contains(&words[0].as_str());
        let program = words.iter().rposition(|word| word == "rekeyd").filter(|_| ours)?;
        Some(words[program + 1..].to_vec()).filter(|arguments| !arguments.is_empty())
    });
    commands.collect()
}

/// At three in the morning a command is typed as it stands. Without a configuration each ends, one that no command line reads
/// as wrong usage. And what is to be looked at changes nothing.
#[test]
fn the_commands_of_the_runbook_can_be_typed() {
    const READ: [&str; 6] = ["status", "plan", "history", "check", "keys", "audit"];
    let runbook = document("docs/runbook.md");
    let commands = shown_commands(&runbook);
    assert!(commands.len() > 30, "{commands:?}");
    for arguments in commands.iter().collect::<BTreeSet<_>>() {
        let nowhere = ["--config".to_owned(), "/nowhere/rekeyd.toml".to_owned()];
        let output = Command::new(env!("CARGO_BIN_EXE_rekeyd")).args(arguments).args(nowhere).output().unwrap();
        assert_eq!(output.status.code(), Some(78), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
    for paragraph in runbook.split("\n\n").filter(|paragraph| paragraph.starts_with("**Look at**")) {
        for arguments in shown_commands(paragraph) {
            assert!(READ.contains(&arguments[0].as_str()), "{arguments:?} does not only read");
        }
    }
}

/// Whoever copies a configuration from the README must not be told that it is wrong.
#[test]
fn the_configurations_in_the_readme_are_right() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("rekeyd.toml");
    let configurations = blocks(&document("README.md"), "toml");
    assert_eq!(configurations.len(), 3);
    for text in configurations {
        fs::write(&path, &text).unwrap();
        let output = rekeyd(&["--config", path.to_str().unwrap(), "config", "show"]);
        assert!(output.status.success(), "{}\n{text}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn the_code_map_is_the_table_that_is_held() {
    let told: BTreeMap<_, _> =
        table(&document("ARCHITECTURE.md"), "room").iter().map(|row| (code(&row[0]), code(&row[2]))).collect();
    let texts = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<BTreeSet<_>>();
    let held = MAY_USE.iter().map(|(room, may_use)| (texts(&[*room]), texts(may_use))).collect();
    assert_eq!(told, held);
}

/// Links between the documents, and to files, lead somewhere.
#[test]
fn relative_links_lead_to_files() {
    for name in ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md"] {
        let text = document(name);
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            if file.contains("://") {
                continue;
            }
            let target = document(if file.is_empty() { name } else { file });
            let anchors: Vec<_> = target.lines().filter(|line| line.starts_with('#')).map(anchor_of).collect();
            assert!(anchor.is_empty() || anchors.iter().any(|other| other == anchor), "{name}: {link}");
        }
    }
}

/// Whoever installed the package has what its documents name, but for tests and licences, which Debian keeps elsewhere.
#[test]
fn the_package_has_what_its_documents_name() {
    let manifest = document("Cargo.toml");
    let packaged = |path: &str| {
        let folder = path.rsplit_once('/').map_or(String::new(), |(folder, _)| format!("{folder}/"));
        let as_it_is = manifest.contains(&format!("usr/share/doc/rekeyd/{path}"));
        as_it_is || (!folder.is_empty() && manifest.contains(&format!("\"usr/share/doc/rekeyd/{folder}\"")))
    };
    for name in ["README.md", "docs/runbook.md"] {
        let text = document(name);
        for link in text.split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next()) {
            let elsewhere =
                link.is_empty() || link.contains(':') || link.starts_with("tests/") || link.starts_with("LICENSE");
            assert!(elsewhere || packaged(link), "{name} names {link}, which is not in the package");
        }
    }
}

/// As the usual hosts make it from a heading.
fn anchor_of(heading: &str) -> String {
    let words = heading.trim_start_matches('#').trim().to_lowercase();
    words.replace(' ', "-").chars().filter(|c| c.is_alphanumeric() || matches!(c, '-' | '_')).collect()
}

/// Every family of a scrape, with the names of its labels; `le` belongs to a histogram's form.
fn families(scrape: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut families: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for line in scrape.lines() {
        if let Some(name) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split(' ').next()) {
            families.entry(name.to_owned()).or_default();
        }
        let Some((name, rest)) = line.split_once('{').filter(|_| !line.starts_with('#')) else { continue };
        let family =
            ["_bucket", "_sum", "_count"].iter().find_map(|end| families.get_key_value(name.strip_suffix(end)?));
        let family = family.map_or(name, |(family, _)| family).to_owned();
        let labels = rest.split("=\"").filter_map(|part| part.rsplit(['{', ',', '"']).next());
        let labels = labels.filter(|label| !label.is_empty() && !label.contains(['}', ' ']) && *label != "le");
        families.entry(family).or_default().extend(labels.map(str::to_owned));
    }
    families
}

/// The README's table of metrics against scrapes of the real daemon, which has rotations done and one in hand.
#[tokio::test(flavor = "multi_thread")]
async fn the_readme_has_every_metric_and_no_other() {
    let simulator = Simulator::start(SimulatorSpec {
        faults: vec!["never-changes:billing/invoices/*:1".parse().unwrap()],
        ..SimulatorSpec::default()
    })
    .await
    .unwrap();
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().display();
    let (url, login) = (simulator.url(), simulator.credentials());
    let text = format!(
        r#"
        version = 1
        state_dir = "{folder}/state"
        [http]
        listen = "127.0.0.1:0"
        [policy.default]
        first_rotation = "now"
        [[ops_manager]]
        name = "emea"
        url = "{url}"
        public_key = "{}"
        private_key = {{ file = "{folder}/key" }}
        [[webhook]]
        name = "oncall"
        url = "http://127.0.0.1:9/"
        "#,
        login.public_key
    );
    fs::write(dir.path().join("rekeyd.toml"), text).unwrap();
    fs::write(dir.path().join("key"), &login.private_key).unwrap();
    fs::set_permissions(dir.path().join("key"), std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let config = config::load(&dir.path().join("rekeyd.toml"), &Environment::default()).unwrap();
    let daemon = Daemon::start(&config, rekeyd::app::Extras::default()).await.unwrap();

    let told: BTreeMap<_, _> = table(&document("README.md"), "metric")
        .iter()
        .map(|row| (code(&row[0]).into_iter().next().unwrap(), code(&row[1])))
        .collect();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let clock = real_clock();
    let mut missing: BTreeSet<_> = told.keys().collect();
    while !missing.is_empty() {
        let reply = client.get(format!("http://{}/metrics", daemon.address())).send().await.unwrap();
        let scraped = families(&reply.text().await.unwrap());
        let wrong: BTreeMap<_, _> = scraped
            .iter()
            .filter(|(name, labels)| name.starts_with("rekeyd_") && told.get(*name) != Some(*labels))
            .collect();
        assert!(wrong.is_empty(), "the README does not have these, or with other labels: {wrong:?}");
        missing.retain(|name| !scraped.contains_key(*name));
        assert!(clock.monotonic() < PATIENCE, "the README has these, and no scrape has: {missing:?}");
        clock.sleep(Duration::from_millis(50)).await;
    }
    // Dropped, not stopped: the rotation in hand would take its grace.
    drop(daemon);
}

/// The measurements that the documents tell people to make are there, and find the places that they write into.
#[test]
fn the_benches_that_the_documents_name_exist() {
    let manifest: toml::Table = document("Cargo.toml").parse().unwrap();
    let benches = manifest["bench"].as_array().unwrap().iter();
    let benches: BTreeSet<_> = benches.map(|bench| bench["name"].as_str().unwrap()).collect();
    let documents = ["README.md", "CONTRIBUTING.md", "docs/performance.md"].map(document);
    let named = documents.iter().flat_map(|text| text.split("cargo bench --bench ").skip(1));
    let named: BTreeSet<_> = named.filter_map(|rest| rest.split([' ', '\n', '`']).next()).collect();
    assert!(named.contains("rekey"), "{named:?}");
    assert!(named.is_subset(&benches), "{named:?} are named, and there are {benches:?}");
    for part in ["rotate", "rest"] {
        for mark in ["begin", "end"] {
            assert_eq!(documents[2].matches(&format!("<!-- {part}: {mark} -->\n")).count(), 1, "{part}: {mark}");
        }
    }
}
