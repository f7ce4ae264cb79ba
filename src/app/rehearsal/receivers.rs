//! Whether the receivers of alerts can be reached. None of them is sent an alert.

use std::time::Duration;

use tokio::time::timeout;

use super::{Line, Step};
use crate::alerts::delivery::knock;
use crate::app::couriers;
use crate::config::{Receiver, ReceiverForm};

/// Whether one receiver answers, within this time.
pub(super) async fn rehearse(receiver: &Receiver, within: Duration) -> Line {
    let step = Step::Receiver;
    let (name, shown) = (&receiver.name, &receiver.shown);
    let heads = match receiver.form {
        ReceiverForm::Webhook { .. } | ReceiverForm::Alertmanager { .. } => {
            format!("{} {name} at {shown}", receiver.form.as_str())
        }
        // There is only one, and `heartbeat` is its name.
        ReceiverForm::Heartbeat { .. } => format!("{name} at {shown}"),
    };
    let next = "check its address, its certificate and `ca_file` in the configuration, and that it runs";
    match timeout(within, knock(&couriers::address(receiver))).await {
        Ok(Err(error)) => step.fail(format!("{heads} can never be reached: {error}"), "mend its section"),
        Ok(Ok(Err(error))) => step.fail(format!("{heads} cannot be reached: {error}"), next),
        Err(_) => step.fail(format!("{heads} cannot be reached: no answer in time"), next),
        Ok(Ok(Ok(status))) => {
            let untried = match receiver.form {
                ReceiverForm::Webhook { .. } | ReceiverForm::Alertmanager { .. } => {
                    "that it takes alerts was not tried"
                }
                ReceiverForm::Heartbeat { .. } => "that it takes signs of life was not tried",
            };
            step.pass(format!("{heads} answers (HTTP {status} at its front page); {untried}"))
        }
    }
}
