//! The lists of API keys as strangers' clients read them: curl, and the public library pyomsdk.

use std::collections::BTreeSet;

use rekeyd::simulator::{AccessSpec, ApiKeySpec, ORGANIZATION, Simulator, SimulatorSpec};
use serde_json::{Value, json};

use super::curl::curl;
use super::python::pyomsdk;
use super::{invoices, start, url};

/// The login, which may read all, and so many other global keys.
pub(crate) fn many(others: usize) -> AccessSpec {
    let login = ApiKeySpec::new("simulator", "rekeyd").global("GLOBAL_READ_ONLY");
    let others = (1..=others).map(|n| ApiKeySpec::new(format!("key{n:05}"), format!("No. {n}")).global("GLOBAL_OWNER"));
    AccessSpec { keys: std::iter::once(login).chain(others).collect(), global_access_list: Vec::new() }
}

fn ids(pages: &[&Value]) -> Vec<String> {
    let results = pages.iter().flat_map(|page| page["results"].as_array().unwrap());
    results.map(|key| key["id"].as_str().unwrap().to_owned()).collect()
}

/// The documented result, field by field, as the page "Get All Global API Keys" has it.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_shown_as_documented() {
    let login = ApiKeySpec::new("simulator", "rekeyd").global("GLOBAL_READ_ONLY");
    let mut access = AccessSpec::default();
    access.keys[0] = login;
    let simulator = start(SimulatorSpec { access, ..SimulatorSpec::default() }).await;
    let page = curl(&simulator, &[&url(&simulator, "/admin/apiKeys?pretty=true&envelope=true&itemsPerPage=2")]).await;
    assert!(page.body.contains("\n  "), "pretty: {}", page.body);
    let page = page.json();
    assert_eq!((page["status"].as_u64(), page["totalCount"].as_u64()), (Some(200), Some(3)));
    assert_eq!(page["links"][1]["rel"], "next");
    let key = &page["results"][1];
    let id = key["id"].as_str().unwrap();
    assert_eq!(
        (&key["desc"], &key["publicKey"], &key["roles"]),
        (&json!("console of the platform team"), &json!("wqkzfemr"), &json!([{"roleName": "GLOBAL_OWNER"}]))
    );
    assert_eq!(key["links"][0]["href"], url(&simulator, &format!("/orgs/null/apiKeys/{id}")));
    let private_key = key["privateKey"].as_str().unwrap();
    assert!(private_key.starts_with("********-****-****-") && private_key.len() == 31, "{private_key}");
}

/// 1,201 keys stand on three pages of at most 500, each once; pyomsdk and curl are told the same, in an envelope too.
#[tokio::test(flavor = "multi_thread")]
async fn pyomsdk_and_curl_read_the_same_lists() {
    let simulator = start(SimulatorSpec { access: many(1_200), ..SimulatorSpec::default() }).await;
    let project = invoices(&simulator).project;
    let told = pyomsdk(&simulator, "keys.py", &[ORGANIZATION, &project]).await;
    let mut pages = Vec::new();
    for page in 1..=3 {
        let path = format!("/admin/apiKeys?pageNum={page}&itemsPerPage=1000");
        pages.push(curl(&simulator, &[&url(&simulator, &path)]).await.json());
    }
    assert_eq!(pages.iter().map(|page| page["results"].as_array().unwrap().len()).collect::<Vec<_>>(), [500, 500, 201]);
    let wanted = ids(&pages.iter().collect::<Vec<_>>());
    assert_eq!(wanted.iter().collect::<BTreeSet<_>>().len(), 1_201);
    for form in ["plain", "enveloped"] {
        let told: Vec<&Value> = told[form].as_array().unwrap().iter().collect();
        assert_eq!(ids(&told), wanted, "{form}");
        assert_eq!(told[0].get("status").is_some(), form == "enveloped");
    }
    for list in ["organization", "project", "access_list"] {
        assert_eq!((&told[list]["totalCount"], &told[list]["results"]), (&json!(0), &json!([])), "{list}");
    }
}

/// Asks for every list with a login that has these roles; the statuses, and the codes of the refusals.
async fn asked_by(simulator: &Simulator, login: ApiKeySpec) -> Vec<(u16, Option<String>)> {
    let other = ApiKeySpec::new("other", "other").organization("ORG_MEMBER").from_address("192.0.2.7/32");
    let other_id = other.id();
    simulator.set_access(AccessSpec { keys: vec![login, other], global_access_list: Vec::new() });
    let project = invoices(simulator).project;
    let mut answers = Vec::new();
    for path in [
        "/admin/apiKeys".to_owned(),
        "/admin/accessList".to_owned(),
        format!("/orgs/{ORGANIZATION}/apiKeys"),
        format!("/orgs/{ORGANIZATION}/apiKeys/{other_id}/accessList"),
        format!("/groups/{project}/apiKeys"),
    ] {
        let reply = curl(simulator, &[&url(simulator, &path)]).await;
        answers.push((reply.status(), reply.json()["errorCode"].as_str().map(str::to_owned)));
    }
    answers
}

/// Each list wants a role that reaches it, and says so by 401 with a code, which a wrong password does not have.
#[tokio::test(flavor = "multi_thread")]
async fn a_list_wants_its_role() {
    let simulator = start(SimulatorSpec::default()).await;
    let login = || ApiKeySpec::new("simulator", "rekeyd");
    let member = || login().organization("ORG_MEMBER");
    for (login, allowed) in [
        (login(), [false; 5]),
        (login().global("GLOBAL_READ_ONLY"), [true; 5]),
        (login().global("GLOBAL_BILLING_ADMIN"), [false; 5]),
        (member(), [false, false, true, false, false]),
        (member().project("billing", "GROUP_READ_ONLY"), [false, false, true, false, true]),
        (member().project("identity", "GROUP_READ_ONLY"), [false, false, true, false, false]),
        (login().organization("ORG_OWNER"), [false, false, true, true, true]),
    ] {
        let answers = asked_by(&simulator, login.clone()).await;
        let wanted =
            allowed.map(|allowed| if allowed { (200, None) } else { (401, Some("USER_UNAUTHORIZED".to_owned())) });
        assert_eq!(answers, wanted, "{login:?}");
    }
    for (path, code) in [
        ("/orgs/xyz/apiKeys", "INVALID_ORG_ID"),
        ("/orgs/0123456789abcdef01234567/apiKeys", "ORG_NOT_FOUND"),
        ("/groups/0123456789abcdef01234567/apiKeys", "GROUP_NOT_FOUND"),
    ] {
        assert_eq!(curl(&simulator, &[&url(&simulator, path)]).await.json()["errorCode"], code);
    }
}
