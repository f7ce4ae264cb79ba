//! Who may rotate: the lists of API keys as our client reads them, and as a daemon keeps and shows them.

use std::collections::BTreeSet;

use rekeyd::domain::{Failure, Grant, Power, Reach, Reason};
use rekeyd::ports::{Access, Inventory};
use rekeyd::simulator::{AccessSpec, ApiKeySpec, FleetSpec, ORGANIZATION, Simulator, SimulatorSpec};
use serde_json::{Value, json};

use crate::daemon::site::{Site, Wanted, until};
use crate::discovery::{Shelf, url};
use crate::far_end::{ops_manager, settings};
use crate::simulator::access::many;
use crate::simulator::curl::curl;

async fn inventory(shelf: Shelf) -> Result<Inventory, Failure> {
    ops_manager(settings(&url(shelf.serve().await))).api_keys().await
}

fn global(ids: std::ops::Range<u32>, rest: Value) -> Value {
    let mut page = rest;
    let key = |id| json!({"id": format!("k{id}"), "publicKey": format!("p{id}"), "desc": "d", "roles": [{"roleName": "GLOBAL_OWNER"}]});
    page["results"] = ids.map(key).collect();
    page
}

/// No projects, so that nothing but the global list is read.
fn shelf() -> Shelf {
    Shelf::default().list("/groups", json!([]))
}

/// Every key of three pages is there once: as the simulator gives them, and in the envelopes that it makes of them.
#[tokio::test(flavor = "multi_thread")]
async fn every_key_of_every_page_is_read_once() {
    let simulator = Simulator::start(SimulatorSpec { access: many(1_200), ..SimulatorSpec::default() }).await.unwrap();
    let login = simulator.credentials();
    let mut settings = settings(&simulator.url());
    (settings.public_key, settings.private_key) = (login.public_key.clone(), login.private_key.as_str().into());
    let read = ops_manager(settings).api_keys().await.unwrap();
    assert_eq!((read.keys.len(), read.unread.len()), (1_201, 0));
    assert!(read.read.contains(&Reach::Global) && read.read.contains(&Reach::Organization(ORGANIZATION.into())));
    assert_eq!(read.keys.iter().filter(|key| key.power() == Power::Rotates).count(), 1_200);

    let mut enveloped = shelf();
    for page in 1..=3 {
        let path = format!("/api/public/v1.0/admin/apiKeys?envelope=true&itemsPerPage=500&pageNum={page}");
        let document = curl(&simulator, &[&format!("{}{path}", simulator.url())]).await.json();
        assert_eq!(document["status"], 200);
        enveloped = enveloped.page("/admin/apiKeys", 200, document);
    }
    let again = inventory(enveloped).await.unwrap();
    assert_eq!(again.keys, read.keys);
}

/// The documented sample, with a role that the page does not explain, and what a hostile one adds to it.
#[tokio::test]
async fn a_key_is_read_whole_and_its_private_half_is_not() {
    let document = json!({"results": [
        {"desc": "Test\u{1b}[2J\nkey", "id": "5d669ce780eef52a42cf0e1e", "links": [{"rel": "self", "href": "x"}],
         "privateKey": "********-****-****-54d9792d337d", "publicKey": "zrefxaep",
         "roles": [{"roleName": "GLOBAL_READ_ONLY"}, {"roleName": "GLOBAL_SOMETHING_NEW"}, {"groupId": "g", "roleName": "GROUP_OWNER"}]},
        {"id": "../../secrets", "publicKey": "bad"}, {"id": 7},
    ], "totalCount": 3, "links": []});
    let read = inventory(shelf().page("/admin/apiKeys", 200, document)).await.unwrap();
    assert_eq!(read.keys.len(), 1);
    let key = &read.keys[0];
    assert_eq!((key.public_key.as_str(), key.description.as_str()), ("zrefxaep", "Test[2Jkey"));
    let grant = |role: &str, over| Grant { role: role.to_owned(), over };
    assert_eq!(
        key.grants,
        BTreeSet::from([
            grant("GLOBAL_READ_ONLY", Reach::Global),
            grant("GLOBAL_SOMETHING_NEW", Reach::Global),
            grant("GROUP_OWNER", Reach::Project("g".into())),
        ])
    );
    assert_eq!(key.id.created_at().unwrap().to_string(), "2019-08-28T15:25:27Z");
    assert!(!format!("{key:?}").contains("54d9792d337d"));
    assert!(read.unread[&Reach::Global].detail.contains("2 entries without a usable id"), "{:?}", read.unread);
}

