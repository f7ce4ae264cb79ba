//! Everything that can be set about a simulator before it starts.

use std::net::{Ipv4Addr, SocketAddr};

use jiff::SignedDuration;

use super::access::AccessSpec;
use super::fault::Fault;
use super::fleet::FleetSpec;
use super::gate::DigestRules;
use super::keys::KeyTiming;

/// A simulator to be started. Everything has a default; change what matters.
#[derive(Debug, Clone)]
pub struct SimulatorSpec {
    /// What it manages.
    pub fleet: FleetSpec,
    /// The only login it accepts.
    pub credentials: Credentials,
    /// The API keys that it lists, the login among them.
    pub access: AccessSpec,
    /// How it challenges and how strict it is.
    pub digest: DigestRules,
    /// When a new key shows.
    pub timing: KeyTiming,
    /// Exceptions from `timing`: a glob over target ids and names, and what holds for those that match.
    pub target_timing: Vec<(String, KeyTiming)>,
    /// What goes wrong from the start.
    pub faults: Vec<Fault>,
    /// Decides the key ids and the luck of faults. The same seed makes the same.
    pub seed: u64,
    /// The most entries on one page: 500 as documented, 100 on old servers.
    pub page_cap: usize,
    /// What an accepted PUT is answered with.
    pub put_reply: PutReply,
    /// The HTTP status of the two refusals that say "not by this way". Nobody has published the real one.
    pub disabled_status: u16,
    /// What the version header says.
    pub version: String,
    /// What its clock is ahead by, as the `Date` of its replies shows.
    pub clock_ahead: SignedDuration,
    /// What links begin with, for a simulator behind a proxy. `None`: its own address.
    pub public_url: Option<String>,
    /// Where it listens. Port 0: any free one.
    pub listen: SocketAddr,
}

/// A public key and its private half. Make-believe, and therefore not kept as secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The user name of the login.
    pub public_key: String,
    /// Its password.
    pub private_key: String,
}

/// What an accepted PUT is answered with, beside status 201. Never the new key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PutReply {
    /// `{}`, as the current documentation says.
    EmptyObject,
    /// No body at all.
    Nothing,
}

impl Default for SimulatorSpec {
    fn default() -> Self {
        Self {
            fleet: FleetSpec::default(),
            credentials: Credentials { public_key: "simulator".into(), private_key: "5e1f-make-believe".into() },
            access: AccessSpec::default(),
            digest: DigestRules::default(),
            timing: KeyTiming::default(),
            target_timing: Vec::new(),
            faults: Vec::new(),
            seed: 1,
            page_cap: 500,
            put_reply: PutReply::EmptyObject,
            disabled_status: 400,
            // One of a series that manages deployments whose backup keys are rotated this way.
            version: "5.0.22.100.20231003T1512Z".into(),
            clock_ahead: SignedDuration::ZERO,
            public_url: None,
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        }
    }
}
