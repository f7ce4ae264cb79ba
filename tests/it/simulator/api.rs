//! The resources as a client sees them: pages, documents, and the ways in which something is not there.

use std::collections::BTreeSet;

use rekeyd::simulator::{AGENT_API_KEY_PREFIX, ClusterSpec, FleetSpec, ProjectSpec, SimulatorSpec};

use super::curl::curl;
use super::{invoices, key_url, start, url};

/// Whoever follows `next` from the first page sees every cluster once, also on a server with small pages.
#[tokio::test(flavor = "multi_thread")]
async fn following_next_finds_every_cluster() {
    let spec = SimulatorSpec { fleet: FleetSpec::uniform(7), page_cap: 3, ..SimulatorSpec::default() };
    let simulator = start(spec).await;
    let projects = curl(&simulator, &[&url(&simulator, "/groups")]).await.json();
    let project = &projects["results"][0];
    let key = project["agentApiKey"].as_str().unwrap();
    assert!(key.starts_with(AGENT_API_KEY_PREFIX));

    let path = format!("/groups/{}/clusters?itemsPerPage=500", project["id"].as_str().unwrap());
    let mut next = Some(url(&simulator, &path));
    let mut found = Vec::new();
    while let Some(page) = next {
        let page = curl(&simulator, &[&page]).await.json();
        assert_eq!(page["totalCount"], 7);
        let results = page["results"].as_array().unwrap().iter();
        found.extend(results.map(|c| c["id"].as_str().unwrap().to_owned()));
        let mut links = page["links"].as_array().unwrap().iter();
        let link = links.find(|link| link["rel"] == "next");
        next = link.map(|link| link["href"].as_str().unwrap().to_owned());
    }
    assert_eq!(found.len(), 7);
    let expected: BTreeSet<_> = simulator.targets().into_iter().map(|t| t.id).collect();
    assert_eq!(found.into_iter().collect::<BTreeSet<_>>(), expected);
}

/// Each way of not finding something has its own error code, and all replies after a login name the version.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_is_refused_by_name() {
    let simulator = start(SimulatorSpec::default()).await;
    let target = invoices(&simulator);
    let (p, c) = (&target.project, &target.id);
    let nobody = "0123456789abcdef01234567";
    let parent = curl(&simulator, &[&url(&simulator, &format!("/groups/{p}/clusters"))]).await;
    let parent = parent.json()["results"][0].clone();
    assert_eq!(parent["typeName"], "SHARDED_REPLICA_SET");
    let parent = parent["id"].as_str().unwrap();
    for (path, status, code) in [
        ("/groups/xyz".into(), 404, "INVALID_GROUP_ID"),
        (format!("/groups/{nobody}"), 404, "GROUP_NOT_FOUND"),
        ("/groups/byName/nobody".into(), 404, "GROUP_NOT_FOUND"),
        (format!("/groups/{p}/clusters/xyz"), 404, "INVALID_CLUSTER_ID"),
        (format!("/groups/{p}/backupConfigs/{nobody}/encryptionKey"), 404, "CLUSTER_NOT_FOUND"),
        (format!("/groups/{p}/backupConfigs/{parent}/encryptionKey"), 409, "CANNOT_GET_BACKUP_CONFIG_INVALID_STATE"),
        ("/hosts".into(), 404, "RESOURCE_NOT_FOUND"),
        ("/groups?pageNum=none".into(), 400, "INVALID_QUERY_PARAMETER"),
    ] {
        let reply = curl(&simulator, &[&url(&simulator, &path)]).await;
        assert_eq!(reply.status(), status, "{path}");
        assert_eq!(reply.json()["errorCode"], code, "{path}");
        assert_eq!(reply.json()["error"], status, "{path}");
        let version = reply.header("x-mongodb-service-version").unwrap();
        assert!(version.contains("; versionString=5.0"), "{version}");
    }
    let enveloped = url(&simulator, &format!("/groups/{p}/clusters/{c}?envelope=true"));
    let enveloped = curl(&simulator, &[&enveloped]).await.json();
    assert_eq!(enveloped["status"], 200);
    assert_eq!(enveloped["content"]["replicaSetName"], "invoices");
}

