//! When a daemon is to be killed: at the so-and-so-many-th time that it comes to a moment.

use std::sync::Mutex;

use tokio::sync::Notify;

/// What a daemon can be killed at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moment {
    BeforeCommit,
    AfterCommit,
    BeforePut,
    AfterPut,
    AfterGet,
}

impl Moment {
    pub(crate) const ALL: [Self; 5] =
        [Self::BeforeCommit, Self::AfterCommit, Self::BeforePut, Self::AfterPut, Self::AfterGet];

    pub(crate) const fn fault(self) -> &'static str {
        match self {
            Self::BeforeCommit => "kill: before a commit",
            Self::AfterCommit => "kill: after a commit",
            Self::BeforePut => "kill: before a PUT",
            Self::AfterPut => "kill: after a PUT",
            Self::AfterGet => "kill: after a GET",
        }
    }
}

/// The order to kill, and the bell that rings when it is due.
#[derive(Default)]
pub(crate) struct Kill {
    order: Mutex<Option<(Moment, u64)>>,
    pub(crate) bell: Notify,
}

impl Kill {
    /// Kills at the moment after so many more of its kind; none takes the order back.
    pub(crate) fn order(&self, order: Option<(Moment, u64)>) {
        *self.order.lock().unwrap() = order;
    }

    pub(crate) fn reached(&self, moment: Moment) {
        let mut order = self.order.lock().unwrap();
        match order.as_mut() {
            Some((wanted, 0)) if *wanted == moment => {
                *order = None;
                self.bell.notify_one();
            }
            Some((wanted, left)) if *wanted == moment => *left -= 1,
            _ => {}
        }
    }
}
