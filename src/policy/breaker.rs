//! Whether what fails at one target after another is its manager's trouble, or what one target blames on its manager is its own.
//!
//! A reply seldom tells. That many targets fail in a row tells, and so does a manager that answers everyone but one.

use std::collections::BTreeSet;

use crate::domain::{Failure, Reason, Scope, TargetId, Verdict};

/// When so many targets in a row could not be read, and no other one could, their manager is failing. One more than the
/// dead targets that a fleet is likely to have side by side; and each costs a request that may run into its time-out.
const ENOUGH: usize = 5;

/// What is held against one manager. Kept in memory only: what a restart forgets is soon found out again.
#[derive(Clone, Debug, Default)]
pub struct Breaker {
    /// Targets that could not be read since one could.
    doubts: BTreeSet<TargetId>,
    /// Targets whose failures had the manager called failing, until it answers.
    accusers: BTreeSet<TargetId>,
    /// Targets that accused a manager which then answered: until they are read themselves they speak for themselves alone.
    discounted: BTreeSet<TargetId>,
}

impl Breaker {
    /// A target's key was read.
    pub fn read(&mut self, target: &TargetId) {
        self.answers();
        self.discounted.remove(target);
    }

    /// A target's key could not be read. Returns the failure, with the scope that it has in the light of the others.
    pub fn failed(&mut self, target: &TargetId, failure: Failure) -> Failure {
        if self.discounted.contains(target) {
            return failure.of_target();
        }
        if failure.scope == Scope::Manager {
            self.accusers.insert(target.clone());
        }
        match failure.reason {
            Reason::Unreachable
            | Reason::Tls
            | Reason::TimedOut
            | Reason::CutOff
            | Reason::ServerError
            | Reason::Unreadable => {}
            // The manager speaks of this target, so it works, and takes our login.
            Reason::RoleMissing
            | Reason::Refused
            | Reason::NotFound
            | Reason::Conflict
            | Reason::NotThisWay
            | Reason::NotEncrypted => {
                self.answers();
                return failure;
            }
            // Told of the manager as a whole already, by us, or after the fact.
            Reason::CredentialsRefused
            | Reason::AddressRefused
            | Reason::RateLimited
            | Reason::Unchanged
            | Reason::Withheld => return failure,
        }
        self.doubts.insert(target.clone());
        if self.doubts.len() < ENOUGH || failure.scope == Scope::Manager {
            return failure;
        }
        self.accusers.extend(self.doubts.iter().cloned());
        let detail =
            format!("{} targets in a row could not be read, the last one: {}", self.doubts.len(), failure.detail);
        Failure { scope: Scope::Manager, verdict: Verdict::Transient, detail, ..failure }
    }

    /// Whether a key that could not be read had the manager called failing, and none was read since. Then a listing alone
    /// does not show that it works: it may refuse our login, or our address, for keys alone.
    pub fn is_open(&self) -> bool {
        !self.accusers.is_empty()
    }

    /// The manager answers: who said otherwise is not believed again before it was read itself.
    pub fn answers(&mut self) {
        self.discounted.append(&mut self.accusers);
        self.doubts.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::sample;

    fn target(n: usize) -> TargetId {
        TargetId::new(format!("emea/5f/{n}"))
    }

    fn failure(reason: Reason, scope: Scope) -> Failure {
        Failure { scope, ..sample::failure(reason) }
    }

    fn scope(breaker: &mut Breaker, n: usize, reason: Reason) -> Scope {
        breaker.failed(&target(n), failure(reason, Scope::Target)).scope
    }

    #[test]
    fn many_targets_in_a_row_are_the_managers_trouble() {
        let mut breaker = Breaker::default();
        for n in 0..ENOUGH - 1 {
            // However often the same one fails.
            assert_eq!([(); 9].map(|()| scope(&mut breaker, n, Reason::TimedOut)), [Scope::Target; 9]);
        }
        let told = breaker.failed(&target(9), failure(Reason::CutOff, Scope::Target));
        assert_eq!((told.scope, told.reason), (Scope::Manager, Reason::CutOff));
        assert_eq!(told.detail, "5 targets in a row could not be read, the last one: out of luck");
        assert!(breaker.is_open());
    }

    /// One that is read between them, or of which the manager has something to say, shows that the manager works.
    #[test]
    fn a_sign_of_life_ends_the_row() {
        for alive in [None, Some(Reason::NotFound), Some(Reason::Conflict)] {
            let mut breaker = Breaker::default();
            for n in 0..40 {
                assert_eq!(scope(&mut breaker, n, Reason::TimedOut), Scope::Target);
                if n % 4 == 3 {
                    match alive {
                        None => breaker.read(&target(99)),
                        Some(reason) => assert_eq!(scope(&mut breaker, 99, reason), Scope::Target),
                    }
                }
            }
        }
    }

    /// A target that fails for ever has its manager called failing once, alone or together with others.
    #[test]
    fn who_was_wrong_about_the_manager_is_not_believed_again() {
        let blame =
            |breaker: &mut Breaker, n| breaker.failed(&target(n), failure(Reason::ServerError, Scope::Manager)).scope;
        let mut breaker = Breaker::default();
        assert_eq!(blame(&mut breaker, 1), Scope::Manager);
        // The others' luck does not take back what it said.
        breaker.read(&target(2));
        assert_eq!([(); 3].map(|()| blame(&mut breaker, 1)), [Scope::Target; 3]);
        assert_eq!(blame(&mut breaker, 3), Scope::Manager);
        breaker.read(&target(1));
        assert_eq!(blame(&mut breaker, 1), Scope::Manager, "it was read since");

        let mut breaker = Breaker::default();
        let row = |breaker: &mut Breaker| {
            (0..9).map(|n| scope(breaker, n, Reason::TimedOut)).max_by_key(|scope| *scope as u8)
        };
        assert_eq!(row(&mut breaker), Some(Scope::Manager));
        breaker.answers();
        assert_eq!(row(&mut breaker), Some(Scope::Target));
    }

    /// A login that is refused for keys alone is the manager's trouble until a key is read, however well it lists; and one
    /// key's alone is that target's.
    #[test]
    fn a_refused_login_stands_until_a_key_is_read() {
        // A login that is good for others may be good the next time; an address is refused by rule.
        let cases = [(Reason::CredentialsRefused, Verdict::Transient), (Reason::AddressRefused, Verdict::Permanent)];
        for (reason, verdict) in cases {
            let mut breaker = Breaker::default();
            let refused = |breaker: &mut Breaker, n| {
                let failure = Failure { verdict: Verdict::Permanent, ..failure(reason, Scope::Manager) };
                let told = breaker.failed(&target(n), failure);
                (told.scope, told.verdict)
            };
            assert_eq!(refused(&mut breaker, 1), (Scope::Manager, Verdict::Permanent));
            assert!(breaker.is_open());
            assert_eq!(refused(&mut breaker, 2).0, Scope::Manager, "nobody's word is enough to end it");
            breaker.read(&target(2));
            assert!(!breaker.is_open());
            assert_eq!(refused(&mut breaker, 1), (Scope::Target, verdict));
        }
    }
}
