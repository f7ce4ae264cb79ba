//! `rekeyd simulate`: the make-believe Ops Manager alone.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::output::{BOLD, DIM, Output, styled};
use super::{Answer, Exit, Stop, runtime};
use crate::simulator::{Fault, FaultKind, FleetSpec, KeyTiming, Simulator, SimulatorSpec, Truth};

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  rekeyd simulate --listen 127.0.0.1:8080\n  rekeyd simulate --targets 1000 --fault cut-after:0.1 --fault 'hang:ledger-*:1'\n\nA fault reads KIND[=VALUE][@SCOPE][:TARGET][:AMOUNT]; `--faults` lists the kinds."
)]
pub(super) struct Args {
    /// Where to listen; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// So many stand-alone replica sets instead of the small mixed fleet.
    #[arg(long, value_name = "N")]
    targets: Option<usize>,
    /// When a new key shows: `now`, a time such as `2s`, or a number of GETs such as `3polls`.
    #[arg(long, default_value = "now")]
    new_key: KeyTiming,
    /// What goes wrong; may be given several times.
    #[arg(long, value_name = "FAULT")]
    fault: Vec<Fault>,
    /// Decides the key ids and the luck of faults.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Write the private key into this file, for the configuration's `private_key = { file = … }`.
    #[arg(long, value_name = "FILE")]
    write_key: Option<PathBuf>,
    /// List the kinds of fault and end.
    #[arg(long)]
    faults: bool,
}

pub(super) fn simulate(args: &Args, output: &mut Output) -> Answer {
    if args.faults {
        let rows: Vec<_> =
            FaultKind::ALL.iter().map(|kind| [kind.name().to_owned(), kind.meaning().to_owned()]).collect();
        output.table(["FAULT", "WHAT HAPPENS"], &rows)?;
        return Ok(Exit::Done);
    }
    let spec = SimulatorSpec {
        fleet: args.targets.map_or_else(FleetSpec::default, FleetSpec::uniform),
        timing: args.new_key,
        faults: args.fault.clone(),
        seed: args.seed,
        listen: args.listen,
        ..SimulatorSpec::default()
    };
    runtime()?.block_on(async {
        let simulator = Simulator::start(spec).await.map_err(|error| {
            Stop::Words(format!("cannot listen on {}: {error}; --listen names another address", args.listen))
        })?;
        let credentials = simulator.credentials();
        if let Some(path) = &args.write_key {
            super::demo::write_secret(path, &credentials.private_key)
                .map_err(|error| Stop::Words(format!("cannot write {}: {error}", path.display())))?;
        }
        output.line(format_args!("{} {}", styled(BOLD, "a make-believe Ops Manager at"), simulator.url()))?;
        output.line(format_args!("public key   {}", credentials.public_key))?;
        output.line(format_args!("private key  {} {}", credentials.private_key, styled(DIM, "(make-believe)")))?;
        output.line(format_args!("targets      {}", simulator.targets().len()))?;
        output.line(format_args!("the truth    curl {}/_sim/truth", simulator.url()))?;
        output.line("Ctrl-C ends it.")?;
        super::demo::interrupted().await;
        let truth: Truth = simulator.stop().await;
        output.line(format_args!("{} rotations took effect", truth.rotations().count()))?;
        Ok(Exit::Done)
    })
}
