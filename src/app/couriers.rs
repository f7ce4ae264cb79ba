//! Builds the senders of alerts (webhook, Alertmanager, heartbeat) from the configuration.

use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::StartError;
use super::opening::hostname;
use crate::alerts::delivery::{Address, Courier, Desk, Form, Heartbeat, Receiver, SetupError, Tidings};
use crate::config::{self, ReceiverForm};
use crate::ports::{Clock, DeliveryObserver, Notebook};
use crate::telemetry::Metrics;

/// The sender for one receiver, or the heartbeat.
pub(super) enum Messenger {
    Courier(Courier),
    Heartbeat(Heartbeat),
}

/// A sender for each receiver. They send nothing yet. `cut_off`: the life before this one left no record of its end.
pub(super) fn all(
    receivers: &[config::Receiver],
    runbook: Option<&str>,
    clock: &Arc<dyn Clock>,
    notebook: &Arc<dyn Notebook>,
    metrics: &Arc<Metrics>,
    cut_off: bool,
) -> Result<Vec<Messenger>, StartError> {
    let desk = Desk {
        instance: hostname().into(),
        runbook: runbook.map(Arc::from),
        clock: Arc::clone(clock),
        notebook: Arc::clone(notebook),
        observer: Arc::clone(metrics) as Arc<dyn DeliveryObserver>,
        cut_off,
    };
    let messenger = |receiver: &config::Receiver| {
        metrics.know_receiver(&receiver.name);
        one(receiver, desk.clone()).map_err(|source| StartError::Receiver { name: receiver.name.clone(), source })
    };
    receivers.iter().map(messenger).collect()
}

/// How to reach a receiver. Sees to it that there is a crypto provider to do it with.
pub(super) fn address(receiver: &config::Receiver) -> Address {
    // Another part of the process may have chosen the same already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Address {
        url: receiver.url.clone(),
        authorization: receiver.authorization.clone(),
        ca_pem: receiver.ca_pem.clone(),
        proxy: receiver.proxy.as_ref().map(ToString::to_string),
    }
}

fn one(receiver: &config::Receiver, desk: Desk) -> Result<Messenger, SetupError> {
    let address = address(receiver);
    let form = match receiver.form {
        ReceiverForm::Heartbeat { every } => return Heartbeat::new(&address, every, desk).map(Messenger::Heartbeat),
        ReceiverForm::Webhook { every } => Form::Webhook { every },
        ReceiverForm::Alertmanager { resend_every } => Form::Alertmanager { resend_every },
    };
    Courier::new(Receiver { name: receiver.name.clone(), form, address }, desk).map(Messenger::Courier)
}

/// Spawns the senders. Only a stop waits for them.
pub(super) fn spawn(
    messengers: Vec<Messenger>,
    latest: &watch::Receiver<Arc<Tidings>>,
    stop: &CancellationToken,
) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    for messenger in messengers {
        let (latest, stop) = (latest.clone(), stop.clone());
        match messenger {
            Messenger::Courier(courier) => tasks.spawn(courier.run(latest, stop)),
            Messenger::Heartbeat(heartbeat) => tasks.spawn(heartbeat.run(latest, stop)),
        };
    }
    tasks
}
