//! Telling those who are on call: couriers before a receiver that a test can break, by a clock that a test moves.

mod receiver;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use rekeyd::alerts::delivery::{Address, Courier, Desk, Form, Heartbeat, Key, Receiver, Tidings};
use rekeyd::alerts::{Alert, Severity};
use rekeyd::domain::{AlertKind, AlertSubject, Event, Fleet, Period, ReceiverName};
use rekeyd::policy::Rules;
use rekeyd::ports::{Clock, DeliveryObserver, Gauge, Head, JournalError, Notebook, RequestOutcome, Situation};
use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::far_end::until;
pub(crate) use receiver::OnCall;

fn start() -> Timestamp {
    "2026-01-01T00:00:00Z".parse().unwrap()
}

/// A clock that stands still until a test moves it, and what is on record.
struct World {
    passed: watch::Sender<Duration>,
    fleet: Mutex<Fleet>,
    /// The events that were recorded.
    events: Mutex<Vec<Event>>,
    /// While set, nothing can be recorded.
    full: Mutex<bool>,
    requests: Mutex<Vec<RequestOutcome>>,
    /// Whether the life before this one was killed.
    cut_off: Mutex<bool>,
}

#[async_trait]
impl Clock for World {
    fn now(&self) -> Timestamp {
        start() + SignedDuration::try_from(self.monotonic()).unwrap()
    }

    fn monotonic(&self) -> Duration {
        *self.passed.borrow()
    }

    async fn sleep(&self, length: Duration) {
        let until = self.monotonic() + length;
        self.passed.subscribe().wait_for(|passed| *passed >= until).await.unwrap();
    }
}

impl Gauge for World {
    fn read(&self) -> Situation {
        Situation {
            now: self.now(),
            fleet: Arc::new(self.fleet.lock().unwrap().clone()),
            head: Head { seq: 1, hash: [0; 32] },
            unwritable: None,
            started_at: start(),
            recovered: BTreeMap::new(),
            last_sweep: Some(self.now()),
            since_sweep: Duration::ZERO,
            upkeep: None,
        }
    }
}

#[async_trait]
impl Notebook for World {
    async fn note(&self, events: Vec<Event>) -> Result<(), JournalError> {
        if *self.full.lock().unwrap() {
            return Err(JournalError::Full("no space".to_owned()));
        }
        let mut fleet = self.fleet.lock().unwrap();
        for event in &events {
            if let Some(change) = fleet.consequence(self.now(), event).unwrap() {
                fleet.adopt(change);
            }
        }
        self.events.lock().unwrap().extend(events);
        Ok(())
    }
}

impl DeliveryObserver for World {
    fn delivered(&self, _: &ReceiverName, outcome: RequestOutcome) {
        self.requests.lock().unwrap().push(outcome);
    }
}

impl World {
    fn new() -> Arc<Self> {
        let _ = rustls::crypto::ring::default_provider().install_default();
        Arc::new(Self {
            passed: watch::Sender::new(Duration::ZERO),
            fleet: Mutex::default(),
            events: Mutex::default(),
            full: Mutex::default(),
            requests: Mutex::default(),
            cut_off: Mutex::default(),
        })
    }

    fn pass(&self, seconds: u64) {
        self.passed.send_modify(|passed| *passed += Duration::from_secs(seconds));
    }

    fn desk(self: &Arc<Self>) -> Desk {
        let runbook = Some("https://wiki.example.com/runbook.md".into());
        Desk {
            instance: "db-7".into(),
            runbook,
            clock: self.clone(),
            notebook: self.clone(),
            observer: self.clone(),
            cut_off: *self.cut_off.lock().unwrap(),
        }
    }

    /// What was recorded of the receiver's state, in order.
    fn turns(&self) -> Vec<&'static str> {
        let word = |event: &Event| match event {
            Event::ReceiverFailing { .. } => Some("failing"),
            Event::ReceiverAnswering { .. } => Some("answering"),
            _ => None,
        };
        self.events.lock().unwrap().iter().filter_map(word).collect()
    }

    fn told(&self) -> usize {
        self.fleet.lock().unwrap().receivers.get("oncall").map_or(0, |record| record.told.len())
    }
}

