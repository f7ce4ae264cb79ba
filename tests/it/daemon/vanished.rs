//! A project that the manager lists no more, as when our role in it is taken away: somebody is told; and what is only missing
//! from a list that is not whole is not called gone.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Router;
use axum::extract::State;
use axum::http::{Method, StatusCode, Uri};
use rekeyd::domain::AlertSubject;
use serde_json::{Value, json};

use super::site::{Running, Site, Wanted, until};

/// A manager of one project with one replica set. It asks for no login.
#[derive(Default)]
struct FarEnd {
    /// Which projects it lists: `SEEN`, `LOST` or `LACKING`.
    projects: AtomicU64,
    /// How often it was asked for them.
    listings: AtomicU64,
    /// How often the key was changed.
    rotations: AtomicU64,
}

/// The project is listed.
const SEEN: u64 = 0;
/// It is not, though the list says that it has an entry.
const LACKING: u64 = 1;
/// There are no projects to be seen.
const LOST: u64 = 2;

async fn answer(State(far_end): State<Arc<FarEnd>>, method: Method, uri: Uri) -> (StatusCode, String) {
    let list = |results: Value, total: u64| json!({"results": results, "totalCount": total, "links": []});
    let document = match uri.path().strip_prefix("/api/public/v1.0").unwrap_or_default() {
        "/groups" => {
            far_end.listings.fetch_add(1, Ordering::SeqCst);
            match far_end.projects.load(Ordering::SeqCst) {
                SEEN => list(json!([{"id": "p1", "name": "one"}]), 1),
                LACKING => list(json!([]), 1),
                _ => list(json!([]), 0),
            }
        }
        "/groups/p1/clusters" => list(json!([{"id": "a", "typeName": "REPLICA_SET", "clusterName": "rs"}]), 1),
        "/groups/p1/backupConfigs" => {
            list(json!([{"clusterId": "a", "statusName": "STARTED", "encryptionEnabled": true}]), 1)
        }
        "/groups/p1/backupConfigs/a/encryptionKey" => {
            let puts = u64::from(method == Method::PUT);
            let rotations = far_end.rotations.fetch_add(puts, Ordering::SeqCst) + puts;
            json!({"encryptionKeyUUID": format!("key-{rotations}")})
        }
        _ => return (StatusCode::NOT_FOUND, json!({"error": 404, "errorCode": "RESOURCE_NOT_FOUND"}).to_string()),
    };
    (StatusCode::OK, document.to_string())
}

/// The subjects and the words of what is told as gone.
async fn gone(daemon: &Running) -> Vec<(Value, String)> {
    let alerts: Value = serde_json::from_str(&daemon.get("/api/v1/alerts").await.1).unwrap();
    let alerts = alerts["alerts"].as_array().unwrap().iter().filter(|alert| alert["alert"] == "target_gone");
    alerts.map(|alert| (alert["subject"].clone(), alert["words"].as_str().unwrap().to_owned())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_project_that_is_listed_no_more_is_told() {
    let far_end = Arc::new(FarEnd::default());
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let router = Router::new().fallback(answer).with_state(Arc::clone(&far_end));
    tokio::spawn(async move { axum::serve(listener, router).await });
    let site = Site::new(&Wanted { manager: "discover_every = \"1s\"".to_owned(), ..Wanted::at(url, "any") });
    let daemon = site.start();
    until("the key is rotated", || {
        let fleet = site.reader().fleet().unwrap();
        fleet.targets.values().any(|target| target.last_rotation_at.is_some()).then_some(())
    })
    .unwrap();

    far_end.projects.store(LACKING, Ordering::SeqCst);
    let before = far_end.listings.load(Ordering::SeqCst);
    // Each list has ended, and what it told is on record, before the next one is asked for.
    let many = || (far_end.listings.load(Ordering::SeqCst) > before + 5).then_some(());
    until("the list without it was read more often than makes a target gone", many).unwrap();
    let fleet = site.reader().fleet().unwrap();
    assert!(fleet.targets.values().all(|target| target.gone_since.is_none()), "it is only not known to be there");
    assert!(fleet.managers["emea"].unread.contains_key("(others)"), "{:?}", fleet.managers);
    assert_eq!(gone(&daemon).await, []);

    far_end.projects.store(LOST, Ordering::SeqCst);
    until("it is on record that somebody is to be told", || {
        let subject = AlertSubject::Project("emea/p1".to_owned());
        site.reader().fleet().unwrap().alerts.keys().any(|(_, about)| *about == subject).then_some(())
    })
    .unwrap();
    let told = gone(&daemon).await;
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].0, json!({"project": "emea/p1"}));
    assert!(told[0].1.starts_with("emea/one: nothing of this project is listed any more since "), "{told:?}");
    let (_, scrape) = daemon.get("/metrics").await;
    assert!(scrape.contains("rekeyd_alerts_active{alert=\"target_gone\"} 1"), "{scrape}");
    assert!(!scrape.contains("rekeyd_target_info{"), "{scrape}");

    far_end.projects.store(SEEN, Ordering::SeqCst);
    until("it is back", || {
        let fleet = site.reader().fleet().unwrap();
        fleet.targets.values().all(|target| target.gone_since.is_none()).then_some(())
    })
    .unwrap();
    assert_eq!(gone(&daemon).await, []);
    assert_eq!(far_end.rotations.load(Ordering::SeqCst), 1);
}
