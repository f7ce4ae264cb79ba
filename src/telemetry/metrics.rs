//! The series that count what happens while the daemon lives; they start at zero with it, as Prometheus expects.
//!
//! Labels are bounded: managers, operations, reasons and status codes, never a target. What can be told from the record
//! (ages, due times, quarantines) is no business of counters: `http` computes it at each scrape.

use std::time::Duration;

use jiff::Timestamp;
use prometheus::core::Collector;
use prometheus::proto::MetricFamily;
use prometheus::{Gauge, Histogram, HistogramOpts, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};

use crate::domain::{ManagerName, Reason, ReceiverName};
use crate::ports::{DeliveryObserver, Operation, RequestObserver, RequestOutcome};

/// The label `code` of a request that got no reply.
const NO_REPLY: &str = "no_reply";

/// From a simulator's second to the hours that a loaded Ops Manager may take, in seconds.
const ROTATION_BUCKETS: [f64; 11] = [1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1_800.0, 3_600.0];
/// From a server next door to the default request time-out, in seconds.
const REQUEST_BUCKETS: [f64; 10] = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0];
/// From a fast disk's fsync to one that is about to fail, in seconds.
const COMMIT_BUCKETS: [f64; 10] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.25, 1.0, 2.5];

/// The live counters and histograms, in a registry of their own.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    rotation_attempts: IntCounterVec,
    rotation_failures: IntCounterVec,
    rotation_duration: Histogram,
    foreign_key_changes: IntCounterVec,
    api_requests: IntCounterVec,
    api_request_duration: HistogramVec,
    receiver_requests: IntCounterVec,
    ledger_commit_duration: Histogram,
    config_last_reload_successful: IntGauge,
    config_last_reload_success: Gauge,
}

impl Metrics {
    /// What every name begins with.
    pub(super) const PREFIX: &str = "rekeyd";

    /// The series of a daemon that runs as `version` on a configuration read at `configured_at`. Every series of
    /// these managers that can be known in advance exists from now on.
    pub fn new<'a>(
        version: &str,
        configured_at: Timestamp,
        managers: impl IntoIterator<Item = &'a ManagerName>,
    ) -> Self {
        let registry = Registry::new();
        let counters = |name, help, labels: &[&str]| taken(&registry, IntCounterVec::new(opts(name, help), labels));
        let histogram = |name, help, buckets: &[f64]| {
            taken(&registry, Histogram::with_opts(HistogramOpts::from(opts(name, help)).buckets(buckets.to_vec())))
        };
        let info = opts("build_info", "Always 1; the running version.");
        taken(&registry, IntGaugeVec::new(info, &["version"])).with_label_values(&[version]).set(1);
        let metrics = Self {
            rotation_attempts: counters(
                "rotation_attempts_total",
                "Attempts begun to answer a due slot; those that ended at their first look are among them.",
                &["manager"],
            ),
            rotation_failures: counters(
                "rotation_failures_total",
                "Attempts that failed, or whose deadline passed with the old key in use.",
                &["manager", "reason"],
            ),
            rotation_duration: histogram(
                "rotation_duration_seconds",
                "Time from the durable intent to the GET that showed the new key.",
                &ROTATION_BUCKETS,
            ),
            foreign_key_changes: counters(
                "foreign_key_changes_total",
                "Key changes that no rotation of ours explains; returns to an earlier key are among them.",
                &["manager"],
            ),
            api_requests: counters(
                "api_requests_total",
                "Requests to a manager, by the HTTP status that came back, or no_reply.",
                &["manager", "operation", "code"],
            ),
            api_request_duration: taken(
                &registry,
                HistogramVec::new(
                    HistogramOpts::from(opts("api_request_duration_seconds", "Time that requests to a manager took."))
                        .buckets(REQUEST_BUCKETS.to_vec()),
                    &["manager", "operation"],
                ),
            ),
            receiver_requests: counters(
                "receiver_requests_total",
                "Requests to a receiver of alerts, by the HTTP status that came back, or no_reply.",
                &["receiver", "code"],
            ),
            ledger_commit_duration: histogram(
                "ledger_commit_duration_seconds",
                "Time that the ledger took to make a group of records durable.",
                &COMMIT_BUCKETS,
            ),
            config_last_reload_successful: taken(
                &registry,
                IntGauge::with_opts(opts(
                    "config_last_reload_successful",
                    "Whether the newest reading of the configuration succeeded.",
                )),
            ),
            config_last_reload_success: taken(
                &registry,
                Gauge::with_opts(opts(
                    "config_last_reload_success_timestamp_seconds",
                    "When the configuration in force was read.",
                )),
            ),
            registry,
        };
        metrics.config_loaded(configured_at);
        for manager in managers {
            metrics.know(manager);
        }
        metrics
    }

    /// Makes every series of a manager that can be known in advance, at zero: a rate can then see the first event.
    pub fn know(&self, manager: &ManagerName) {
        let manager = manager.as_str();
        self.rotation_attempts.with_label_values(&[manager]);
        self.foreign_key_changes.with_label_values(&[manager]);
        for &reason in Reason::ALL {
            self.rotation_failures.with_label_values(&[manager, reason.as_str()]);
        }
        for &operation in Operation::ALL {
            self.api_requests.with_label_values(&[manager, operation.as_str(), NO_REPLY]);
            self.api_request_duration.with_label_values(&[manager, operation.as_str()]);
        }
    }

    /// The same for a receiver of alerts.
    pub fn know_receiver(&self, receiver: &ReceiverName) {
        self.receiver_requests.with_label_values(&[receiver.as_str(), NO_REPLY]);
    }

    /// The ledger made a group of records durable in this time.
    pub fn ledger_committed(&self, took: Duration) {
        self.ledger_commit_duration.observe(took.as_secs_f64());
    }

    /// A configuration was read at this time and is in force.
    pub fn config_loaded(&self, at: Timestamp) {
        self.config_last_reload_successful.set(1);
        self.config_last_reload_success.set(at.as_duration().as_secs_f64());
    }

    /// A configuration was read and refused; the former one stays in force.
    pub fn config_refused(&self) {
        self.config_last_reload_successful.set(0);
    }

    pub(super) fn rotation_attempted(&self, manager: &ManagerName) {
        self.rotation_attempts.with_label_values(&[manager.as_str()]).inc();
    }

    pub(super) fn rotation_failed(&self, manager: &ManagerName, reason: Reason) {
        self.rotation_failures.with_label_values(&[manager.as_str(), reason.as_str()]).inc();
    }

    pub(super) fn rotation_took(&self, length: Duration) {
        self.rotation_duration.observe(length.as_secs_f64());
    }

    pub(super) fn foreign_key_changed(&self, manager: &ManagerName) {
        self.foreign_key_changes.with_label_values(&[manager.as_str()]).inc();
    }

    pub(super) fn gather(&self) -> Vec<MetricFamily> {
        self.registry.gather()
    }
}

