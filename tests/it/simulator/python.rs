//! The public client library pyomsdk: the only one that knows the two calls this project is about.

use std::path::Path;
use std::process::Command;

use rekeyd::simulator::{DigestRules, Simulator, SimulatorSpec, Truth};
use serde_json::Value;

use super::start;

/// A stranger's client rotates a shard's key and sees what the truth says.
#[tokio::test(flavor = "multi_thread")]
async fn pyomsdk_rotates_a_key() {
    let truth = rotate_a_key(SimulatorSpec::default()).await;
    assert_eq!(truth.requests.unauthenticated, 1, "it kept its nonce");
    assert_eq!(truth.requests.stale, 0);
}

/// The same with a server on which a nonce is good for two requests: the client is told that it is stale, and goes on.
#[tokio::test(flavor = "multi_thread")]
async fn pyomsdk_rotates_a_key_with_short_lived_nonces() {
    let digest = DigestRules { nonce_uses: Some(2), ..DigestRules::default() };
    let spec = SimulatorSpec { digest, ..SimulatorSpec::default() };
    let truth = rotate_a_key(spec).await;
    assert_eq!(truth.requests.stale, 2, "six requests, three nonces");
}

async fn rotate_a_key(spec: SimulatorSpec) -> Truth {
    let simulator = start(spec).await;
    let target = simulator.target("billing/ledger/ledger-1").unwrap();
    let told = pyomsdk(&simulator, "rotate.py", &[&target.project, &target.id]).await;

    let names = told["projects"]["results"].as_array().unwrap().iter();
    let names: Vec<_> = names.map(|p| p["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["billing", "identity", "analytics"]);
    let clusters = told["clusters"]["results"].as_array().unwrap();
    let types: Vec<_> = clusters.iter().map(|c| c["typeName"].as_str().unwrap()).collect();
    assert_eq!(types[0], "SHARDED_REPLICA_SET");
    assert_eq!(types[4], "CONFIG_SERVER_REPLICA_SET");
    assert_eq!(told["backup_configs"]["totalCount"], clusters.len());
    assert_eq!(told["rotation"], serde_json::json!({}));

    let truth = simulator.stop().await;
    let rotations: Vec<_> = truth.rotations().collect();
    assert_eq!(rotations.len(), 1);
    assert_eq!(rotations[0].name, target.name);
    assert_eq!(told["before"]["encryptionKeyUUID"], rotations[0].key_before);
    assert_eq!(told["after"]["encryptionKeyUUID"], rotations[0].key_after);
    assert_eq!(truth.requests.bad_logins, 0);
    truth
}

/// Runs one of the scripts of `tests/clients` against the simulator; what it printed.
pub(super) async fn pyomsdk(simulator: &Simulator, script: &str, arguments: &[&str]) -> Value {
    let login = simulator.credentials();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = root.join("target/test-tools/venv/bin/python");
    assert!(python.exists(), "the Python client is missing: run tests/setup.sh");
    let mut command = Command::new(python);
    command.arg(root.join("tests/clients").join(script));
    command.args([&simulator.url(), &login.public_key, &login.private_key]).args(arguments);
    let output = tokio::task::spawn_blocking(move || command.output());
    let output = output.await.unwrap().unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{complaint}");
    serde_json::from_slice(&output.stdout).unwrap()
}
