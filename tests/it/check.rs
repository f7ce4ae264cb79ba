//! `check` in every broken situation that we could think of: the right line, the right sentence, the right status, no PUT.

#![allow(clippy::disallowed_methods, reason = "real processes need real time")]

use std::net::TcpListener;
use std::path::Path;
use std::time::{Duration, Instant};

use jiff::SignedDuration;
use jiff::civil::Date;
use rekeyd::simulator::{
    AccessSpec, ApiKeySpec, Challenge, ClusterSpec, ConfigServer, DigestRules, FleetSpec, ProjectSpec, Simulator,
    SimulatorSpec,
};
use serde_json::Value;

use crate::daemon::site::{Site, Wanted};
use crate::delivery::OnCall;
use crate::tls::{Authority, Signed, serve};

/// A check is something that a person waits for.
const LONGEST: Duration = Duration::from_secs(10);

/// One that manages no deployment whose keys are rotated this way.
const MODERN: &str = "8.0.12.500.20250722T1512Z";

/// Runs `check` and gives its status and its lines.
fn check(site: &Site, arguments: &[&str]) -> (Option<i32>, Vec<Value>) {
    let began = Instant::now();
    let answer = site.ask(&[&["check", "--json"], arguments].concat());
    assert!(began.elapsed() < LONGEST, "{:?}: {answer:?}", began.elapsed());
    let _ = answer.text();
    (answer.code, answer.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
}

/// The one thing that is wrong is told by the line of that step, in that sentence, with a next step, and by the status.
fn assert_line(site: &Site, arguments: &[&str], (step, outcome, said): (&str, &str, &str)) {
    let (code, lines) = check(site, arguments);
    let shown = || lines.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    let line = lines.iter().find(|line| line["step"] == step && line["outcome"] == outcome);
    let line = line.unwrap_or_else(|| panic!("no {step} {outcome}:\n{}", shown()));
    assert!(line["words"].as_str().unwrap().contains(said), "{said:?} is not in:\n{line}");
    assert!(line["next"].is_string(), "{line}");
    let worse = |line: &&Value| line["outcome"] == "fail" || (outcome == "warn" && line["outcome"] == "warn");
    assert!(lines.iter().filter(worse).all(|line| line["step"] == step), "something else is wrong:\n{}", shown());
    assert_eq!(code, Some(if outcome == "fail" { 1 } else { 3 }), "{}", shown());
}

fn no_put(simulator: &Simulator) {
    let truth = simulator.truth();
    assert_eq!((truth.puts.len(), truth.requests.key_puts), (0, 0), "a check is a rehearsal");
}

async fn simulator(spec: SimulatorSpec) -> Simulator {
    Simulator::start(spec).await.unwrap()
}

fn with_manager(simulator: &Simulator, manager: &str) -> Site {
    Site::new(&Wanted { manager: manager.to_owned(), ..Wanted::of(simulator) })
}

/// What must hold for any of the failures below to mean something.
#[tokio::test(flavor = "multi_thread")]
async fn a_sound_installation_passes() {
    let simulator = simulator(SimulatorSpec::default()).await;
    let site = Site::new(&Wanted::of(&simulator));
    let (code, lines) = check(&site, &[]);
    assert_eq!(code, Some(0), "{lines:?}");
    let steps: Vec<_> = lines.iter().filter_map(|line| line["step"].as_str()).collect();
    assert_eq!(
        steps,
        [
            "config",
            "state",
            "lock",
            "ledger",
            "checkpoints",
            "control",
            "listener",
            "credential",
            "dns",
            "tcp",
            "tls",
            "login",
            "version",
            "clock",
            "access_list",
            "projects",
            "targets",
            "mechanism",
            "roles",
            "week"
        ]
    );
    assert!(lines.iter().filter(|line| line["step"].is_string()).all(|line| line["outcome"] == "pass"), "{lines:?}");
    assert_eq!(lines.iter().filter(|line| line["managed"] == true).count(), 14);
    let (_, some) = check(&site, &["--target", "emea/billing/*"]);
    assert!(some.iter().filter_map(|line| line["target"].as_str()).all(|name| name.starts_with("emea/billing/")));
    assert!(!site.state().exists(), "a check writes nothing");
    no_put(&simulator);

    // Beside a working daemon its own address and lock are no obstacle, and its key has an age.
    let address = crate::far_end::free_address();
    let text = std::fs::read_to_string(site.config()).unwrap();
    site.configure(&text.replace("127.0.0.1:0", &address.to_string()));
    let daemon = site.start();
    let (code, lines) = check(&site, &[]);
    assert_eq!(code, Some(0), "{lines:?}");
    let words =
        |step: &str| lines.iter().find(|line| line["step"] == step).unwrap()["words"].as_str().unwrap().to_owned();
    assert!(words("lock").ends_with(&format!("process {}", daemon.pid())), "{}", words("lock"));
    assert!(words("listener").contains("is in use, as it should be"), "{}", words("listener"));
    assert!(words("credential").contains("in use here since"), "{}", words("credential"));
    assert!(words("checkpoints").contains("agrees with the ledger, up to record"), "{}", words("checkpoints"));
    assert!(words("control").contains("is there, as it should be"), "{}", words("control"));
    daemon.stop();

    let database = site.state().join(rekeyd::store::DATABASE);
    std::fs::set_permissions(&database, std::os::unix::fs::PermissionsExt::from_mode(0o666)).unwrap();
    assert_line(&site, &[], ("state", "warn", "others can write into"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_way_that_does_not_lead_there() {
    let nobody = crate::far_end::free_address();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    for (url, line) in [
        ("https://nowhere.invalid:8443".to_owned(), ("dns", "fail", "nowhere.invalid")),
        (format!("http://{nobody}"), ("tcp", "fail", "refused")),
        (format!("http://{}", silent.local_addr().unwrap()), ("login", "fail", "timed_out: no complete reply within")),
    ] {
        assert_line(&Site::new(&Wanted::at(url, "any")), &[], line);
    }
    // The daemon would wait longer: that is no verdict on the manager, nor on `request_timeout`.
    let url = format!("http://{}", silent.local_addr().unwrap());
    let patient = Wanted { request_timeout: "30s", settle: "40s", ..Wanted::at(url, "any") };
    let (code, lines) = check(&Site::new(&patient), &[]);
    let login = lines.iter().find(|line| line["step"] == "login").unwrap();
    assert_eq!((code, &login["outcome"]), (Some(3), &Value::from("warn")), "{login}");
    assert!(
        login["words"].as_str().unwrap().ends_with("this check waits no longer, and the daemon waits 30s"),
        "{login}"
    );
    assert!(login["next"].as_str().unwrap().contains("--within"), "{login}");
}

/// What was not asked says nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_pattern_that_matches_nothing_proves_nothing() {
    let spec = SimulatorSpec { version: MODERN.to_owned(), ..SimulatorSpec::default() };
    let simulator = simulator(spec).await;
    let answer = Site::new(&Wanted::of(&simulator)).ask(&["check", "--target", "nobody"]);
    assert!(answer.code == Some(1) && answer.err.contains("no target's name matches"), "{answer:?}");
    assert!(answer.out.contains("manages no deployment") && !answer.out.contains("says otherwise"), "{answer:?}");
}

fn trusting(authority: &Authority, url: String) -> Site {
    let site = Site::new(&Wanted { manager: "CA".to_owned(), ..Wanted::at(url, "any") });
    let ca = site.path().join("ca.pem");
    std::fs::write(&ca, authority.pem()).unwrap();
    let text = std::fs::read_to_string(site.config()).unwrap();
    site.configure(&text.replace("\nCA\n", &format!("\nca_file = {ca:?}\n")));
    site
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_that_do_not_hold() {
    let (authority, stranger) = (Authority::new("internal"), Authority::new("other"));
    let expired = serve(&authority.sign(2020), None).await.port();
    let good = serve(&authority.sign(2200), None).await.port();
    for (authority, url, said) in [
        (
            &authority,
            format!("https://localhost:{expired}"),
            "the server's certificate expired at 2020-01-01T00:00:00Z",
        ),
        (&stranger, format!("https://localhost:{good}"), "UnknownIssuer"),
        (&authority, format!("https://127.0.0.1:{good}"), "not valid for name"),
    ] {
        assert_line(&trusting(authority, url), &[], ("tls", "fail", said));
    }
    // Warned of before it happens. This server knows nothing but TLS, so that more is wrong later on.
    let soon = in_nine_days();
    let address = serve(&sign_until(&authority, soon), None).await;
    let (_, lines) = check(&trusting(&authority, format!("https://localhost:{}", address.port())), &[]);
    let tls = lines.iter().find(|line| line["step"] == "tls").unwrap();
    assert_eq!(tls["outcome"], "warn", "{tls}");
    assert!(tls["words"].as_str().unwrap().contains(&format!("expires at {soon}T00:00:00Z")), "{tls}");
}

fn in_nine_days() -> Date {
    let soon = jiff::Timestamp::now() + SignedDuration::from_hours(9 * 24);
    soon.to_zoned(jiff::tz::TimeZone::UTC).date()
}

fn sign_until(authority: &Authority, day: Date) -> Signed {
    authority.sign_until(i32::from(day.year()), u8::try_from(day.month()).unwrap(), u8::try_from(day.day()).unwrap())
}

/// What the listener shows to whoever connects holds, for long enough, and for the names that it is called by.
#[tokio::test(flavor = "multi_thread")]
async fn a_listener_whose_certificates_do_not_hold() {
    let simulator = simulator(SimulatorSpec::default()).await;
    let (authority, stranger, soon) = (Authority::new("internal"), Authority::new("other"), in_nine_days());
    let shown = |own: &str, more: &str, hosts: &str| {
        let site = Site::new(&Wanted::of(&simulator));
        let file = |name: &str, text: &str| std::fs::write(site.path().join(name), text).unwrap();
        file("own.pem", own);
        file("clients.pem", &authority.sign(2020).pem());
        file("web.yml", &format!("tls_server_config:\n  cert_file: own.pem\n  key_file: own.pem\n{more}"));
        let web = site.path().join("web.yml");
        let section = format!("web_config_file = {web:?}\nallowed_hosts = [{hosts}]\n[policy.default]");
        let text = std::fs::read_to_string(site.config()).unwrap();
        site.configure(&text.replace("[policy.default]", &section));
        site
    };
    let (good, alien) = (authority.sign(2200).pem(), String::from_utf8(stranger.pem()).unwrap());
    let clients = "  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: clients.pem\n";
    let expires = format!("a certificate of `cert_file` expires at {soon}T00:00:00Z");
    for (own, more, hosts, outcome, said) in [
        (authority.sign(2020).pem(), "", "", "fail", "a certificate of `cert_file` expired at 2020-01-01T00:00:00Z"),
        (sign_until(&authority, soon).pem(), "", "", "warn", expires.as_str()),
        (good.clone(), clients, "", "fail", "a certificate of `client_ca_file` expired at 2020-01-01T00:00:00Z"),
        (format!("{good}{alien}"), "", "", "warn", "a certificate is not issued by the one behind it"),
        (
            good.clone(),
            "",
            "\"rekeyd.example.com\"",
            "warn",
            "`allowed_hosts` has rekeyd.example.com, and the certificate",
        ),
    ] {
        assert_line(&shown(&own, more, hosts), &[], ("web_config", outcome, said));
    }
    let whole = format!("{good}{}", String::from_utf8(authority.pem()).unwrap());
    let (code, lines) = check(&shown(&whole, "", "\"localhost\""), &[]);
    let line = lines.iter().find(|line| line["step"] == "web_config").unwrap();
    assert_eq!((code, &line["outcome"]), (Some(0), &Value::from("pass")), "{lines:?}");
    assert!(
        line["words"].as_str().unwrap().ends_with("can be followed: TLS, with a certificate for localhost"),
        "{line}"
    );
    no_put(&simulator);
}

/// Whoever is to be told can be reached; and a rehearsal tells nobody anything.
#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_can_not_be_reached() {
    let (simulator, on_call) = (simulator(SimulatorSpec::default()).await, OnCall::start().await);
    let nobody = crate::far_end::free_address();
    let stranger = serve(&Authority::new("other").sign(2200), None).await.port();
    let webhook =
        |url: &str| format!("[[webhook]]\nname = \"oncall\"\nurl = \"{url}\"\nauthorization = {{ file = \"KEY\" }}");
    let with = |section: &str| {
        let site = with_manager(&simulator, section);
        let text = std::fs::read_to_string(site.config()).unwrap();
        site.configure(&text.replace("KEY", &site.path().join("private-key").display().to_string()));
        site
    };
    for (section, said) in [
        (
            webhook(&format!("http://{nobody}/hook/hunter2")),
            format!("webhook oncall at http://{nobody} cannot be reached: no connection: Connection refused"),
        ),
        (
            format!("[[alertmanager]]\nname = \"am\"\nurl = \"https://localhost:{stranger}\""),
            format!(
                "alertmanager am at https://localhost:{stranger} cannot be reached: no connection: invalid peer certificate"
            ),
        ),
        (
            "[heartbeat]\nurl = \"https://nowhere.invalid/ping/hunter2\"".to_owned(),
            "heartbeat at https://nowhere.invalid cannot be reached: no connection".to_owned(),
        ),
    ] {
        let site = with(&section);
        assert_line(&site, &[], ("receiver", "fail", &said));
        let (_, lines) = check(&site, &[]);
        assert!(!format!("{lines:?}").contains("hunter2"), "the path is a secret: {lines:?}");
    }
    on_call.answer(404);
    let (code, lines) = check(&with(&webhook(&on_call.url("/hook/hunter2"))), &[]);
    let line = lines.iter().find(|line| line["step"] == "receiver").unwrap();
    assert_eq!((code, &line["outcome"]), (Some(0), &Value::from("pass")), "{lines:?}");
    let words = line["words"].as_str().unwrap();
    assert!(words.ends_with("answers (HTTP 404 at its front page); that it takes alerts was not tried"), "{words}");
    let [knock] = on_call.requests().try_into().unwrap();
    assert_eq!((knock.head.as_str(), knock.header("authorization")), ("HEAD / HTTP/1.1", None));
    no_put(&simulator);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manager_that_does_not_let_us_in() {
    let basic = DigestRules { challenges: vec![Challenge::Basic], ..DigestRules::default() };
    for (spec, key, line) in [
        (SimulatorSpec::default(), Some("wrong"), ("login", "fail", "credentials_refused, HTTP 401")),
        (
            SimulatorSpec { digest: basic, ..SimulatorSpec::default() },
            None,
            ("login", "fail", "offers no Digest challenge"),
        ),
        (faulty("gateway-page@list"), None, ("login", "fail", "HTTP 502")),
        (faulty("address-refused@list"), None, ("access_list", "fail", "the server saw the address 203.0.113.9")),
        (
            SimulatorSpec { clock_ahead: SignedDuration::from_mins(10), ..SimulatorSpec::default() },
            None,
            ("clock", "warn", "s ahead of this machine's"),
        ),
    ] {
        let simulator = simulator(spec).await;
        let wanted = Wanted::of(&simulator);
        let private_key = key.map_or(wanted.private_key, str::to_owned);
        assert_line(&Site::new(&Wanted { private_key, ..Wanted::of(&simulator) }), &[], line);
        no_put(&simulator);
    }
}

fn faulty(fault: &str) -> SimulatorSpec {
    SimulatorSpec { faults: vec![fault.parse().unwrap()], ..SimulatorSpec::default() }
}

fn fleet(cluster: ClusterSpec) -> SimulatorSpec {
    let fleet = FleetSpec::empty().project(ProjectSpec::new("billing").cluster(cluster));
    SimulatorSpec { fleet, ..SimulatorSpec::default() }
}

fn login(key: ApiKeySpec) -> SimulatorSpec {
    let access = AccessSpec { keys: vec![key], global_access_list: Vec::new() };
    SimulatorSpec { access, ..SimulatorSpec::default() }
}

fn own() -> ApiKeySpec {
    ApiKeySpec::new("simulator", "rekeyd").organization("ORG_MEMBER").from_address("127.0.0.1/32")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_not_be_read_or_rotated() {
    let unknown = "[[ops_manager.project]]\nname = \"billing\"\n[[ops_manager.project]]\nname = \"nowhere\"";
    let no_config = ClusterSpec::sharded("ledger", 2).config_server(ConfigServer::Missing);
    let (reads, owns) = (own().every_project("GROUP_READ_ONLY"), own().every_project("GROUP_OWNER"));
    let global = own().global("GLOBAL_BACKUP_ADMIN").global("GLOBAL_READ_ONLY");
    for (spec, manager, line) in [
        (SimulatorSpec::default(), unknown, ("projects", "fail", "project nowhere: not_found")),
        (
            faulty("wrong-role@list:billing"),
            "",
            ("projects", "fail", "project billing: role_missing, HTTP 401, USER_UNAUTHORIZED"),
        ),
        (fleet(no_config), "", ("projects", "warn", "cluster ledger is listed without config servers")),
        (
            faulty("error-before@get"),
            "",
            ("targets", "fail", "15 of 15 keys cannot be read; one says server_error, HTTP 500"),
        ),
        (login(reads), "", ("roles", "fail", "the key can read and not rotate: it has GROUP_READ_ONLY, ORG_MEMBER")),
        (login(owns), "", ("roles", "warn", "an Owner, where Backup Admin would do")),
        (login(global), "", ("roles", "warn", "global, where a key for the project would do")),
    ] {
        let simulator = simulator(spec).await;
        assert_line(&with_manager(&simulator, manager), &[], line);
        no_put(&simulator);
    }
    // An Ops Manager that manages no old deployment: said plainly, and nothing is left to rotate.
    let governed = fleet(ClusterSpec::replica_set("ledger").governed_by_deployment());
    let modern = simulator(SimulatorSpec { version: MODERN.to_owned(), ..governed }).await;
    let (code, lines) = check(&Site::new(&Wanted::of(&modern)), &[]);
    let version = lines.iter().find(|line| line["step"] == "version").unwrap();
    assert_eq!(version["outcome"], "warn", "{version}");
    assert!(version["words"].as_str().unwrap().ends_with("no key here says otherwise"), "{version}");
    let mechanism = lines.iter().find(|line| line["step"] == "mechanism").unwrap();
    let words = mechanism["words"].as_str().unwrap();
    assert_eq!((code, &mechanism["outcome"]), (Some(3), &Value::from("warn")), "{lines:?}");
    assert!(
        words.contains("this version can rotate none of them (Ops Manager 8.0") && words.contains("FCV 4.0"),
        "{words}"
    );
    no_put(&modern);
}

/// However slow a manager is, the check ends, and what was not asked is not passed.
#[tokio::test(flavor = "multi_thread")]
async fn what_takes_too_long_is_told() {
    let simulator = simulator(faulty("slow@get=1500ms")).await;
    let site = Site::new(&Wanted::of(&simulator));
    assert_line(&site, &["--within", "1s"], ("targets", "warn", "15 keys could not be asked for in time"));
    let listed = simulator.truth().requests.lists;
    assert!(listed > 0);
    no_put(&simulator);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_place_that_can_not_be_worked_in() {
    let simulator = simulator(SimulatorSpec::default()).await;
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    type Break<'a> = &'a dyn Fn(&Site, &mut String);
    let configured = |text: &mut String, from: &str, to: &str| *text = text.replace(from, to);
    let write = |path: &Path, text: &str| std::fs::write(path, text).unwrap();
    let situations: [(Break<'_>, (&str, &str, &str)); 6] = [
        (&|_, text| configured(text, "/state\"", "/gone/state\""), ("state", "fail", "cannot be made: there is no")),
        (&|site, _| write(&site.state(), ""), ("state", "fail", "is no directory")),
        (&|_, text| configured(text, "127.0.0.1:0", &address), ("listener", "fail", "is taken by somebody else")),
        (
            &|site, text| {
                let web = site.path().join("web.yml");
                write(&web, "tls_server_config:\n  nonsense: 1\n");
                configured(text, "[policy.default]", &format!("web_config_file = {web:?}\n[policy.default]"));
            },
            ("web_config", "fail", "nonsense"),
        ),
        (
            &|site, _| {
                std::fs::create_dir(site.state()).unwrap();
                write(&site.state().join("rekeyd.lock"), "pid 1 on nowhere\n");
            },
            ("ledger", "fail", "a ledger was kept in"),
        ),
        (
            &|site, _| {
                std::fs::create_dir(site.state()).unwrap();
                write(&site.state().join("rekeyd.db"), "this is no database, and longer than a header of one");
            },
            ("ledger", "fail", "not a database"),
        ),
    ];
    for (damage, line) in situations {
        let site = Site::new(&Wanted::of(&simulator));
        let mut text = std::fs::read_to_string(site.config()).unwrap();
        damage(&site, &mut text);
        site.configure(&text);
        assert_line(&site, &[], line);
    }
    no_put(&simulator);
}

/// What was to hold something up and holds nothing up was mistyped. Of a manager that does not list all, nobody can say so.
#[tokio::test(flavor = "multi_thread")]
async fn a_pattern_that_fits_nothing_is_told() {
    let simulator = simulator(SimulatorSpec::default()).await;
    let freeze =
        "[[freeze]]\nname = \"books\"\nreason = \"CHG-1\"\nend = 2090-01-01\nstart = 2020-01-01\nscope = \"SCOPE\"";
    let project = "[[ops_manager.project]]\nname = \"billing\"\nexclude = [\"legder*\"]";
    for (manager, said) in [
        (freeze.replace("SCOPE", "emae/*"), "freeze books: its scope \"emae/*\" fits no target"),
        (
            "[[ops_manager.override]]\ncluster = \"legder\"\npolicy = \"default\"".to_owned(),
            "cluster \"legder\" fits no target",
        ),
        (project.to_owned(), "manager emea, project billing: \"legder*\" in its `exclude` fits no target"),
    ] {
        assert_line(&with_manager(&simulator, &manager), &[], ("config", "warn", said));
    }
    for manager in [freeze.replace("SCOPE", "*/identity/*"), project.replace("legder", "ledger")] {
        assert_eq!(check(&with_manager(&simulator, &manager), &[]).0, Some(0), "{manager}");
    }
    let half = format!("{project}\n[[ops_manager.project]]\nname = \"nowhere\"");
    let (_, lines) = check(&with_manager(&simulator, &half), &[]);
    assert!(lines.iter().all(|line| line["outcome"] != "warn"), "{lines:?}");
}

/// What a start ends with for the configuration's sake, a check fails beforehand; and the service manager is told by the status
/// that another start would end the same way.
#[tokio::test(flavor = "multi_thread")]
async fn a_check_fails_what_run_cannot_start_with() {
    let simulator = simulator(SimulatorSpec::default()).await;
    for (settings, line) in [
        (
            "[ledger]\ncheckpoint_key = { file = \"SITE/key\" }",
            ("checkpoints", "fail", "is no Ed25519 key in PKCS#8 PEM"),
        ),
        ("[control]\ngroup = \"no-such-group-here\"", ("control", "fail", "this system knows no group")),
        ("[control]\nsocket = \"SITE/gone/control.sock\"", ("control", "fail", "cannot be made: ")),
        ("[control]\nsocket = \"SITE/key\"", ("control", "fail", "is no socket, and is not written over")),
        (
            "[http]\nlisten = \"127.0.0.1:0\"\nweb_config_file = \"SITE/gone.yml\"",
            ("web_config", "fail", "cannot be read"),
        ),
    ] {
        let site = with_settings(&simulator, settings);
        closed(&site.path().join("key"), "this is no key");
        assert_line(&site, &[], line);
        let (code, log) = site.launch().ended();
        assert_eq!(code, Some(78), "{settings}:\n{log}");
    }
    no_put(&simulator);
}

/// A daemon starts without a place for its checkpoints, and then does nothing at all, or goes on unanchored: no line passes that.
#[tokio::test(flavor = "multi_thread")]
async fn a_place_where_no_checkpoint_can_be_written() {
    let simulator = simulator(SimulatorSpec::default()).await;
    for (failure, outcome) in [("block", "fail"), ("warn", "warn")] {
        for (file, said) in [("gone/checkpoints", "no file can be made there"), ("", "it is no plain file")] {
            let settings =
                format!("[ledger]\ncheckpoint_file = \"SITE/{file}\"\non_checkpoint_failure = \"{failure}\"");
            assert_line(&with_settings(&simulator, &settings), &[], ("checkpoints", outcome, said));
        }
    }
    // One that goes on with another ledger than this.
    let (one, other) = (with_manager(&simulator, ""), with_manager(&simulator, ""));
    let _ = (one.start().stop(), other.start().stop());
    std::fs::copy(other.state().join("checkpoints"), one.state().join("checkpoints")).unwrap();
    assert_line(&one, &[], ("checkpoints", "warn", "it belongs to another ledger"));
}

/// Root may read everything. What the daemon's user may not read is told all the same, and what that user may is no problem.
#[tokio::test(flavor = "multi_thread")]
async fn root_sees_with_the_rights_of_the_daemons_user() {
    let simulator = simulator(SimulatorSpec::default()).await;
    let site = Site::new(&Wanted::of(&simulator));
    std::fs::create_dir(site.state()).unwrap();
    if !nix::unistd::geteuid().is_root() {
        // Whoever else checks has no more rights than are asked for.
        assert_eq!(check(&site, &[]).0, Some(0));
        return;
    }
    let nobody = 65_534;
    let give = |name: &str| std::os::unix::fs::chown(site.path().join(name), Some(nobody), Some(nobody)).unwrap();
    give("state");
    std::fs::set_permissions(site.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    assert_line(&site, &[], ("config", "fail", "/private-key: Permission denied"));
    // Nor does it become a credential by lying where they do: the daemon reads it itself.
    let mut beside = site.command(&["check"]);
    beside.env("CREDENTIALS_DIRECTORY", site.path());
    let beside = crate::daemon::site::finish(beside);
    assert!(beside.code == Some(1) && beside.out.contains("/private-key: Permission denied"), "{beside:?}");
    give("private-key");
    let (code, lines) = check(&site, &[]);
    assert_eq!(code, Some(0), "{lines:?}");
    std::fs::set_permissions(site.config(), std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    assert_line(&site, &[], ("config", "fail", "/rekeyd.toml: Permission denied"));
    give("rekeyd.toml");
    std::fs::create_dir(site.path().join("elsewhere")).unwrap();
    let text = std::fs::read_to_string(site.config()).unwrap();
    let elsewhere = site.path().join("elsewhere/control.sock");
    site.configure(&text.replace("[policy.default]", &format!("[control]\nsocket = {elsewhere:?}\n[policy.default]")));
    assert_line(&site, &[], ("control", "fail", "Permission denied"));
    no_put(&simulator);
}

/// A site with more settings; `SITE` in them is its folder.
fn with_settings(simulator: &Simulator, settings: &str) -> Site {
    let site = Site::new(&Wanted::of(simulator));
    let settings = settings.replace("SITE", site.path().to_str().unwrap());
    let mut text = std::fs::read_to_string(site.config()).unwrap();
    if settings.starts_with("[http]") {
        text = text.replace("[http]\nlisten = \"127.0.0.1:0\"\n", "");
    }
    site.configure(&text.replace("[policy.default]", &format!("{settings}\n[policy.default]")));
    site
}

/// A file that is closed to others.
fn closed(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
}

/// A new API key is tried before it takes the place of the present one; which it is, the simulator's only login shows.
#[tokio::test(flavor = "multi_thread")]
async fn a_new_credential_is_tried_before_the_switch() {
    let simulator = simulator(SimulatorSpec::default()).await;
    let old = Wanted { private_key: "expired".to_owned(), ..Wanted::of(&simulator) };
    let site = Site::new(&old);
    let text = std::fs::read_to_string(site.config()).unwrap();
    site.configure(&text.replace("public_key = \"simulator\"", "public_key = \"before\""));
    assert_line(&site, &[], ("login", "fail", "credentials_refused"));

    let new = site.path().join("new-key");
    std::fs::write(&new, &simulator.credentials().private_key).unwrap();
    let path = new.to_str().unwrap();
    let open = site.ask(&["check", "--credential", path, "--public-key", "simulator"]);
    let said = "error: `--credential` is open to others";
    assert!(open.code == Some(78) && open.err.contains(said) && !open.err.contains("rekeyd.toml"), "{open:?}");
    std::fs::set_permissions(&new, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let (code, lines) = check(&site, &["--credential", path, "--public-key", "simulator"]);
    assert_eq!(code, Some(0), "{lines:?}");
    assert!(
        lines
            .iter()
            .any(|line| line["words"].as_str().is_some_and(|words| words == "the manager knows API key simulator"))
    );

    let mut by_name =
        site.command(&["check", "--credential", "new-key", "--public-key", "simulator", "--manager", "emea"]);
    by_name.env("CREDENTIALS_DIRECTORY", site.path());
    assert_eq!(crate::daemon::site::finish(by_name).code, Some(0));
    let nobody = site.ask(&["check", "--credential", path, "--manager", "apac"]);
    assert!(nobody.code == Some(78) && nobody.err.contains("no manager is named `apac`"), "{nobody:?}");
    no_put(&simulator);
}
