//! Which faults strike a request: the faults in force, how often each has struck, and the draw.

use std::collections::HashMap;

use super::chance;
use super::fault::{Fault, FaultKind, Operation, Stage};

#[derive(Debug)]
pub(super) struct Board {
    seed: u64,
    slots: Vec<Slot>,
}

#[derive(Debug)]
struct Slot {
    fault: Fault,
    strikes: u32,
    /// How many draws each subject has had: the draw depends on the subject's own count, not on its neighbours'.
    draws: HashMap<(Operation, String), u64>,
}

impl Board {
    pub(super) fn new(seed: u64, faults: Vec<Fault>) -> Self {
        let slot = |fault| Slot { fault, strikes: 0, draws: HashMap::new() };
        Self { seed, slots: faults.into_iter().map(slot).collect() }
    }

    pub(super) fn faults(&self) -> impl Iterator<Item = &Fault> {
        self.slots.iter().map(|slot| &slot.fault)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// The faults of `stage` that strike now, in the order in which they were given.
    ///
    /// `names` are the names a fault's glob may match, the one that identifies the subject first.
    pub(super) fn strike(&mut self, stage: Stage, operation: Operation, names: &[&str]) -> Vec<FaultKind> {
        let seed = self.seed;
        let subject = names.first().copied().unwrap_or_default();
        let concerned = self
            .slots
            .iter_mut()
            .zip(0..)
            .filter(|(slot, _)| slot.fault.kind.stage() == stage && slot.fault.concerns(operation, names));
        concerned
            .filter_map(|(slot, number)| {
                let amount = slot.fault.amount;
                if amount.times.is_some_and(|times| slot.strikes >= times) {
                    return None;
                }
                if amount.probability < 1.0 {
                    let draws = slot.draws.entry((operation, subject.to_owned()));
                    let draw = draws.or_insert(0);
                    *draw += 1;
                    let parts = [seed, number, operation as u64, chance::hash(subject), *draw];
                    if chance::fraction(&parts) >= amount.probability {
                        return None;
                    }
                }
                slot.strikes += 1;
                Some(slot.fault.kind)
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: &[&str] = &["6b1", "ledger-0", "ledger", "billing/ledger/ledger-0"];

    fn board(texts: &[&str]) -> Board {
        let faults = texts.iter().map(|text| text.parse().unwrap());
        Board::new(1, faults.collect())
    }

    /// A fault can be aimed by id, replica set, cluster or full name, and misses everything else.
    #[test]
    fn faults_strike_what_they_are_aimed_at() {
        for (glob, hits) in [
            ("6b1", true),
            ("ledger-*", true),
            ("ledger", true),
            ("billing/*", true),
            ("*", true),
            ("ledger-1", false),
            ("identity/*", false),
        ] {
            let mut board = board(&[&format!("hang:{glob}:5")]);
            let struck = board.strike(Stage::Before, Operation::Get, NAMES);
            assert_eq!(!struck.is_empty(), hits, "{glob}");
        }
        let mut board = board(&["hang@put"]);
        assert!(board.strike(Stage::Before, Operation::Get, NAMES).is_empty());
        assert!(board.strike(Stage::After, Operation::Put, NAMES).is_empty());
        assert_eq!(board.strike(Stage::Before, Operation::Put, NAMES), [FaultKind::Hang]);
        assert!(board.strike(Stage::Before, Operation::List, &[]).is_empty());
    }

    /// A number of times is kept to, and is not spent on requests that were not struck.
    #[test]
    fn a_counted_fault_stops() {
        let mut board = board(&["hang:0.5x3"]);
        let strikes: usize = (0..200).map(|_| board.strike(Stage::Before, Operation::Get, NAMES).len()).sum();
        assert_eq!(strikes, 3);
    }

    /// The luck of one target does not depend on what its neighbours ask in between.
    #[test]
    fn draws_do_not_depend_on_neighbours() {
        let luck = |with_neighbour: bool| -> Vec<bool> {
            let mut board = board(&["hang:0.5"]);
            (0..64)
                .map(|_| {
                    if with_neighbour {
                        board.strike(Stage::Before, Operation::Get, &["other"]);
                    }
                    !board.strike(Stage::Before, Operation::Get, NAMES).is_empty()
                })
                .collect()
        };
        assert_eq!(luck(false), luck(true));
    }
}
