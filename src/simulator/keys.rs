//! The keys of one target: which a GET shows now, which are on their way, and when they arrive.

use std::collections::VecDeque;
use std::str::FromStr;
use std::time::Duration;

use jiff::Timestamp;

use super::fault_text::duration;
use super::truth::KeyPeriod;

/// How long after an accepted PUT the new key shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum KeyTiming {
    /// The very next GET shows it.
    #[default]
    AtOnce,
    /// GETs show the old key for this long.
    After(Duration),
    /// This many GETs still show the old key.
    AfterPolls(u32),
}

/// A text that does not describe a [`KeyTiming`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" does not say when a new key shows; write now, a time such as 2s, or a number of GETs such as 3polls")]
pub struct KeyTimingError(String);

impl FromStr for KeyTiming {
    type Err = KeyTimingError;

    fn from_str(text: &str) -> Result<Self, KeyTimingError> {
        let bad = || KeyTimingError(text.to_owned());
        match text.strip_suffix("polls") {
            _ if text == "now" => Ok(Self::AtOnce),
            Some(count) => count.trim().parse().map(Self::AfterPolls).map_err(|_| bad()),
            None => duration(text).map(Self::After).ok_or_else(bad),
        }
    }
}

#[derive(Debug)]
pub(super) struct Keys {
    /// Never empty; the last one is shown.
    shown: Vec<KeyPeriod>,
    pending: VecDeque<Pending>,
}

#[derive(Debug)]
struct Pending {
    key: String,
    ready: Ready,
}

#[derive(Debug)]
enum Ready {
    At(Timestamp),
    AfterPolls(u32),
}

impl Keys {
    pub(super) fn new(first: String, now: Timestamp) -> Self {
        let period = KeyPeriod { key: first, since: now };
        Self { shown: vec![period], pending: VecDeque::new() }
    }

    /// The key that a GET shows, without counting as one.
    pub(super) fn current(&self) -> &str {
        let last = self.shown.last();
        &last.expect("a target has a key from the start").key
    }

    /// The newest key, shown or not.
    pub(super) fn newest(&self) -> &str {
        self.pending.back().map_or(self.current(), |p| &p.key)
    }

    /// What one GET shows. Counts as a poll.
    pub(super) fn poll(&mut self, now: Timestamp) -> &str {
        self.settle(now);
        if let Some(Pending { ready: Ready::AfterPolls(left), .. }) = self.pending.front_mut() {
            *left = left.saturating_sub(1);
        }
        // The count was for the GETs that still show the old key: this one does, the next need not.
        self.current()
    }

    /// Lets every key that is due come into use, in order.
    pub(super) fn settle(&mut self, now: Timestamp) {
        while let Some(next) = self.pending.front() {
            let since = match next.ready {
                Ready::At(time) if time <= now => time,
                Ready::AfterPolls(0) => now,
                Ready::At(_) | Ready::AfterPolls(_) => return,
            };
            let next = self.pending.pop_front().expect("just seen");
            self.shown.push(KeyPeriod { key: next.key, since });
        }
    }

    /// Takes a new key into use as `timing` says.
    pub(super) fn replace(&mut self, key: String, timing: KeyTiming, now: Timestamp) {
        let ready = match timing {
            KeyTiming::AtOnce => Ready::At(now),
            KeyTiming::After(delay) => Ready::At(now + delay),
            KeyTiming::AfterPolls(polls) => Ready::AfterPolls(polls),
        };
        self.pending.push_back(Pending { key, ready });
        self.settle(now);
    }

    /// A key that comes into use now, past everything that is on its way.
    pub(super) fn force(&mut self, key: String, now: Timestamp) {
        self.settle(now);
        self.shown.push(KeyPeriod { key, since: now });
    }

    /// The latest key in the past that differs from the one shown.
    pub(super) fn earlier(&self) -> Option<&str> {
        let current = self.current();
        let mut past = self.shown.iter().rev().map(|period| period.key.as_str());
        past.find(|key| *key != current)
    }

    pub(super) fn shown(&self) -> &[KeyPeriod] {
        &self.shown
    }

    pub(super) fn pending(&self) -> Vec<String> {
        self.pending.iter().map(|p| p.key.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    /// The three timings: a client that believes the first GET must be caught out by two of them.
    #[test]
    fn a_new_key_shows_when_its_timing_says() {
        let mut keys = Keys::new("a".into(), at(0));
        keys.replace("b".into(), KeyTiming::AtOnce, at(1));
        assert_eq!(keys.poll(at(1)), "b");

        keys.replace("c".into(), KeyTiming::After(Duration::from_secs(5)), at(2));
        assert_eq!(keys.newest(), "c");
        assert_eq!(keys.poll(at(6)), "b");
        assert_eq!(keys.poll(at(7)), "c");

        keys.replace("d".into(), KeyTiming::AfterPolls(2), at(8));
        assert_eq!(keys.poll(at(8)), "c");
        assert_eq!(keys.poll(at(8)), "c");
        assert_eq!(keys.poll(at(9)), "d");
        let history: Vec<_> = keys.shown().iter().map(|p| p.key.as_str()).collect();
        assert_eq!(history, ["a", "b", "c", "d"]);
        assert_eq!(keys.shown()[2].since, at(7));
    }

    /// Two PUTs in a row make two keys, and both come into use: the double rotation that must be seen.
    #[test]
    fn a_second_put_makes_a_second_key() {
        let mut keys = Keys::new("a".into(), at(0));
        keys.replace("b".into(), KeyTiming::AfterPolls(1), at(0));
        keys.replace("c".into(), KeyTiming::AfterPolls(1), at(0));
        let seen: Vec<_> = (0..4).map(|n| keys.poll(at(n)).to_owned()).collect();
        assert_eq!(seen, ["a", "b", "c", "c"]);
    }

    /// What an operator may write on the command line.
    #[test]
    fn timings_are_read_from_text() {
        assert_eq!("now".parse(), Ok(KeyTiming::AtOnce));
        let delay = KeyTiming::After(Duration::from_millis(1_500));
        assert_eq!("1.5s".parse(), Ok(delay));
        assert_eq!("3polls".parse(), Ok(KeyTiming::AfterPolls(3)));
        let error = "later".parse::<KeyTiming>().unwrap_err().to_string();
        assert!(error.contains("3polls"), "{error}");
    }
}
