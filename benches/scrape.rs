//! What a scrape of ten thousand targets costs, and whom it holds up: the real store, engine and listener on loopback.
//!
//! `cargo bench --bench scrape` prints a table. What a scrape is held against is the time that the `prometheus` crate takes to
//! write the same families as text, from memory and with nothing else to do.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "a measurement may fail, and prints"
)]
#![expect(clippy::disallowed_methods, reason = "what is measured is real time")]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use prometheus::proto::{Gauge, LabelPair, Metric, MetricFamily, MetricType};
use prometheus::{Encoder, TextEncoder};
use rekeyd::app::SystemClock;
use rekeyd::domain::{Actor, Entry, Event, Listing, Mechanism, Role, Target};
use rekeyd::engine::Engine;
use rekeyd::http::{self, Inputs};
use rekeyd::policy::{ManagerRules, Policy, Rules};
use rekeyd::ports::{Archive, Clock, Journal, JournalError, Observer};
use rekeyd::store::Store;
use rekeyd::telemetry::Metrics;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

const TARGETS: usize = 10_000;
const PAGED: usize = 1_000;
const ROUNDS: usize = 21;

/// Nobody is told.
struct Nobody;

impl Observer for Nobody {
    fn recorded(&self, _: &[Entry]) {}
    fn record_failed(&self, _: &JournalError) {}
    fn rotation_took(&self, _: Duration) {}
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(measure());
}

async fn measure() {
    let scraped = Shown::of(TARGETS).await;
    let address = scraped.address;
    let text = String::from_utf8(get(address, "/metrics", "identity").await).unwrap();
    let families = families(&text);
    let floor = || {
        let mut bytes = Vec::new();
        TextEncoder::new().encode(&families, &mut bytes).unwrap();
        assert!(bytes.len() > text.len() / 2);
    };
    let (mut alone, mut scrape) = (Vec::new(), Vec::new());
    // In turns, so that whatever else the machine does is in both.
    for _ in 0..ROUNDS {
        let began = Instant::now();
        floor();
        alone.push(began.elapsed());
        let began = Instant::now();
        get(address, "/metrics", "identity").await;
        scrape.push(began.elapsed());
    }
    let (alone, scrape) = (median(alone.into_iter()), median(scrape.into_iter()));
    println!("{TARGETS} targets, {} lines; medians of {ROUNDS}", text.lines().count());
    println!("  the crate alone, from memory      {alone:>9.1?}  {:>9} bytes", text.len());
    println!(
        "  scrape                            {scrape:>9.1?}  {:.1} times that",
        scrape.as_secs_f64() / alone.as_secs_f64()
    );
    for (name, path, accepts) in [
        ("scrape, gzip", "/metrics", "gzip"),
        ("/healthz", "/healthz", "identity"),
        ("/api/v1/targets", "/api/v1/targets", "identity"),
        ("page", "/", "identity"),
        ("page, gzip", "/", "gzip"),
    ] {
        time(address, name, path, accepts).await;
    }
    let paged = Shown::of(PAGED).await;
    println!("{PAGED} targets");
    for (name, accepts) in [("page", "identity"), ("page, gzip", "gzip")] {
        time(paged.address, name, "/", accepts).await;
    }
    let store = scraped.store;
    println!("{TARGETS} targets");
    let alone = records(&store).await;
    let stop = Arc::new(AtomicBool::new(false));
    let scraping = tokio::spawn({
        let stop = Arc::clone(&stop);
        async move {
            let mut scrapes = 0;
            while !stop.load(Ordering::Relaxed) {
                get(address, "/metrics", "gzip").await;
                scrapes += 1;
            }
            scrapes
        }
    });
    let scraped = records(&store).await;
    stop.store(true, Ordering::Relaxed);
    let scrapes = scraping.await.unwrap();
    println!("  a record made durable, alone      {:>9.1?}  at most {:.1?}", alone.0, alone.1);
    println!("  the same under {scrapes:>3} scrapes        {:>9.1?}  at most {:.1?}", scraped.0, scraped.1);
}

/// A listener that shows so many targets.
struct Shown {
    store: Arc<Store>,
    address: SocketAddr,
    _dir: tempfile::TempDir,
}