/// Whatever a server claims about its pages, the list ends, what is there is kept, and what is wrong is said.
#[tokio::test]
async fn pages_that_lie_are_bounded_and_reported() {
    let next = json!([{"rel": "next", "href": "http://elsewhere.invalid/?pageNum=1"}]);
    let loops = (0..50).fold(shelf(), |shelf, _| {
        shelf.page("/admin/apiKeys", 200, global(0..3, json!({"links": next, "totalCount": 9})))
    });
    let too_many = shelf()
        .page("/admin/apiKeys", 200, global(0..500, json!({"totalCount": 5_000})))
        .page("/admin/apiKeys", 200, global(500..501, json!({"totalCount": 5_000})))
        .page("/admin/apiKeys", 200, json!({"results": [], "totalCount": 5_000}));
    let too_few = shelf().page("/admin/apiKeys", 200, global(0..500, json!({"totalCount": 2}))).page(
        "/admin/apiKeys",
        200,
        global(500..501, json!({"totalCount": 2})),
    );
    let repeated = shelf().page("/admin/apiKeys", 200, global(0..500, json!({"totalCount": 1_000}))).page(
        "/admin/apiKeys",
        200,
        global(0..500, json!({"totalCount": 1_000})),
    );
    for (shelf, keys, said) in [
        (loops, 0, "page 2 of the listing repeats earlier pages"),
        (repeated, 0, "page 2 of the listing repeats earlier pages"),
        (too_many, 501, "the listing says that it has 5000 entries, and has 501"),
        (too_few, 501, "the listing says that it has 2 entries, and has 501"),
    ] {
        let read = inventory(shelf).await.unwrap();
        assert_eq!(read.keys.len(), keys, "{said}");
        let failure = &read.unread[&Reach::Global];
        assert_eq!(failure.reason, Reason::Unreadable);
        assert!(failure.detail.contains(said), "{failure}");
    }
}

/// One list that is closed costs the others nothing; a manager that refuses the login altogether has no inventory.
#[tokio::test]
async fn a_closed_list_costs_the_others_nothing() {
    let group = json!({"id": "p1", "name": "one", "orgId": "o1"});
    let key = json!({"id": "k1", "publicKey": "p", "roles": [{"groupId": "p1", "roleName": "GROUP_OWNER"}]});
    for (status, code, reason) in [
        (401, "USER_UNAUTHORIZED", Reason::RoleMissing),
        (403, "IP_ADDRESS_NOT_ON_ACCESS_LIST", Reason::AddressRefused),
        (404, "RESOURCE_NOT_FOUND", Reason::NotFound),
        (500, "UNEXPECTED_ERROR", Reason::ServerError),
    ] {
        let closed = Shelf::default()
            .page("/admin/apiKeys", status, json!({"error": status, "errorCode": code}))
            .list("/groups", json!([group]))
            .list("/orgs/o1/apiKeys", json!([key]))
            .list("/groups/p1/apiKeys", json!([key]));
        let read = inventory(closed).await.unwrap();
        assert_eq!(
            read.unread.iter().map(|(list, failure)| (list, failure.reason)).collect::<Vec<_>>(),
            [(&Reach::Global, reason)]
        );
        assert_eq!(read.keys.len(), 1);
        let lists = BTreeSet::from([Reach::Organization("o1".into()), Reach::Project("p1".into())]);
        assert_eq!((&read.keys[0].lists, &read.read), (&lists, &lists));
    }
    let refused = Shelf::default().page("/admin/apiKeys", 401, json!({"error": 401, "reason": "Unauthorized"}));
    assert_eq!(inventory(refused).await.unwrap_err().reason, Reason::CredentialsRefused);
}

fn fleet() -> FleetSpec {
    FleetSpec::uniform(3)
}

/// The login, as the least that lists its own organization and projects.
fn login() -> ApiKeySpec {
    ApiKeySpec::new("simulator", "rekeyd").organization("ORG_READ_ONLY")
}

fn access(keys: &[ApiKeySpec]) -> AccessSpec {
    AccessSpec { keys: [&[login()], keys].concat(), global_access_list: Vec::new() }
}

fn site(simulator: &Simulator) -> Site {
    let site = Site::new(&Wanted::of(simulator));
    let text = std::fs::read_to_string(site.config()).unwrap() + "\n";
    site.configure(&text.replace("[policy.default]", "[inventory]\nevery = \"1s\"\n[policy.default]"));
    site
}

