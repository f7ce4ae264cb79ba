//! Which keys are being looked at, apart from any rotation: when the policies want it, and as far as a manager has places.
//! What a look means is in `look`.

use std::collections::VecDeque;
use std::sync::Arc;

use super::Engine;
use super::run::{Hand, Job, LONGEST_PAUSE, wait};
use crate::domain::{ManagerName, TargetId, TargetRecord};
use crate::policy::looks;
use crate::ports::JournalError;

impl Engine {
    /// Starts the looks at keys that are due, and says when there will be more.
    pub(super) fn look_around(self: &Arc<Self>, hand: &mut Hand) {
        let (now, fleet, parts) = (self.clock.now(), self.scribe.fleet(), self.parts());
        let looks = looks(now, &fleet, &parts.rules, &hand.tried);
        hand.look_at = self.clock.monotonic() + looks.next_at.map_or(LONGEST_PAUSE, |at| wait(now, at));
        hand.looks_to_come.clear();
        hand.asked.extend(self.orders.take_looks());
        for target in hand.asked.iter().cloned().chain(looks.now) {
            if let Some(record) = fleet.targets.get(&target) {
                hand.looks_to_come.entry(record.target.manager.clone()).or_default().push_back(target);
            }
        }
        for manager in parts.managers.keys() {
            self.observe_next(hand, manager);
        }
    }

    /// Starts the looks that the plan asks for, as far as their manager has places.
    pub(super) fn observe_next(self: &Arc<Self>, hand: &mut Hand, manager: &ManagerName) {
        let limit = self.parts().managers.get(manager).map_or(0, |manager| manager.max_concurrent);
        let fleet = self.scribe.fleet();
        while hand.looks_by_manager.get(manager).copied().unwrap_or_default() < limit
            && let Some(target) = hand.looks_to_come.get_mut(manager).and_then(VecDeque::pop_front)
        {
            if let Some(record) = fleet.targets.get(&target)
                && !hand.is_busy(&target)
            {
                self.observe(hand, target, record);
            }
        }
    }

    pub(super) fn observe(self: &Arc<Self>, hand: &mut Hand, target: TargetId, record: &Arc<TargetRecord>) {
        let manager = record.target.manager.clone();
        *hand.looks_by_manager.entry(manager.clone()).or_default() += 1;
        hand.tried.insert(target.clone(), self.clock.now());
        hand.looking.insert(target.clone());
        hand.asked.remove(&target);
        let (engine, record) = (Arc::clone(self), Arc::clone(record));
        hand.start(Job::Look(target, manager), async move { engine.guard(engine.glance(&record)).await });
    }

    async fn glance(&self, record: &TargetRecord) -> Result<(), JournalError> {
        match self.parts().managers.get(&record.target.manager) {
            Some(manager) => self.look(manager.service.as_ref(), record, None).await.map(drop),
            None => Ok(()),
        }
    }
}