impl RequestObserver for Metrics {
    fn requested(&self, manager: &ManagerName, operation: Operation, outcome: RequestOutcome, took: Duration) {
        let (manager, operation) = (manager.as_str(), operation.as_str());
        match outcome {
            RequestOutcome::Status(status) => {
                self.api_requests.with_label_values(&[manager, operation, &status.to_string()]).inc();
            }
            RequestOutcome::NoReply => self.api_requests.with_label_values(&[manager, operation, NO_REPLY]).inc(),
        }
        self.api_request_duration.with_label_values(&[manager, operation]).observe(took.as_secs_f64());
    }
}

impl DeliveryObserver for Metrics {
    fn delivered(&self, receiver: &ReceiverName, outcome: RequestOutcome) {
        let code = match outcome {
            RequestOutcome::Status(status) => status.to_string(),
            RequestOutcome::NoReply => NO_REPLY.to_owned(),
        };
        self.receiver_requests.with_label_values(&[receiver.as_str(), &code]).inc();
    }
}

fn opts(name: &str, help: &str) -> Opts {
    Opts::new(name, help).namespace(Metrics::PREFIX)
}

/// Takes a new metric into the registry.
fn taken<M: Collector + Clone + 'static>(registry: &Registry, metric: prometheus::Result<M>) -> M {
    let metric = metric.expect("names, labels and buckets are constants and well formed");
    registry.register(Box::new(metric.clone())).expect("each name is registered once");
    metric
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(metrics: &Metrics) -> String {
        String::from_utf8(metrics.encode(Vec::new())).unwrap()
    }

    /// A series that appears with its first event hides that event from every rate.
    #[test]
    fn series_known_in_advance_are_there_at_zero() {
        let metrics = Metrics::new("1.2.3", Timestamp::UNIX_EPOCH, [&"emea".into()]);
        let text = text(&metrics);
        for &reason in Reason::ALL {
            let line = format!("rekeyd_rotation_failures_total{{manager=\"emea\",reason=\"{}\"}} 0\n", reason.as_str());
            assert!(text.contains(&line), "{line}");
        }
        assert!(text.contains("rekeyd_rotation_attempts_total{manager=\"emea\"} 0\n"), "{text}");
        assert!(text.contains("rekeyd_api_request_duration_seconds_count{manager=\"emea\",operation=\"get_key\"} 0\n"));
        assert!(text.contains("rekeyd_build_info{version=\"1.2.3\"} 1\n"));
    }

    #[test]
    fn a_request_is_counted_by_its_status() {
        let metrics = Metrics::new("1", Timestamp::UNIX_EPOCH, []);
        let emea = ManagerName::from("emea");
        metrics.requested(&emea, Operation::RotateKey, RequestOutcome::Status(429), Duration::from_millis(20));
        metrics.requested(&emea, Operation::RotateKey, RequestOutcome::NoReply, Duration::from_secs(30));
        let text = text(&metrics);
        for line in [
            "rekeyd_api_requests_total{code=\"429\",manager=\"emea\",operation=\"rotate_key\"} 1\n",
            "rekeyd_api_requests_total{code=\"no_reply\",manager=\"emea\",operation=\"rotate_key\"} 1\n",
            "rekeyd_api_request_duration_seconds_count{manager=\"emea\",operation=\"rotate_key\"} 2\n",
        ] {
            assert!(text.contains(line), "{line}{text}");
        }
    }

    /// A refused configuration keeps the time of the one in force.
    #[test]
    fn a_refused_configuration_is_seen() {
        let metrics = Metrics::new("1", "2026-01-01T00:00:00Z".parse().unwrap(), []);
        metrics.config_refused();
        let text = text(&metrics);
        assert!(text.contains("rekeyd_config_last_reload_successful 0\n"), "{text}");
        assert!(text.contains("rekeyd_config_last_reload_success_timestamp_seconds 1767225600\n"), "{text}");
    }
}
