//! The make-believe Ops Manager, tried by clients that nobody here wrote: curl, and the public library pyomsdk.
//!
//! Every other flow takes the simulator's word for what happened, so this is where that word is tested.

#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "clippy knows a test by its attribute, and not what a test calls"
)]

pub(crate) mod access;
mod api;
pub(crate) mod curl;
mod faults;
mod login;
mod python;

use rekeyd::simulator::{Simulator, SimulatorSpec, TargetInfo};

async fn start(spec: SimulatorSpec) -> Simulator {
    Simulator::start(spec).await.expect("a free port")
}

/// A stand-alone replica set of the default fleet.
fn invoices(simulator: &Simulator) -> TargetInfo {
    simulator.target("billing/invoices/invoices").unwrap()
}

/// Where a target's key is read and rotated.
fn key_url(simulator: &Simulator, target: &TargetInfo) -> String {
    let (project, cluster) = (&target.project, &target.id);
    url(simulator, &format!("/groups/{project}/backupConfigs/{cluster}/encryptionKey"))
}

fn url(simulator: &Simulator, path: &str) -> String {
    format!("{}/api/public/v1.0{path}", simulator.url())
}
