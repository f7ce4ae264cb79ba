//! Listing a whole manager: pages, projects that cannot be read, and keys that may not see everything.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::IntoResponse;
use rekeyd::domain::{Listing, ProjectSelector, Reason, Role, Scope, Verdict};
use rekeyd::ports::KeyService;
use serde_json::{Value, json};

use crate::far_end::{ops_manager, settings};

/// A server that asks for no login and gives each path's documents by page number.
#[derive(Default, Clone)]
struct Shelf(HashMap<&'static str, Vec<(u16, Value)>>);

impl Shelf {
    fn page(mut self, path: &'static str, status: u16, document: Value) -> Self {
        self.0.entry(path).or_default().push((status, document));
        self
    }

    fn list(self, path: &'static str, results: Value) -> Self {
        let total = results.as_array().map_or(0, Vec::len);
        self.page(path, 200, json!({"results": results, "totalCount": total, "links": []}))
    }

    async fn serve(self) -> SocketAddr {
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

fn url(address: SocketAddr) -> String {
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

#[tokio::test]
async fn a_broken_listing_is_never_an_empty_one() {
    for document in [json!({}), json!({"results": null}), json!([]), json!({"results": [{"name": "no id"}]})] {
        let shelf = Shelf::default().page("/groups", 200, document);
        let failure = ops_manager(settings(&url(shelf.serve().await))).discover().await.expect_err("no listing");
        assert_eq!((failure.reason, failure.verdict), (Reason::Unreadable, Verdict::Transient), "{failure}");
    }
}
