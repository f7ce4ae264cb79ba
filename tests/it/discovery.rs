//! Listing a whole manager: pages, projects that cannot be read, and keys that may not see everything.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::IntoResponse;
use rekeyd::domain::{Failure, Listing, ProjectSelector, Reason, Role, Scope, Verdict};
use rekeyd::ports::{Clock, Discovery, KeyService};
use rekeyd::remote::ops_manager::OpsManager;
use serde_json::{Value, json};

use crate::far_end::{Told, ops_manager, settings};

/// A server that asks for no login and gives each path's documents by page number.
#[derive(Default, Clone)]
pub(crate) struct Shelf(HashMap<&'static str, Vec<(u16, Value)>>);

impl Shelf {
    pub(crate) fn page(mut self, path: &'static str, status: u16, document: Value) -> Self {
        self.0.entry(path).or_default().push((status, document));
        self
    }

    pub(crate) fn list(self, path: &'static str, results: Value) -> Self {
        let total = results.as_array().map_or(0, Vec::len);
        self.page(path, 200, json!({"results": results, "totalCount": total, "links": []}))
    }

    pub(crate) async fn serve(self) -> SocketAddr {
        async fn handle(State(shelf): State<Arc<Shelf>>, uri: Uri) -> impl IntoResponse {
            let path = uri.path().strip_prefix("/prefix/api/public/v1.0").unwrap_or_default();
            let query = uri.query().unwrap_or_default();
            assert!(query.contains("itemsPerPage=500"), "{query}");
            let number = query.split('&').find_map(|pair| pair.strip_prefix("pageNum=")?.parse::<usize>().ok());
            let pages = shelf.0.get(path).map(Vec::as_slice).unwrap_or_default();
            let page = number.and_then(|number| pages.get(number - 1)).cloned();
            let (status, document) = page.unwrap_or((404, json!({"error": 404, "errorCode": "RESOURCE_NOT_FOUND"})));
            let version = [("X-MongoDB-Service-Version", "gitHash=0f1e; versionString=8.0.4.500.20250101T0000Z")];
            (StatusCode::from_u16(status).expect("a status"), version, document.to_string())
        }
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let router = Router::new().fallback(handle).with_state(Arc::new(self));
        tokio::spawn(async move { axum::serve(listener, router).await });
        address
    }
}

pub(crate) fn url(address: SocketAddr) -> String {
    format!("http://{address}/prefix/")
}

fn group(id: &str, name: &str) -> Value {
    json!({"id": id, "name": name, "agentApiKey": "not-to-be-kept", "orgId": "o", "links": []})
}

fn replica_set(id: &str) -> Value {
    json!({"id": id, "typeName": "REPLICA_SET", "clusterName": id, "replicaSetName": id})
}

#[tokio::test]
async fn every_page_of_every_project_is_read() {
    let next = json!([{"rel": "next", "href": "http://elsewhere.invalid/groups?pageNum=2"}]);
    let shelf = Shelf::default()
        .page("/groups", 200, json!({"results": [group("p1", "one")], "totalCount": 2, "links": next}))
        .page("/groups", 200, json!({"results": [group("p2", "two")], "totalCount": 2, "links": []}))
        .list("/groups/p1/clusters", json!([replica_set("a1"), replica_set("a2")]))
        .list("/groups/p1/backupConfigs", json!([{"clusterId": "a1", "statusName": "STARTED"}]))
        .list("/groups/p2/clusters", json!([{"id": "b0", "typeName": "SHARDED_REPLICA_SET", "clusterName": "b"}]))
        .list("/groups/p2/backupConfigs", json!([]));
    let found = ops_manager(settings(&url(shelf.serve().await))).discover().await.expect("a listing");
    let listed: Vec<_> = found.sightings.iter().map(|s| (s.target.name().to_string(), s.listing.clone())).collect();
    let expected = [("emea/one/a1/a1".to_owned(), Listing::Eligible), ("emea/one/a2/a2".to_owned(), Listing::NoBackup)];
    assert_eq!(listed, expected);
    assert_eq!(found.sightings[0].target.role, Role::ReplicaSet);
    assert_eq!(found.gaps.iter().map(|gap| gap.cluster.as_str()).collect::<Vec<_>>(), ["b"]);
    assert_eq!(found.unread, []);
    assert_eq!(found.server_version.as_deref(), Some("8.0.4.500.20250101T0000Z"));
}

#[tokio::test]
async fn a_project_that_cannot_be_read_leaves_the_others_alone() {
    let shelf = Shelf::default()
        .list("/groups", json!([group("p1", "one"), group("p2", "two"), group("p3", "three")]))
        .page("/groups/p1/clusters", 500, json!({"error": 500, "errorCode": "UNEXPECTED_ERROR"}))
        .list("/groups/p2/clusters", json!([replica_set("a1")]))
        .page("/groups/p2/backupConfigs", 401, json!({"error": 401, "errorCode": "USER_UNAUTHORIZED"}))
        .list("/groups/p3/clusters", json!([replica_set("unwanted")]))
        .list("/groups/p3/backupConfigs", json!([]));
    let mut settings = settings(&url(shelf.serve().await));
    settings.projects = vec![
        ProjectSelector::Name("one".to_owned()),
        ProjectSelector::Id("p2".into()),
        ProjectSelector::Name("two".to_owned()),
        ProjectSelector::Name("nowhere".to_owned()),
        ProjectSelector::Id("p9".into()),
    ];
    let found = ops_manager(settings).discover().await.expect("a listing");
    let listed: Vec<_> = found.sightings.iter().map(|s| (s.target.name().to_string(), &s.listing)).collect();
    assert_eq!(
        listed,
        [("emea/two/a1/a1".to_owned(), &Listing::Eligible)],
        "no role to list backups: the GET will tell"
    );
    let unread: Vec<_> = found.unread.iter().map(|u| (u.name.as_str(), u.failure.reason)).collect();
    let expected = [("nowhere", Reason::NotFound), ("p9", Reason::NotFound), ("one", Reason::ServerError)];
    assert_eq!(unread, expected);
    assert_eq!(found.unread[2].id, Some("p1".into()));
}

#[tokio::test]
async fn a_manager_that_refuses_us_is_one_failure_and_not_many() {
    let refused = json!({"error": 403, "errorCode": "IP_ADDRESS_NOT_ON_ACCESS_LIST", "parameters": ["203.0.113.9"]});
    let shelf = Shelf::default().list("/groups", json!([group("p1", "one"), group("p2", "two")])).page(
        "/groups/p1/clusters",
        403,
        refused,
    );
    let failure = ops_manager(settings(&url(shelf.serve().await))).discover().await.expect_err("refused");
    assert_eq!((failure.reason, failure.scope), (Reason::AddressRefused, Scope::Manager));
    assert!(failure.detail.contains("203.0.113.9"), "{failure}");
}

/// Every other entry is as good as before, and that something was passed over is told each time.
#[tokio::test]
async fn an_entry_that_cannot_be_read_costs_no_other() {
    for odd in
        [json!({"id": "../x", "name": "odd"}), json!({"name": "odd"}), json!({"id": 7}), json!("odd"), json!(null)]
    {
        let shelf = Shelf::default()
            .list("/groups", json!([odd, group("p1", "one"), group("p2", "two")]))
            .list("/groups/p1/clusters", json!([replica_set("a1"), odd]))
            .list("/groups/p1/backupConfigs", json!([{"clusterId": "a1", "statusName": "STARTED"}]))
            .list("/groups/p2/clusters", json!([replica_set("b1"), replica_set("b2")]))
            .list("/groups/p2/backupConfigs", json!([{"clusterId": "b1", "statusName": "STARTED"}, odd]));
        let found = ops_manager(settings(&url(shelf.serve().await))).discover().await.expect("a listing");
        let listed: Vec<_> = found.sightings.iter().map(|s| (s.target.name().to_string(), &s.listing)).collect();
        // Of b2 nothing is said: the backup that cannot be read may be its own.
        let expected =
            [("emea/one/a1/a1".to_owned(), &Listing::Eligible), ("emea/two/b1/b1".to_owned(), &Listing::Eligible)];
        assert_eq!(listed, expected);
        let unread: Vec<_> =
            found.unread.iter().map(|u| (u.id.as_ref().map(|id| id.as_str()), u.failure.reason)).collect();
        assert_eq!(
            unread,
            [(None, Reason::Unreadable), (Some("p1"), Reason::Unreadable), (Some("p2"), Reason::Unreadable)]
        );
        assert!(found.unread[1].failure.detail.contains("1 entry"), "{}", found.unread[1].failure);
    }
}

/// What a list lacks against its own count may be there: its project, or the list of projects, is not read in full. A count
/// that is too low, or missing, says nothing.
#[tokio::test]
async fn a_list_of_fewer_than_it_promises_is_not_read_in_full() {
    let sharded = json!({"id": "b0", "typeName": "SHARDED_REPLICA_SET", "clusterName": "b"});
    let lists = [
        ("/groups", json!([group("p1", "one")]), 1),
        ("/groups/p1/clusters", json!([replica_set("a1"), sharded]), 2),
        ("/groups/p1/backupConfigs", json!([{"clusterId": "other", "statusName": "STARTED"}]), 1),
    ];
    // How many more than there are each list promises; what is not read in full; whether a1 has no backup; the clusters
    // without config servers.
    for (more, unread, listed, gaps) in [
        ([Some(0); 3], &[] as &[Option<&str>], 1, 1),
        ([Some(-1); 3], &[], 1, 1),
        ([None; 3], &[], 1, 1),
        ([Some(1), Some(0), Some(0)], &[None], 1, 1),
        ([Some(0), Some(1), Some(0)], &[Some("p1")], 1, 0),
        ([Some(0), Some(0), Some(1)], &[Some("p1")], 0, 1),
        ([Some(1); 3], &[None, Some("p1")], 0, 0),
    ] {
        let shelf = lists.iter().zip(more).fold(Shelf::default(), |shelf, ((path, results, there), more)| {
            let promised = more.map(|more| there + more);
            let page = |results: &Value| match promised {
                Some(promised) => json!({"results": results, "totalCount": promised, "links": []}),
                None => json!({"results": results}),
            };
            shelf.page(path, 200, page(results)).page(path, 200, page(&json!([])))
        });
        let found = ops_manager(settings(&url(shelf.serve().await))).discover().await.expect("a listing");
        let told: Vec<_> = found.unread.iter().map(|u| u.id.as_ref().map(|id| id.as_str())).collect();
        assert_eq!((told.as_slice(), found.sightings.len(), found.gaps.len()), (unread, listed, gaps), "{more:?}");
        for u in &found.unread {
            assert_eq!(u.failure.reason, Reason::Unreadable);
            assert!(u.failure.detail.contains("entries, and has "), "{}", u.failure);
        }
    }
}

/// A page of a proxy's may be the time-out of one large project.
#[tokio::test]
async fn a_proxys_page_on_one_project_leaves_the_others_alone() {
    let shelf = Shelf::default()
        .list("/groups", json!([group("p1", "one"), group("p2", "two")]))
        .page("/groups/p1/clusters", 504, json!("<html>Gateway Time-out</html>"))
        .list("/groups/p2/clusters", json!([replica_set("b1")]))
        .list("/groups/p2/backupConfigs", json!([]));
    let found = ops_manager(settings(&url(shelf.serve().await))).discover().await.expect("a listing");
    assert_eq!(found.sightings.len(), 1);
    assert_eq!(found.unread.iter().map(|u| u.name.as_str()).collect::<Vec<_>>(), ["one"]);
}

/// A clock that goes on by so many seconds with every page that the server gives.
struct PageClock {
    pages: Arc<AtomicU64>,
    seconds: u64,
}

#[async_trait]
#[expect(clippy::disallowed_methods, reason = "no time passes in this test but that of the pages")]
impl Clock for PageClock {
    fn now(&self) -> jiff::Timestamp {
        jiff::Timestamp::UNIX_EPOCH
    }

    fn monotonic(&self) -> Duration {
        Duration::from_secs(self.pages.load(Ordering::SeqCst) * self.seconds)
    }

    async fn sleep(&self, length: Duration) {
        tokio::time::sleep(length).await;
    }
}

/// Lists a manager with eight projects of one cluster each, whose pages take so long; `endless` listings of clusters never end.
async fn slow(seconds: u64, endless: bool) -> (Result<Discovery, Failure>, u64) {
    let pages = Arc::new(AtomicU64::new(0));
    let served = Arc::clone(&pages);
    let handle = async move |uri: Uri| {
        let number = served.fetch_add(1, Ordering::SeqCst);
        if uri.path().ends_with("/groups") {
            let groups: Vec<_> = (0..8).map(|n| group(&format!("p{n}"), &format!("project {n}"))).collect();
            return json!({"results": groups, "totalCount": 8}).to_string();
        }
        let links = if endless { json!([{"rel": "next"}]) } else { json!([]) };
        json!({"results": [{"id": format!("c{number}"), "clusterId": format!("c{number}")}], "totalCount": 1, "links": links})
            .to_string()
    };
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let router = Router::new().fallback(handle);
    tokio::spawn(async move { axum::serve(listener, router).await });
    let clock = Arc::new(PageClock { pages: Arc::clone(&pages), seconds });
    let manager = OpsManager::new(settings(&format!("http://{address}")), clock, Arc::new(Told::default()));
    let found = manager.expect("usable settings").discover().await;
    (found, pages.load(Ordering::SeqCst))
}

#[tokio::test]
async fn a_listing_that_does_not_end_in_time_is_given_up() {
    let (found, pages) = slow(15, true).await;
    let found = found.expect("the projects");
    let unread: Vec<_> = found.unread.iter().map(|u| u.failure.reason).collect();
    assert_eq!(unread, [Reason::TimedOut; 8]);
    assert!(pages < 200, "{pages} pages");
    assert!(found.unread[0].failure.detail.contains("200 s"), "{}", found.unread[0].failure);
}

/// What a discovery has no time for is named, not forgotten.
#[tokio::test]
async fn a_discovery_ends_in_time_and_names_what_it_did_not_reach() {
    let (found, pages) = slow(500, false).await;
    let found = found.expect("the projects");
    assert_eq!(found.sightings.len(), 3);
    let unread: Vec<_> = found.unread.iter().map(|u| (u.name.as_str(), u.failure.reason)).collect();
    assert_eq!(unread.len(), 5);
    assert!(unread.contains(&("project 7", Reason::TimedOut)), "{unread:?}");
    assert!(pages < 10, "{pages} pages");
}

#[tokio::test]
async fn a_broken_listing_is_never_an_empty_one() {
    for document in [json!({}), json!({"results": null}), json!([]), json!({"results": [{"name": "no id"}]})] {
        let shelf = Shelf::default().page("/groups", 200, document);
        let failure = ops_manager(settings(&url(shelf.serve().await))).discover().await.expect_err("no listing");
        assert_eq!((failure.reason, failure.verdict), (Reason::Unreadable, Verdict::Transient), "{failure}");
    }
}
