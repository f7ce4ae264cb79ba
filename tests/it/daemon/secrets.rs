//! Canaries: the private key, and the keys that the far end's listings hold for its agents, appear nowhere.

use md5::{Digest, Md5};
use rekeyd::simulator::{AGENT_API_KEY_PREFIX, Credentials, FaultKind, FleetSpec, Simulator, SimulatorSpec};

use super::accounts::all_settled;
use super::site::{Running, Site, Wanted};

const CANARY: &str = "canary-8d0f6c1e-private-key";

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_seen_anywhere() {
    let spec = SimulatorSpec {
        fleet: FleetSpec::uniform(20),
        credentials: Credentials { public_key: "simulator".to_owned(), private_key: CANARY.to_owned() },
        faults: vec![FaultKind::CutAfter.everywhere().probability(0.3), FaultKind::ErrorBefore.everywhere().times(3)],
        ..SimulatorSpec::default()
    };
    let realm = spec.digest.realm.clone();
    let simulator = Simulator::start(spec).await.unwrap();
    // Whoever has this can log in, though it is not the key itself.
    let login: String =
        Md5::digest(format!("simulator:{realm}:{CANARY}")).iter().map(|byte| format!("{byte:02x}")).collect();

    let site = Site::new(&Wanted::of(&simulator));
    let daemon = Running::listening(site.command(&["run", "--log-level", "trace"]));
    all_settled(&site, &simulator);
    let mut seen: Vec<(String, Vec<u8>)> = Vec::new();
    for route in rekeyd::http::ROUTES {
        seen.push(((*route).to_owned(), daemon.get(route).await.1.into_bytes()));
    }
    seen.push(("/readyz?verbose".to_owned(), daemon.get("/readyz?verbose").await.1.into_bytes()));
    for file in ["cmdline", "environ"] {
        seen.push((file.to_owned(), std::fs::read(format!("/proc/{}/{file}", daemon.pid())).unwrap()));
    }
    // Wrong now: what is said about a refused login is said at its loudest.
    simulator.set_wrong_password(true);
    for arguments in [
        &["config", "show"][..],
        &["check"],
        &["check", "--json"],
        &["status"],
        &["status", "--json"],
        &["history", "--json"],
        &["plan", "--json"],
        &["audit", "verify", "--json"],
    ] {
        let answer = site.ask(arguments);
        seen.push((arguments.join(" "), answer.text().into_bytes()));
    }
    // With its write-ahead log, as a killed daemon leaves it.
    seen.push(("the log".to_owned(), daemon.kill().into_bytes()));
    for file in std::fs::read_dir(site.state()).unwrap() {
        let file = file.unwrap();
        // The socket for orders holds nothing.
        if !file.file_type().unwrap().is_file() {
            continue;
        }
        let path = file.path();
        seen.push((path.display().to_string(), std::fs::read(&path).unwrap()));
    }

    for (place, bytes) in &seen {
        for canary in [CANARY, AGENT_API_KEY_PREFIX, &login] {
            let found = bytes.windows(canary.len()).any(|window| window == canary.as_bytes());
            assert!(!found, "{canary} is seen in {place}");
        }
    }
}
