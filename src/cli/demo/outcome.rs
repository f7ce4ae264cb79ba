//! What came of a demo: the record against the far end's own count, a second client's opinion, and the ledger's soundness.

use std::collections::BTreeSet;
use std::io;

use crate::app::{self, View};
use crate::cli::output::{BAD, BOLD, GOOD, Output, styled};
use crate::cli::{Answer, Exit, audit};
use crate::config::Config;
use crate::domain::{Fleet, How, RotationFilter, RotationRow};
use crate::simulator::Simulator;
use crate::store::Reader;

/// Prints the verdicts. Done if all of them are good.
pub(super) async fn summarize(config: &Config, simulator: &Simulator, output: &mut Output) -> Answer {
    let settings = &config.settings;
    let view = View::read(settings)?;
    let reader = Reader::open(&settings.state_dir)?;
    let rotations = reader.rotations(&RotationFilter::default(), None)?;
    let done = |how: How| rotations.iter().filter(|row| row.how == Some(how)).count();
    let truth = simulator.truth();
    let took_effect = truth.rotations().count();
    let parked = view.fleet.targets.values().filter(|record| record.rotation.is_some()).count();
    let rotated = done(How::Rotated) + done(How::Recovered);
    let targets = view.fleet.targets.values().filter(|record| record.last_rotation_at.is_some()).count();
    output.line("")?;
    output.line(styled(BOLD, "What came of it"))?;
    let agree = rotated <= took_effect && took_effect <= rotated + parked;
    verdict(
        agree,
        format_args!(
            "{rotated} rotations of {targets} targets are on record ({} of them recovered after a lost reply); at the far end {took_effect} took effect",
            done(How::Recovered)
        ),
        output,
    )?;
    if parked > 0 {
        output.line(format_args!(
            "      {parked} more were in hand at the end; the next start would settle them by looking"
        ))?;
    }
    let twice = twice(&rotations);
    verdict(twice == 0, format_args!("no slot was answered twice"), output)?;
    let (agreed, asked) = second_opinions(config, &view.fleet, simulator).await;
    verdict(
        agreed == asked,
        format_args!(
            "a second client, which shares no code with the daemon's, reads the recorded key of {agreed} of {asked} targets"
        ),
        output,
    )?;
    output.raw(b"  ")?;
    let verified = audit::verify_all(settings, output)?;
    let good = agree && twice == 0 && agreed == asked && verified == Exit::Done;
    Ok(if good { Exit::Done } else { Exit::Failed })
}

fn verdict(good: bool, words: impl std::fmt::Display, output: &mut Output) -> io::Result<()> {
    let mark = if good { styled(GOOD, "pass") } else { styled(BAD, "FAIL") };
    output.line(format_args!("  {mark} {words}"))
}

/// Slots that more than one rotation answered: what the database forbids, looked at all the same.
fn twice(rotations: &[RotationRow]) -> usize {
    let mut answered = BTreeSet::new();
    rotations.iter().filter(|row| row.how.is_some() && !answered.insert((&row.target, row.id.slot))).count()
}

/// Asks for each settled target's key once more, with the other client and the far end in good health.
async fn second_opinions(config: &Config, fleet: &Fleet, simulator: &Simulator) -> (usize, usize) {
    simulator.set_faults(Vec::new());
    let settled = fleet.targets.values().filter(|record| record.rotation.is_none() && record.refusal.is_none());
    let (mut agreed, mut asked) = (0, 0);
    for record in settled {
        let Some(known) = &record.key else { continue };
        asked += 1;
        if app::second_opinion(config, &record.target).await.as_ref() == Some(&known.id) {
            agreed += 1;
        }
    }
    (agreed, asked)
}
