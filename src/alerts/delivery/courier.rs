//! The sender for one receiver: compares what fires with what the receiver was told, and sends the difference when it may.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::item::Item;
use super::line::Line;
use super::{AT_ONCE, Desk, Form, Key, Receiver, SetupError, Tidings, alertmanager, webhook};
use crate::domain::Saying;

/// An Alertmanager groups and waits by itself; this only keeps what flaps from being told each second.
const ALERTMANAGER_PAUSE: Duration = Duration::from_secs(5);
/// How soon a record that could not be made is tried again.
const RECORD_AGAIN: Duration = Duration::from_secs(15);

/// Tells one receiver what begins and ceases to fire.
pub struct Courier {
    line: Line,
    form: Form,
    /// When everything was last told, by the monotonic clock.
    sent: Option<Duration>,
}

/// What is to be told in one request.
#[derive(Default)]
struct Batch {
    firing: Vec<Key>,
    resolved: Vec<Key>,
}

impl Courier {
    /// One that knows from the record what its receiver was told. Sends nothing yet.
    ///
    /// # Errors
    /// If the receiver can never be reached as it is configured.
    pub fn new(receiver: Receiver, desk: Desk) -> Result<Self, SetupError> {
        let Receiver { name, form, address } = receiver;
        let mut line = Line::new(name, &address, desk)?;
        // An Alertmanager forgets by itself what is not told again.
        if let Form::Webhook { .. } = form {
            line.suspect();
        }
        Ok(Self { line, form, sent: None })
    }

    /// Works until `closing` is cancelled. What is unsent then is told by the next start.
    pub async fn run(mut self, mut latest: watch::Receiver<Arc<Tidings>>, closing: CancellationToken) {
        loop {
            let tidings = Arc::clone(&latest.borrow_and_update());
            let now = self.line.desk.clock.monotonic();
            let due = self.due(&tidings);
            if due.is_some_and(|due| due <= now) {
                tokio::select! {
                    () = self.tell(&tidings) => {}
                    () = closing.cancelled() => {}
                }
            }
            self.line.settle().await;
            let now = self.line.desk.clock.monotonic();
            let again = self.line.is_unsettled().then_some(now + RECORD_AGAIN);
            let next = self.due(&tidings).into_iter().chain(again).min();
            let clock = Arc::clone(&self.line.desk.clock);
            let rest = async {
                match next {
                    Some(next) => clock.sleep(next.saturating_sub(now)).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = closing.cancelled() => return,
                changed = latest.changed() => if changed.is_err() { return },
                () = rest => {}
            }
        }
    }

    /// When there is something to tell, by the monotonic clock; none while there is nothing.
    fn due(&self, tidings: &Tidings) -> Option<Duration> {
        // Before the alerts were first weighed, nothing is known to be over.
        tidings.at?;
        let told = &self.line.record.told;
        let news = told.len() != tidings.firing.len() || !told.keys().eq(tidings.firing.keys());
        let after = |pause: Duration| self.sent.map_or(Duration::ZERO, |sent| sent + pause);
        let due = match self.form {
            Form::Webhook { every } => news.then(|| after(every.as_duration())),
            Form::Alertmanager { resend_every } => {
                let resend_every = resend_every.as_duration();
                let again = (!tidings.firing.is_empty()).then(|| after(resend_every));
                let news = news.then(|| after(ALERTMANAGER_PAUSE.min(resend_every)));
                again.into_iter().chain(news).min()
            }
        };
        due.map(|due| due.max(self.line.not_before))
    }

    /// Tells what is to be told, until it is told or a request fails.
    async fn tell(&mut self, tidings: &Tidings) {
        for batch in self.batches(tidings) {
            let body = self.body(&batch, tidings);
            if !self.line.send(Some(body)).await {
                return;
            }
            let told = &self.line.record.told;
            let saying = |key: &Key, since, name: &str| Saying {
                alert: key.0,
                subject: key.1.clone(),
                since,
                name: name.to_owned(),
            };
            let fresh = batch.firing.iter().filter(|key| !told.contains_key(*key));
            let firing: Vec<_> = fresh
                .filter_map(|key| Some((key, tidings.firing.get(key)?)))
                .map(|(key, firing)| saying(key, firing.since, &firing.alert.name))
                .collect();
            let resolved: Vec<_> = batch
                .resolved
                .iter()
                .filter_map(|key| Some((key, told.get(key)?)))
                .map(|(key, told)| saying(key, told.since, &told.name))
                .collect();
            self.line.told(&firing, &resolved);
        }
        self.sent = Some(self.line.desk.clock.monotonic());
    }

    /// What to send, in parts of at most [`AT_ONCE`] alerts; resolved ones first.
    fn batches(&self, tidings: &Tidings) -> Vec<Batch> {
        let told = &self.line.record.told;
        let resolved = told.keys().filter(|key| !tidings.firing.contains_key(*key));
        let firing = tidings.firing.keys().filter(|key| match self.form {
            Form::Webhook { .. } => !told.contains_key(*key),
            Form::Alertmanager { .. } => true,
        });
        let all: Vec<(bool, &Key)> = resolved.map(|key| (false, key)).chain(firing.map(|key| (true, key))).collect();
        all.chunks(AT_ONCE)
            .map(|part| {
                let mut batch = Batch::default();
                for (fires, key) in part {
                    if *fires { &mut batch.firing } else { &mut batch.resolved }.push((*key).clone());
                }
                batch
            })
            .collect()
    }

    fn body(&self, batch: &Batch, tidings: &Tidings) -> String {
        let (told, desk) = (&self.line.record.told, &self.line.desk);
        let now = desk.clock.now();
        let over = batch.resolved.iter().filter_map(|key| Some(Item::over(key, told.get(key)?, now)));
        let firing = batch.firing.iter().filter_map(|key| Item::firing(key, tidings, told.get(key)));
        let items: Vec<_> = over.chain(firing).collect();
        match self.form {
            Form::Webhook { .. } => webhook::body(&self.line.name, desk, &items),
            Form::Alertmanager { resend_every } => alertmanager::body(desk, &items, now, resend_every),
        }
    }
}