/// A courier at work, with the alerts that fire.
struct Work {
    world: Arc<World>,
    tidings: watch::Sender<Arc<Tidings>>,
    closing: CancellationToken,
    task: JoinHandle<()>,
}

const WEBHOOK: Form = Form::Webhook { every: Period::minutes(1) };

impl Work {
    fn begin(world: &Arc<World>, url: &str, form: Form) -> Self {
        let (tidings, latest) = watch::channel(Arc::new(Tidings::default()));
        let address = address(url);
        let receiver = Receiver { name: "oncall".into(), form, address };
        let courier = Courier::new(receiver, world.desk()).unwrap();
        let closing = CancellationToken::new();
        let task = tokio::spawn(courier.run(latest, closing.clone()));
        Self { world: Arc::clone(world), tidings, closing, task }
    }

    /// These fire now, and no others.
    fn fire(&self, alerts: impl IntoIterator<Item = Alert>) {
        let next = self.tidings.borrow().after(&self.world.read(), &Rules::default(), alerts.into_iter().collect());
        self.tidings.send_replace(Arc::new(next));
    }

    async fn stop(self) {
        self.closing.cancel();
        self.task.await.unwrap();
    }
}

fn address(url: &str) -> Address {
    Address { url: url.into(), authorization: Some("Bearer swordfish".into()), ca_pem: None, proxy: None }
}

fn alert(number: usize) -> Alert {
    let kind = AlertKind::RotationFailing;
    let name = format!("emea/billing/c{number}/rs");
    Alert {
        kind,
        subject: AlertSubject::Target(format!("emea/5f/{number}").as_str().into()),
        severity: Severity::of(kind),
        since: None,
        words: format!("{name}: 2 of 8 attempts failed. Next: look."),
        name,
    }
}

/// What a receiver that reads these messages in order believes to fire, by fingerprint.
fn believed(messages: &[Value]) -> BTreeMap<String, Value> {
    let mut firing = BTreeMap::new();
    for alert in messages.iter().flat_map(|message| message["alerts"].as_array().unwrap()) {
        let fingerprint = alert["fingerprint"].as_str().unwrap().to_owned();
        match alert["status"].as_str().unwrap() {
            "firing" => firing.insert(fingerprint, alert.clone()),
            _ => firing.remove(&fingerprint),
        };
    }
    firing
}

/// The document that README.md shows is the document that is sent.
#[tokio::test]
async fn a_webhook_gets_what_alertmanager_would_send() {
    let (world, on_call) = (World::new(), OnCall::start().await);
    let work = Work::begin(&world, &on_call.url("/hook"), WEBHOOK);
    work.fire([alert(7)]);
    until("it is told", || on_call.messages().len() == 1).await;
    let seen = on_call.requests();
    assert_eq!(seen[0].head, "POST /hook HTTP/1.1");
    assert_eq!(seen[0].header("authorization"), Some("Bearer swordfish"));
    assert_eq!(seen[0].header("content-type"), Some("application/json"));
    let message = &on_call.messages()[0];
    assert_eq!(
        *message,
        serde_json::json!({
            "version": "4", "groupKey": "rekeyd", "truncatedAlerts": 0, "status": "firing", "receiver": "oncall",
            "groupLabels": {}, "commonLabels": { "job": "rekeyd", "instance": "db-7" }, "commonAnnotations": {},
            "externalURL": "",
            "alerts": [{
                "status": "firing",
                "labels": {
                    "alertname": "RekeydRotationFailing", "alert": "rotation_failing", "severity": "warning",
                    "job": "rekeyd", "instance": "db-7", "manager": "emea", "target": "emea/billing/c7/rs",
                },
                "annotations": {
                    "summary": "emea/billing/c7/rs: 2 of 8 attempts failed. Next: look.",
                    "runbook_url": "https://wiki.example.com/runbook.md#rekeydrotationfailing",
                },
                "startsAt": "2026-01-01T00:00:00Z", "endsAt": "0001-01-01T00:00:00Z", "generatorURL": "",
                "fingerprint": message["alerts"][0]["fingerprint"],
            }],
        })
    );
    world.pass(60);
    work.fire([]);
    until("its end is told", || on_call.messages().len() == 2).await;
    let message = &on_call.messages()[1];
    assert_eq!((&message["status"], &message["alerts"][0]["status"]), (&"resolved".into(), &"resolved".into()));
    assert_eq!(message["alerts"][0]["startsAt"], "2026-01-01T00:00:00Z");
    assert_eq!(message["alerts"][0]["endsAt"], "2026-01-01T00:01:00Z");
    assert!(believed(&on_call.messages()).is_empty());
    work.stop().await;
}

