//! The short text in which faults are asked for, on the command line and over the control routes.
//!
//! ```text
//! KIND[=VALUE][@SCOPE][:TARGET][:AMOUNT]
//!
//! cut-after                   every PUT of every target
//! cut-after:0.1               one in ten of them
//! hang:ledger-*:1             the first request for a key of ledger's members, once in all
//! slow@get=2s:billing/*:50%   half of the GETs of that project
//! rate-limited=30:0.2x5       one in five, five times at most
//! ```

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::fault::{Amount, Fault, FaultKind, Scope};

/// A text that does not describe a fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FaultError {
    /// The name is none that we know.
    #[error("there is no fault called \"{0}\"; there are {known}", known = known_names())]
    Unknown(String),
    /// The value does not fit the kind.
    #[error("the fault \"{kind}\" cannot take the value \"{value}\"; {wanted}")]
    Value {
        /// Of which fault.
        kind: String,
        /// What was given.
        value: String,
        /// What it takes.
        wanted: &'static str,
    },
    /// The scope is none of the five.
    #[error("there is no scope \"{0}\"; there are get, put, key (both of them), list and any")]
    Scope(String),
    /// The amount is neither a probability nor a number of times.
    #[error("\"{0}\" is not an amount; write 3 (three times), 0.1 or 10% (a probability), or 0.1x3 (both)")]
    Amount(String),
    /// More parts than there are.
    #[error("\"{0}\" has too many parts; a fault reads KIND[=VALUE][@SCOPE][:TARGET][:AMOUNT]")]
    TooManyParts(String),
}

fn known_names() -> String {
    let names: Vec<&str> = FaultKind::ALL.iter().map(|kind| kind.name()).collect();
    names.join(", ")
}

impl FromStr for Fault {
    type Err = FaultError;

    fn from_str(text: &str) -> Result<Self, FaultError> {
        let parts: Vec<&str> = text.trim().split(':').collect();
        let (head, target, amount) = match *parts.as_slice() {
            [head] => (head, "*", Amount::ALWAYS),
            // One part more is an amount when it reads like one, and a target otherwise.
            [head, last] => match last.parse() {
                Ok(amount) => (head, "*", amount),
                Err(_) => (head, last, Amount::ALWAYS),
            },
            [head, target, amount] => (head, target, amount.parse()?),
            _ => return Err(FaultError::TooManyParts(text.to_owned())),
        };
        // The value and the scope may come in either order.
        let end = head.find(['=', '@']).unwrap_or(head.len());
        let (name, mut rest) = head.split_at(end);
        let (mut value, mut scope) = (None, None);
        while let Some(mark) = rest.chars().next() {
            let body = &rest[mark.len_utf8()..];
            let end = body.find(['=', '@']).unwrap_or(body.len());
            let (word, after) = body.split_at(end);
            match mark {
                '=' => value = Some(word),
                _ => scope = Some(word.parse::<Scope>()?),
            }
            rest = after;
        }
        let kind = kind_of(name, value)?;
        Ok(Self { kind, scope: scope.unwrap_or(kind.default_scope()), target: target.to_owned(), amount })
    }
}

fn kind_of(name: &str, value: Option<&str>) -> Result<FaultKind, FaultError> {
    let mut kinds = FaultKind::ALL.iter().copied();
    let kind = kinds.find(|kind| kind.name() == name).ok_or_else(|| FaultError::Unknown(name.to_owned()))?;
    let Some(value) = value else {
        return Ok(kind);
    };
    let (with_value, wanted) = if let FaultKind::Slow(_) = kind {
        (duration(value).map(FaultKind::Slow), "it takes a time, for example slow=500ms")
    } else if let FaultKind::RateLimited { .. } = kind {
        let seconds = value.parse().ok();
        let limited = seconds.map(|seconds| FaultKind::RateLimited { retry_after: Some(seconds) });
        (limited, "it takes whole seconds, for example rate-limited=30")
    } else {
        (None, "it takes none")
    };
    with_value.ok_or_else(|| FaultError::Value { kind: name.to_owned(), value: value.to_owned(), wanted })
}

/// `2s`, `500ms`, `1m 30s`.
pub(super) fn duration(text: &str) -> Option<Duration> {
    let signed: jiff::SignedDuration = text.parse().ok()?;
    signed.try_into().ok()
}