/// The payloads of a kind of record, in order.
fn records(site: &Site, kind: &str) -> Vec<Value> {
    let records = site.reader().records(0, u32::MAX).unwrap();
    records
        .iter()
        .filter(|record| record.kind == kind)
        .map(|record| serde_json::from_str(&record.payload).unwrap())
        .collect()
}

/// What comes, goes and changes while a daemon watches is on record, alerted, counted and told by `keys`; the closed list of
/// global keys is said once and is no failure of the manager.
#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_records_who_comes_goes_and_changes() {
    let project = "project-0";
    let old = ApiKeySpec::new("oldowner", "terraform").organization("ORG_OWNER");
    let reader = ApiKeySpec::new("reader01", "dashboards").project(project, "GROUP_READ_ONLY");
    let spec =
        SimulatorSpec { fleet: fleet(), access: access(&[old.clone(), reader.clone()]), ..SimulatorSpec::default() };
    let project_name = spec.fleet.projects[0].name.clone();
    let named = |key: ApiKeySpec, role: &str| key.project(&project_name, role);
    let simulator = Simulator::start(spec).await.unwrap();
    let site = site(&simulator);
    let daemon = site.start();
    until("the first inventory is recorded", || (records_if(&site, "api_key_added") >= 3).then_some(())).unwrap();
    assert!(records(&site, "api_key_added").iter().all(|added| added["baseline"] == true));
    assert_eq!(records(&site, "credential_used"), [json!({"manager": "emea", "public_key": "simulator"})]);

    let made = "2026-02-03T04:05:06Z".parse().unwrap();
    let new = named(ApiKeySpec::new("newadmin", "who knows").created(made), "GROUP_BACKUP_ADMIN");
    simulator.set_access(access(&[old.clone(), reader.clone(), new.clone()]));
    until("the new key is alerted", || (records_if(&site, "alert_raised") >= 1).then_some(())).unwrap();
    let added = records(&site, "api_key_added");
    assert_eq!(
        (added.len(), &added[3]["baseline"], &added[3]["key"]["public_key"]),
        (4, &json!(false), &json!("newadmin"))
    );
    let alert = &records(&site, "alert_raised")[0];
    assert_eq!(
        (&alert["alert"], &alert["subject"]),
        (&json!("api_key_new"), &json!({"api_key": format!("emea/{}", new.id())}))
    );

    let promoted = named(ApiKeySpec::new("reader01", "dashboards"), "GROUP_OWNER");
    simulator.set_access(access(&[promoted, new]));
    until("the rest is recorded", || {
        (records_if(&site, "api_key_roles_changed") >= 1 && records_if(&site, "api_key_removed") >= 1).then_some(())
    })
    .unwrap();
    assert_eq!(records(&site, "api_key_removed")[0]["key"]["public_key"], "oldowner");
    let changed = &records(&site, "api_key_roles_changed")[0];
    assert_eq!(changed["key"]["grants"][0]["role"], "GROUP_OWNER");

    let (_, metrics) = daemon.get("/metrics").await;
    for line in [
        r#"rekeyd_api_keys{manager="emea",role="GROUP_BACKUP_ADMIN"} 1"#,
        r#"rekeyd_api_keys{manager="emea",role="GROUP_OWNER"} 1"#,
        r#"rekeyd_api_keys{manager="emea",role="ORG_READ_ONLY"} 1"#,
        r#"rekeyd_api_keys_able_to_rotate{manager="emea"} 2"#,
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line} is missing");
    }

    let unread = records(&site, "api_keys_unread");
    assert_eq!(unread.len(), 1, "the list of global keys: {unread:?}");
    assert_eq!((&unread[0]["list"], &unread[0]["failure"]["reason"]), (&json!("global"), &json!("role_missing")));
    assert_eq!(records(&site, "manager_failing"), [Value::Null; 0]);
    let log = daemon.stop();
    assert!(!log.contains("********-"), "redacted private keys are not kept");
    assert_eq!(simulator.truth().requests.bad_logins, 0);

    let keys = site.json(&["keys"]);
    let told: Vec<_> = keys.iter().filter(|line| line["kind"] == "api_key").collect();
    assert_eq!(
        told.iter().map(|key| key["public_key"].as_str().unwrap()).collect::<Vec<_>>(),
        ["newadmin", "reader01"]
    );
    assert_eq!(
        (&told[0]["created_at"], &told[0]["created_known_by"]),
        (&json!("2026-02-03T04:05:06Z"), &json!("object_id"))
    );
    assert_eq!((&told[1]["power"], &told[1]["excess"]), (&json!("rotates"), &json!(["owner"])));
    assert!(keys.iter().any(|line| line["kind"] == "unread_list" && line["list"] == "global"));
    let recorded = site.json(&["keys", "--recorded", "--all"]);
    assert_eq!(recorded.iter().filter(|line| line["kind"] == "api_key").count(), 3);
    let own = recorded.iter().find(|line| line["own"] == true).unwrap();
    assert_eq!(own["public_key"], "simulator");
    let answer = site.ask(&["keys"]);
    assert_eq!(answer.code, Some(0), "the global list is closed, as it should be: {answer:?}");
    assert!(
        answer.out.contains("note emea: the list of API keys cannot be read: ")
            && answer
                .out
                .contains("note emea: the access list of newadmin, reader01 cannot be read; any address may do: ")
            && answer.out.contains("who knows")
            && answer.out.contains("an Owner, where Backup Admin would do"),
        "{answer:?}"
    );
    assert_eq!(site.json(&["audit", "verify"])[0]["verified"], true);
    assert_eq!(simulator.truth().requests.key_puts, 3, "the rotations of the daemon and no other");
}