/// However fast a thousand conditions come and go, a receiver is told once in `every`, and in the end what is so.
#[tokio::test]
async fn a_thousand_flapping_alerts_are_few_deliveries() {
    let (world, on_call) = (World::new(), OnCall::start().await);
    let work = Work::begin(&world, &on_call.url("/"), WEBHOOK);
    let all = || (0..1000).map(alert);
    work.fire(all());
    until("all are told", || world.told() == 1000).await;
    assert_eq!(on_call.messages().len(), 2, "of 500 alerts each");
    // Ten minutes, weighed each second.
    for second in 0..600 {
        work.fire(all().filter(|alert| (alert.name.len() + second) % 2 == 0));
        world.pass(1);
        tokio::task::yield_now().await;
    }
    work.fire((0..10).map(alert));
    // A delivery may be under way just then; the next one comes with time.
    let told = || {
        world.pass(1);
        world.told() == 10
    };
    until("the truth is told and on record", told).await;
    assert_eq!(believed(&on_call.messages()).len(), 10);
    let deliveries = on_call.messages().len();
    assert!(deliveries <= 2 + 11 * 2, "{deliveries} deliveries in eleven minutes");
    work.stop().await;
}

/// What ended while the receiver was dead, or nobody was there to tell it, is told in the next life.
#[tokio::test]
async fn an_end_is_told_whoever_was_dead_meanwhile() {
    let (world, on_call) = (World::new(), OnCall::start().await);
    let work = Work::begin(&world, &on_call.url("/"), WEBHOOK);
    work.fire([alert(1), alert(2), alert(3)]);
    until("they are told", || world.told() == 3).await;
    // One ends before a dead receiver, and the daemon with it; one more ends before the next start.
    on_call.answer(500);
    world.pass(60);
    work.fire([alert(2), alert(3)]);
    until("it was tried", || on_call.requests().len() > 1).await;
    work.stop().await;
    assert_eq!(world.told(), 3);

    let work = Work::begin(&world, &on_call.url("/"), WEBHOOK);
    // Before anything was weighed nothing is said to be over, however long that takes.
    world.pass(3600);
    work.fire([alert(3)]);
    on_call.answer(200);
    until("the ends are told", || {
        world.pass(1);
        world.told() == 1
    })
    .await;
    assert_eq!(believed(&on_call.taken()).len(), 1);
    assert!(on_call.taken().iter().all(|message| !message["alerts"].as_array().unwrap().is_empty()));
    work.stop().await;
}

/// Tries grow apart, turns are recorded and not every try, and nobody is told twice.
#[tokio::test]
async fn a_dead_receiver_is_recorded_once_and_told_when_it_is_back() {
    let (world, on_call) = (World::new(), OnCall::start().await);
    on_call.answer(503);
    let work = Work::begin(&world, &on_call.url("/secret-path"), WEBHOOK);
    work.fire([alert(1)]);
    until("it fails for good", || {
        world.pass(1);
        world.turns() == ["failing"]
    })
    .await;
    let before = on_call.requests().len();
    for _ in 0..3600 {
        world.pass(1);
        tokio::task::yield_now().await;
    }
    until("it is tried again", || on_call.requests().len() > before).await;
    assert_eq!(world.turns(), ["failing"]);
    let tries = world.requests.lock().unwrap().len();
    assert!((4..100).contains(&tries), "{tries} tries in an hour");
    on_call.answer(200);
    until("it is told", || {
        world.pass(1);
        world.told() == 1
    })
    .await;
    assert_eq!(world.turns(), ["failing", "answering"]);
    assert_eq!(on_call.taken().len(), 1);
    let recorded = format!("{:?}", world.events.lock().unwrap());
    assert!(recorded.contains("HTTP 503") && !recorded.contains("secret-path"), "{recorded}");
    work.stop().await;
}