impl FromStr for Scope {
    type Err = FaultError;

    fn from_str(text: &str) -> Result<Self, FaultError> {
        match text {
            "key" => Ok(Self::Key),
            "get" => Ok(Self::Get),
            "put" => Ok(Self::Put),
            "list" => Ok(Self::List),
            "any" => Ok(Self::Any),
            _ => Err(FaultError::Scope(text.to_owned())),
        }
    }
}

impl FromStr for Amount {
    type Err = FaultError;

    fn from_str(text: &str) -> Result<Self, FaultError> {
        let bad = || FaultError::Amount(text.to_owned());
        let (probability, times) = match text.split_once('x') {
            Some((probability, times)) => (Some(probability), Some(times)),
            None if text.contains(['.', '%']) => (Some(text), None),
            None => (None, Some(text)),
        };
        let probability = match probability {
            None => 1.0,
            Some(text) => match text.strip_suffix('%') {
                Some(percent) => percent.parse::<f64>().map_err(|_| bad())? / 100.0,
                None => text.parse().map_err(|_| bad())?,
            },
        };
        if !(0.0..=1.0).contains(&probability) {
            return Err(bad());
        }
        let times = times.map(str::parse).transpose().map_err(|_| bad())?;
        Ok(Self { probability, times })
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind.name())?;
        if let FaultKind::Slow(delay) = self.kind {
            write!(f, "={}ms", delay.as_millis())?;
        }
        if let FaultKind::RateLimited { retry_after: Some(seconds) } = self.kind {
            write!(f, "={seconds}")?;
        }
        let scope = match self.scope {
            Scope::Key => "key",
            Scope::Get => "get",
            Scope::Put => "put",
            Scope::List => "list",
            Scope::Any => "any",
        };
        write!(f, "@{scope}:{}:{:?}", self.target, self.amount.probability)?;
        match self.amount.times {
            Some(times) => write!(f, "x{times}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Fault {
        text.parse().unwrap_or_else(|e| panic!("{text}: {e}"))
    }

    /// The examples of the module's own documentation mean what they say there.
    #[test]
    fn texts_read_as_documented() {
        let tenth = parse("cut-after:0.1");
        assert_eq!(tenth, FaultKind::CutAfter.everywhere().probability(0.1), "a fraction is a probability");
        assert_eq!(tenth.scope, Scope::Put);
        let hang = FaultKind::Hang.everywhere();
        assert_eq!(parse("hang:ledger-*:1"), hang.target("ledger-*").times(1));
        let slow = FaultKind::Slow(Duration::from_secs(2)).everywhere();
        let slow = slow.scope(Scope::Get).target("billing/*").probability(0.5);
        assert_eq!(parse("slow@get=2s:billing/*:50%"), slow);
        assert_eq!(parse("slow=2s@get:billing/*:0.5"), slow);
        let limited = FaultKind::RateLimited { retry_after: Some(30) };
        let limited = limited.everywhere().probability(0.2).times(5);
        assert_eq!(parse("rate-limited=30:0.2x5"), limited);
        assert_eq!(parse("vanished:invoices").target, "invoices");
    }

    /// The list that people are shown holds every fault, and each can be written down and read back.
    #[test]
    fn every_known_fault_survives_its_own_text() {
        for kind in FaultKind::ALL {
            let fault = parse(kind.name());
            assert_eq!(fault.kind, *kind);
            let fault = fault.target("a/b-*").probability(0.25).times(3);
            assert_eq!(parse(&fault.to_string()), fault);
        }
        let always = FaultKind::Hang.everywhere();
        assert_eq!(parse(&always.to_string()), always);
    }

    /// A wrong text is answered with what would have been right.
    #[test]
    fn errors_say_what_would_be_right() {
        let error = |text: &str| text.parse::<Fault>().unwrap_err().to_string();
        assert!(error("cutafter").contains("there are refuse, stale-nonce"));
        assert!(error("hang=3").contains("it takes none"));
        assert!(error("slow=soon").contains("slow=500ms"));
        assert!(error("slow=-1s").contains("slow=500ms"));
        assert!(error("hang@patch").contains("get, put, key"));
        assert!(error("hang:a:2.5").contains("is not an amount"));
        assert!(error("hang:a:b:c").contains("too many parts"));
    }
}