/// So many records of a kind; none as long as there is no ledger.
fn records_if(site: &Site, kind: &str) -> usize {
    rekeyd::store::Reader::open(&site.state()).map_or(0, |_| records(site, kind).len())
}

/// With a credential that may read all, global rights and missing access lists are marked, each once.
#[tokio::test(flavor = "multi_thread")]
async fn excessive_rights_are_marked() {
    let mut access = AccessSpec::default();
    access.keys[0] = ApiKeySpec::new("simulator", "rekeyd").global("GLOBAL_READ_ONLY").global("GLOBAL_BACKUP_ADMIN");
    let simulator = Simulator::start(SimulatorSpec { access, ..SimulatorSpec::default() }).await.unwrap();
    let keys = site(&simulator).json(&["keys"]);
    let excess = |name: &str| {
        let key =
            keys.iter().find(|line| line["public_key"] == name).unwrap_or_else(|| panic!("no {name} in {keys:?}"));
        key["excess"].clone()
    };
    assert_eq!(excess("wqkzfemr"), json!(["owner", "global"]));
    assert_eq!(excess("uoycnxds"), json!(["owner", "organization", "any_address"]));
    assert_eq!(excess("jptmgiek"), json!([]));
    assert_eq!(excess("simulator"), json!(["global"]));
    assert_eq!(keys.len(), 4, "those that cannot rotate take --all");
    assert_eq!(simulator.truth().requests.key_puts, 0);
}

/// An access list that could not be read is no sign that all is well: the review says so and ends with 3, `check` warns.
#[tokio::test(flavor = "multi_thread")]
async fn an_unread_access_list_is_told() {
    let key = |name: &str| ApiKeySpec::new(name, name).organization("ORG_OWNER").from_address("127.0.0.1/32");
    let [own, other] = ["simulator", "terraform"].map(key);
    let access = AccessSpec { keys: vec![own.clone(), other.clone()], global_access_list: Vec::new() };
    for (unread, check) in [(&other, "pass"), (&own, "warn")] {
        let fault = format!("error-before@list:{}", unread.id()).parse().unwrap();
        let spec = SimulatorSpec { fleet: fleet(), access: access.clone(), faults: vec![fault], ..Default::default() };
        let simulator = Simulator::start(spec).await.unwrap();
        let site = site(&simulator);
        let answer = site.ask(&["keys"]);
        let said = format!(
            "warn emea: the access list of {} cannot be read; any address may do: server_error",
            unread.public_key
        );
        assert!(answer.code == Some(3) && answer.out.contains(&said), "{answer:?}");
        let keys = site.json(&["keys"]);
        for line in keys.iter().filter(|line| line["kind"] == "api_key") {
            let is_unread = line["public_key"] == unread.public_key;
            assert_eq!((line["access_list"].is_null(), line["access_list_failure"].is_null()), (is_unread, !is_unread));
        }
        let checked = site.json(&["check"]);
        let warned = checked.iter().any(|line| {
            let words = line["words"].as_str().unwrap_or_default();
            line["outcome"] == "warn" && words.starts_with("the key's access list cannot be read: server_error")
        });
        assert_eq!(warned, check == "warn", "{checked:?}");
    }
}