/// That nothing can be recorded is told all the same, once; and recorded when it can be.
#[tokio::test]
async fn a_ledger_that_can_not_be_written_silences_nobody() {
    let (world, on_call) = (World::new(), OnCall::start().await);
    *world.full.lock().unwrap() = true;
    let work = Work::begin(&world, &on_call.url("/"), WEBHOOK);
    work.fire([alert(1)]);
    until("it is told", || on_call.messages().len() == 1).await;
    for _ in 0..20 {
        world.pass(60);
        work.fire([alert(1)]);
        tokio::task::yield_now().await;
    }
    *world.full.lock().unwrap() = false;
    until("it is recorded", || {
        world.pass(1);
        world.told() == 1
    })
    .await;
    assert_eq!(on_call.messages().len(), 1);
    work.stop().await;
}

/// What was told while nothing could be recorded is over for its receiver, too, if the daemon is killed meanwhile: the next life
/// tells the end. After a stop that is on record there is nothing to tell.
#[tokio::test]
async fn the_end_of_a_full_disk_is_told_by_the_next_life() {
    let full = || Alert {
        kind: AlertKind::LedgerUnwritable,
        subject: AlertSubject::Daemon,
        name: "rekeyd".to_owned(),
        ..alert(1)
    };
    let (world, on_call) = (World::new(), OnCall::start().await);
    *world.full.lock().unwrap() = true;
    let work = Work::begin(&world, &on_call.url("/"), WEBHOOK);
    work.fire([full()]);
    until("it is told", || on_call.messages().len() == 1).await;
    work.task.abort();
    assert_eq!(world.told(), 0);
    *world.full.lock().unwrap() = false;
    *world.cut_off.lock().unwrap() = true;
    let work = Work::begin(&world, &on_call.url("/"), WEBHOOK);
    work.fire([]);
    until("the end is told", || on_call.messages().len() == 2).await;
    assert_eq!(believed(&on_call.messages()), BTreeMap::new());
    work.stop().await;
    *world.cut_off.lock().unwrap() = false;
    let work = Work::begin(&world, &on_call.url("/"), WEBHOOK);
    work.fire([]);
    work.fire([alert(2)]);
    until("the news is told", || on_call.messages().len() == 3).await;
    assert_eq!(on_call.messages()[2]["alerts"].as_array().unwrap().len(), 1, "and nothing else");
    work.stop().await;
}

/// A login that is sent after a redirect is given away.
#[tokio::test]
async fn a_redirect_is_not_followed() {
    let (world, elsewhere, on_call) = (World::new(), OnCall::start().await, OnCall::start().await);
    on_call.answer_with(307, &format!("Location: {}", elsewhere.url("/")));
    let work = Work::begin(&world, &on_call.url("/"), WEBHOOK);
    work.fire([alert(1)]);
    until("it fails", || {
        world.pass(1);
        world.turns() == ["failing"]
    })
    .await;
    assert_eq!(elsewhere.requests().len(), 0);
    let recorded = format!("{:?}", world.events.lock().unwrap());
    assert!(recorded.contains("HTTP 307, and redirects are not followed"), "{recorded}");
    work.stop().await;
}

/// A receiver that asks to be left alone until a time, and not for some seconds, is left alone until then.
#[tokio::test]
async fn a_receiver_is_left_alone_for_as_long_as_it_asks() {
    let (world, on_call) = (World::new(), OnCall::start().await);
    on_call.answer_with(429, "Retry-After: Thu, 01 Jan 2026 00:30:00 GMT");
    let work = Work::begin(&world, &on_call.url("/"), WEBHOOK);
    work.fire([alert(1)]);
    until("it is tried", || on_call.requests().len() == 1).await;
    until("it is tried again", || {
        world.pass(60);
        on_call.requests().len() == 2
    })
    .await;
    assert!(world.monotonic() >= Duration::from_secs(30 * 60), "tried again after {:?}", world.monotonic());
    work.stop().await;
}