/// A PUT takes no parameters: an empty object or nothing; anything else is refused and changes nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_put_takes_an_empty_object_or_nothing() {
    let simulator = start(SimulatorSpec::default()).await;
    let url = key_url(&simulator, &invoices(&simulator));
    for (body, status) in [("", 201), ("{}", 201), (r#"{"a":1}"#, 400), ("{", 400)] {
        let put = curl(&simulator, &["-X", "PUT", "--data", body, &url]).await;
        assert_eq!(put.status(), status, "{body}");
    }
    assert_eq!(curl(&simulator, &["-X", "DELETE", &url]).await.status(), 405);
    let truth = simulator.stop().await;
    assert_eq!((truth.puts.len(), truth.changes.len()), (4, 2));
}

/// The refusals that say "not by this way", with a status that a client must not lean on.
#[tokio::test(flavor = "multi_thread")]
async fn deployments_that_manage_their_own_keys_refuse() {
    let fleet = ProjectSpec::new("p")
        .cluster(ClusterSpec::replica_set("modern").governed_by_deployment())
        .cluster(ClusterSpec::replica_set("plain").unencrypted());
    let spec =
        SimulatorSpec { fleet: FleetSpec::empty().project(fleet), disabled_status: 409, ..SimulatorSpec::default() };
    let simulator = start(spec).await;
    let modern = key_url(&simulator, &simulator.target("p/modern/modern").unwrap());
    let plain = key_url(&simulator, &simulator.target("p/plain/plain").unwrap());

    let get = curl(&simulator, &[&modern]).await;
    let code = "GET_ENCRYPTION_KEY_DISABLED_FOR_WT_CHECKPOINTS";
    assert_eq!((get.status(), get.json()["errorCode"].as_str()), (409, Some(code)));
    for url in [&modern, &plain] {
        let put = curl(&simulator, &["-X", "PUT", url]).await;
        let code = "CANNOT_ROTATE_KEY_ENCRYPTION_DISABLED";
        assert_eq!((put.status(), put.json()["errorCode"].as_str()), (409, Some(code)));
    }
    let get = curl(&simulator, &[&plain]).await;
    assert_eq!(get.status(), 200);
    assert_eq!(get.json().get("encryptionKeyUUID"), None);
    assert!(simulator.stop().await.changes.is_empty());
}

/// A target that leaves the fleet is gone for clients and stays in the truth; one that is renamed keeps its key.
#[tokio::test(flavor = "multi_thread")]
async fn the_fleet_can_change_while_it_runs() {
    let fleet = |name: &str, more: bool| {
        let cluster = ClusterSpec::replica_set("old").renamed(name);
        let mut project = ProjectSpec::new("p").cluster(cluster);
        if more {
            project = project.cluster(ClusterSpec::replica_set("gone"));
        }
        FleetSpec::empty().project(project)
    };
    let spec = SimulatorSpec { fleet: fleet("old", true), ..SimulatorSpec::default() };
    let simulator = start(spec).await;
    let old = simulator.target("p/old/old").unwrap();
    let gone = key_url(&simulator, &simulator.target("p/gone/gone").unwrap());
    let before = curl(&simulator, &[&key_url(&simulator, &old)]).await.json();
    simulator.set_fleet(&fleet("new", false));
    let new = simulator.target("p/new/old").unwrap();
    assert_eq!(new.id, old.id);
    let after = curl(&simulator, &[&key_url(&simulator, &new)]).await.json();
    assert_eq!(before["encryptionKeyUUID"], after["encryptionKeyUUID"]);
    assert_eq!(curl(&simulator, &[&gone]).await.status(), 404);
    assert_eq!(simulator.stop().await.targets.len(), 2);
}

/// Whoever only wants to know how much was asked need not fetch the whole truth.
#[tokio::test(flavor = "multi_thread")]
async fn requests_are_counted_for_who_asks() {
    let simulator = start(SimulatorSpec::default()).await;
    curl(&simulator, &[&url(&simulator, "/groups")]).await;
    let counts = curl(&simulator, &[&format!("{}/_sim/requests", simulator.url())]).await.json();
    assert_eq!(counts, serde_json::to_value(simulator.truth().requests).unwrap());
    assert_eq!((counts["lists"].as_u64(), counts["unauthenticated"].as_u64()), (Some(1), Some(1)));
}
