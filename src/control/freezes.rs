//! The routes for freezes: those that stand or are to come, ordering one, ending one.

use axum::Json;
use axum::extract::State;

use super::extract::{Order, one_line};
use super::orders::{Answer, Inputs, LONGEST_HOLD};
use super::refused::Refused;
use super::wire::{FreezeOrder, Frozen, ThawOrder};
use crate::domain::{Caller, Event, NAME_RULE, is_name};
use crate::policy::freezes_from;

pub(super) async fn list(State(inputs): State<Inputs>) -> Json<Vec<Frozen>> {
    Json(known(&inputs))
}

pub(super) async fn freeze(
    State(inputs): State<Inputs>,
    Order { reason, by, order }: Order<FreezeOrder>,
) -> Answer<Vec<Frozen>> {
    let FreezeOrder { name, scope, start, end } = order;
    one_line(&scope, "the scope")?;
    if !is_name(&name) {
        return Err(Refused::wrong(format!("the name {NAME_RULE}")));
    }
    let now = inputs.gauge.read().now;
    // What was rotated before the order was rotated outside of it.
    let start = start.map_or(now, |start| start.max(now));
    if end <= start {
        return Err(Refused::wrong("a freeze ends after it begins, and in the future"));
    }
    if start.duration_since(now) > LONGEST_HOLD || end.duration_since(start) > LONGEST_HOLD {
        return Err(Refused::wrong("a freeze that is ordered begins within a year, and takes no longer than one"));
    }
    if let Some(known) = known(&inputs).into_iter().find(|known| known.name == name) {
        let Frozen { scope, start, end, by, .. } = known;
        let whose = by.map_or_else(|| "in the configuration".to_owned(), |by| format!("by order of {by}"));
        return Err(Refused::conflict(format!(
            "a freeze named {name} stands {whose}, of {scope} from {start:.0} until {end:.0}; give this one another name"
        )));
    }
    if let Some(former) = inputs.gauge.read().fleet.freezes.get(&name) {
        let end = former.freeze.span.end;
        return Err(Refused::conflict(format!(
            "a freeze named {name} was ordered before, until {end:.0}, and is on record; give this one another name"
        )));
    }
    let event = Event::FreezeSet { name, scope, start, end, reason, by: by.clone() };
    inputs.orders.order(&by, vec![event]).await?;
    Ok(Json(known(&inputs)))
}

pub(super) async fn thaw(
    State(inputs): State<Inputs>,
    Order { reason, by, order }: Order<ThawOrder>,
) -> Answer<Vec<Frozen>> {
    let mut named = known(&inputs);
    named.retain(|known| known.name == order.name);
    if named.is_empty() {
        return Err(Refused::conflict(format!("no freeze named {:?} stands or is to come", order.name)));
    }
    if named.iter().all(|known| known.by.is_none()) {
        let words = "stands in the configuration; take it out there, then `rekeyd reload`";
        return Err(Refused::conflict(format!("freeze {} {words}", order.name)));
    }
    let event = Event::FreezeEnded { name: order.name, reason: Some(reason), by: Some(by.clone()) };
    inputs.orders.order(&by, vec![event]).await?;
    Ok(Json(known(&inputs)))
}

/// The freezes that are not over, the configuration's first.
fn known(inputs: &Inputs) -> Vec<Frozen> {
    let (situation, rules) = (inputs.gauge.read(), inputs.rules.borrow());
    let names: Vec<_> = situation.fleet.targets.values().map(|record| record.target.name()).collect();
    freezes_from(situation.now, &rules, &situation.fleet)
        .map(|(freeze, by)| Frozen {
            name: freeze.name.clone(),
            scope: freeze.scope.to_string(),
            start: freeze.span.start,
            end: freeze.span.end,
            reason: freeze.reason.clone(),
            by: by.map(Caller::name),
            targets: names.iter().filter(|name| freeze.covers(name)).count(),
        })
        .collect()
}