/// What fires is told again and again with an end that is always ahead; what is over, with its end.
#[tokio::test]
async fn an_alertmanager_is_told_again_until_it_is_over() {
    let (world, on_call) = (World::new(), OnCall::start().await);
    let form = Form::Alertmanager { resend_every: Period::minutes(1) };
    let work = Work::begin(&world, &on_call.url("/api/v2/alerts"), form);
    work.fire([alert(1)]);
    for round in 1..=3 {
        until("it is told", || on_call.messages().len() == round).await;
        let message = &on_call.messages()[round - 1];
        let ends: Timestamp = message[0]["endsAt"].as_str().unwrap().parse().unwrap();
        assert_eq!(ends, world.now() + SignedDuration::from_mins(4));
        assert_eq!(message[0]["startsAt"], "2026-01-01T00:00:00Z");
        if round < 3 {
            world.pass(60);
        }
    }
    let delivered = || {
        let events = world.events.lock().unwrap();
        events.iter().filter(|event| matches!(event, Event::AlertsDelivered { .. })).count()
    };
    assert_eq!(delivered(), 1, "what is told again is no news");
    world.pass(5);
    work.fire([]);
    until("its end is told", || on_call.messages().len() == 4).await;
    let last = &on_call.messages()[3];
    assert_eq!(last[0]["endsAt"], world.now().to_string());
    assert_eq!(last[0]["labels"], on_call.messages()[0][0]["labels"], "or it would be another alert");
    until("it is recorded", || delivered() == 2 && world.told() == 0).await;
    work.stop().await;
}

/// A heart that beats although nothing is planned or recorded would keep the alarm silent.
#[tokio::test]
async fn the_heart_beats_only_while_all_is_well() {
    let (world, on_call) = (World::new(), OnCall::start().await);
    let (tidings, latest) = watch::channel(Arc::new(Tidings::default()));
    let heartbeat = Heartbeat::new(&address(&on_call.url("/ping")), Period::minutes(1), world.desk()).unwrap();
    let closing = CancellationToken::new();
    let task = tokio::spawn(heartbeat.run(latest, closing.clone()));
    let weigh = |change: fn(&mut Situation)| {
        let mut situation = world.read();
        change(&mut situation);
        let next = tidings.borrow().after(&situation, &Rules::default(), Vec::new());
        tidings.send_replace(Arc::new(next));
    };
    weigh(|situation| situation.last_sweep = None);
    weigh(|_| {});
    until("it beats", || on_call.requests().len() == 1).await;
    assert_eq!(on_call.requests()[0].head, "GET /ping HTTP/1.1");
    for ill in [
        (|situation| situation.unwritable = Some((start(), "disk full".to_owned()))) as fn(&mut Situation),
        |situation| situation.since_sweep = Duration::from_secs(61),
        |situation| situation.last_sweep = None,
    ] {
        world.pass(60);
        weigh(ill);
        tokio::task::yield_now().await;
    }
    weigh(|_| {});
    until("it beats again", || on_call.requests().len() == 2).await;
    world.pass(30);
    weigh(|_| {});
    world.pass(30);
    weigh(|_| {});
    until("it beats once in a minute", || on_call.requests().len() == 3).await;
    closing.cancel();
    task.await.unwrap();
}

/// A renamed target ends under the name by which it was told: to a receiver the name is the alert.
#[tokio::test]
async fn a_rename_leaves_no_alert_behind() {
    let (world, on_call) = (World::new(), OnCall::start().await);
    let form = Form::Alertmanager { resend_every: Period::minutes(1) };
    let work = Work::begin(&world, &on_call.url("/"), form);
    work.fire([alert(1)]);
    until("it is told", || on_call.messages().len() == 1).await;
    let renamed = Alert { name: "emea/billing/new/rs".to_owned(), ..alert(1) };
    world.pass(60);
    work.fire([renamed]);
    until("it is told again", || on_call.messages().len() == 2).await;
    world.pass(60);
    work.fire([]);
    until("its end is told", || on_call.messages().len() == 3).await;
    let labels: Vec<_> = on_call.messages().iter().map(|message| message[0]["labels"].clone()).collect();
    assert!(labels.iter().all(|other| *other == labels[0]), "{labels:?}");
    let _: Key = (AlertKind::RotationFailing, alert(1).subject);
    work.stop().await;
}
