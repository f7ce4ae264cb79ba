//! What tests of `remote` share: a real clock, settings for a server on loopback, one target.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use rekeyd::domain::{ManagerName, Mechanism, Role, Target};
use rekeyd::ports::{Clock, Operation, RequestObserver, RequestOutcome};
use rekeyd::remote::ops_manager::{OpsManager, Settings};

/// The machine's clock.
pub(crate) struct RealClock(Instant);

#[async_trait]
#[expect(clippy::disallowed_methods, reason = "real servers need real time")]
impl Clock for RealClock {
    fn now(&self) -> jiff::Timestamp {
        jiff::Timestamp::now()
    }

    fn monotonic(&self) -> Duration {
        self.0.elapsed()
    }

    async fn sleep(&self, length: Duration) {
        tokio::time::sleep(length).await;
    }
}

#[expect(clippy::disallowed_methods, reason = "real servers need real time")]
pub(crate) fn real_clock() -> Arc<RealClock> {
    Arc::new(RealClock(Instant::now()))
}

/// Keeps what a key service told of its requests.
#[derive(Default)]
pub(crate) struct Told(pub(crate) Mutex<Vec<(Operation, RequestOutcome)>>);

impl RequestObserver for Told {
    fn requested(&self, _: &ManagerName, operation: Operation, outcome: RequestOutcome, _: Duration) {
        self.0.lock().expect("no test has panicked").push((operation, outcome));
    }
}

/// Settings for a server on loopback with the key pair that all test servers know.
pub(crate) fn settings(url: &str) -> Settings {
    // A second test may have been first.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Settings {
        name: "emea".into(),
        url: url.to_owned(),
        public_key: "user1".to_owned(),
        private_key: "apikey-1".into(),
        ca_pem: None,
        identity_pem: None,
        proxy: None,
        request_timeout: Duration::from_secs(20),
        requests_per_second: 100_000,
        max_concurrent: 4,
        projects: vec![],
    }
}

pub(crate) fn ops_manager(settings: Settings) -> OpsManager {
    OpsManager::new(settings, real_clock(), Arc::new(Told::default())).expect("usable settings")
}

pub(crate) fn target() -> Target {
    Target {
        manager: "emea".into(),
        project_id: "6b1000000000000000000001".into(),
        project: "billing".to_owned(),
        cluster_id: "6b1000000000000000000a01".into(),
        cluster: "ledger".to_owned(),
        replica_set: "ledger-0".to_owned(),
        role: Role::Shard,
        mechanism: Mechanism::BackupKey,
    }
}

/// The path at which the target's key is read and rotated.
pub(crate) const KEY_PATH: &str =
    "/api/public/v1.0/groups/6b1000000000000000000001/backupConfigs/6b1000000000000000000a01/encryptionKey";

/// An address on loopback that nobody listens at.
pub(crate) fn free_address() -> SocketAddr {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr()).expect("a free port")
}

/// Waits until the condition holds, at most a minute: the machine may be busy.
pub(crate) async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let clock = real_clock();
    while !condition() {
        assert!(clock.monotonic() < Duration::from_secs(60), "waited a minute until {what}");
        clock.sleep(Duration::from_millis(5)).await;
    }
}