impl Shown {
    async fn of(targets: usize) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Arc::new(Store::open(dir.path(), [1; 32]).unwrap());
        store.record(fleet(targets)).await.unwrap();
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let policy = Arc::new(Policy::with_defaults("default".into()));
        let manager = ManagerRules::new(4, policy);
        let rules = Arc::new(Rules { managers: BTreeMap::from([("emea".into(), manager)]), ..Rules::default() });
        let journal = Arc::clone(&store) as Arc<dyn Journal>;
        let engine = Engine::new(BTreeMap::new(), Arc::clone(&rules), journal, Arc::clone(&clock), Arc::new(Nobody));
        let metrics = Arc::new(Metrics::new("1", clock.now(), [&"emea".into()]));
        let archive = Arc::clone(&store) as Arc<dyn Archive>;
        let (_, rules) = tokio::sync::watch::channel(rules);
        let inputs = Inputs { gauge: Arc::new(engine), archive, rules, metrics, hosts: Vec::new() };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(http::serve(listener, http::router(inputs), None, CancellationToken::new()));
        Self { store, address, _dir: dir }
    }
}

/// Prints how long an answer takes, and its length.
async fn time(address: SocketAddr, name: &str, path: &str, accepts: &str) {
    let mut took = Vec::new();
    let mut bytes = 0;
    for _ in 0..ROUNDS {
        let began = Instant::now();
        bytes = get(address, path, accepts).await.len();
        took.push(began.elapsed());
    }
    println!("  {name:<32}  {:>9.1?}  {bytes:>9} bytes", median(took.into_iter()));
}

/// How long the store takes to make a record durable while nobody, or somebody, looks: the median and the longest.
async fn records(store: &Arc<Store>) -> (Duration, Duration) {
    let mut took = Vec::new();
    for _ in 0..300 {
        let event = Event::DaemonStopped { parked: 0 };
        let entry = Entry { at: SystemClock::now(), actor: Actor::Daemon, event };
        let began = Instant::now();
        store.record(vec![entry]).await.unwrap();
        took.push(began.elapsed());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let longest = took.iter().max().copied().unwrap();
    (median(took.into_iter()), longest)
}

/// Every target listed, each with a key.
fn fleet(targets: usize) -> Vec<Entry> {
    let at = SystemClock::now();
    let entry = |event| Entry { at, actor: Actor::Daemon, event };
    let of = |number: usize| {
        let description = Target {
            manager: "emea".into(),
            project_id: format!("5f{:022}", number / 100).as_str().into(),
            project: format!("project-{}", number / 100),
            cluster_id: format!("6a{number:022}").as_str().into(),
            cluster: format!("cluster-{}", number / 4),
            replica_set: format!("cluster-{}-{}", number / 4, number % 4),
            role: Role::Shard,
            mechanism: Mechanism::BackupKey,
        };
        let target = description.id();
        let key = format!("1234-3456-4567-{number:04}").as_str().into();
        [
            Event::TargetFound { description, listing: Listing::Eligible },
            Event::KeySeen { target, key, looked_at: None },
        ]
        .map(entry)
    };
    (0..targets).flat_map(of).collect()
}

/// The body behind a path, as it came.
async fn get(address: SocketAddr, path: &str, accepts: &str) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request =
        format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nAccept-Encoding: {accepts}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    // What the client makes room for is no cost of the daemon.
    let mut reply = Vec::with_capacity(16 << 20);
    stream.read_to_end(&mut reply).await.unwrap();
    assert!(reply.starts_with(b"HTTP/1.1 200"), "{path}");
    let head = reply.windows(4).position(|part| part == b"\r\n\r\n").unwrap();
    reply.split_off(head + 4)
}

/// The families of a scrape, each series as a gauge: what stands in memory before it is written.
fn families(text: &str) -> Vec<MetricFamily> {
    let mut families: Vec<MetricFamily> = Vec::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').unwrap();
            let mut family = MetricFamily::default();
            family.set_name(name.to_owned());
            family.set_help(help.to_owned());
            family.set_field_type(MetricType::GAUGE);
            families.push(family);
        } else if !line.starts_with('#') {
            let (series, value) = line.rsplit_once(' ').unwrap();
            let labels = series.split_once('{').map_or("", |(_, labels)| labels.trim_end_matches('}'));
            let pairs = labels.split(',').filter_map(|label| label.split_once('=')).map(|(name, value)| {
                let mut pair = LabelPair::default();
                pair.set_name(name.to_owned());
                pair.set_value(value.trim_matches('"').to_owned());
                pair
            });
            let mut metric = Metric::from_label(pairs.collect());
            let mut gauge = Gauge::default();
            gauge.set_value(value.parse().unwrap());
            metric.set_gauge(gauge);
            families.last_mut().unwrap().mut_metric().push(metric);
        }
    }
    families
}

fn median(times: impl Iterator<Item = Duration>) -> Duration {
    let mut times: Vec<_> = times.collect();
    times.sort();
    times[times.len() / 2]
}
