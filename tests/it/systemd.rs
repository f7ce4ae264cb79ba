//! The unit: systemd understands every line of it, and finds next to nothing left to take away.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use rekeyd::alerts;
use rekeyd::domain::{AlertKind, Period};
use rekeyd::policy::Rules;
use tempfile::TempDir;

/// The shipped unit with the program of this build in place of the installed one, which need not exist here.
fn unit() -> (TempDir, PathBuf) {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("systemd/rekeyd.service");
    let text = fs::read_to_string(shipped).unwrap();
    let installed = "=/usr/bin/rekeyd ";
    assert_eq!(text.matches(installed).count(), 2, "the start and the reload");
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("rekeyd.service");
    fs::write(&path, text.replace(installed, concat!("=", env!("CARGO_BIN_EXE_rekeyd"), " "))).unwrap();
    (dir, path)
}

/// Succeeds, and returns what was said.
fn analyze(arguments: &[&str], unit: &Path) -> String {
    let mut command = Command::new("systemd-analyze");
    command.arg("--no-pager").args(arguments).arg(unit);
    let output = command.output().expect("systemd-analyze is missing: install systemd, or run tests/setup.sh");
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success(), "{arguments:?}: {said}");
    said
}

/// A word that systemd does not know is only warned of at start, and the protection that it meant is not there.
#[test]
fn systemd_understands_every_line() {
    let (_dir, unit) = unit();
    assert_eq!(analyze(&["--recursive-errors=no", "verify"], &unit), "");
}

/// Exposure is counted in tenths, from 0 to 100; a service without protection has 96.
#[test]
fn the_unit_is_closed_as_far_as_it_can_be() {
    let (_dir, unit) = unit();
    analyze(&["security", "--offline=true", "--threshold=12"], &unit);
}

/// The statuses that the daemon ends with are the ones that the unit knows.
#[test]
fn a_wrong_configuration_is_not_tried_again() {
    let (_dir, unit) = unit();
    let status = Command::new(env!("CARGO_BIN_EXE_rekeyd"))
        .args(["--config", "/nonexistent/rekeyd.toml", "run"])
        .output()
        .unwrap()
        .status;
    let wanted = format!("RestartPreventExitStatus={}", status.code().unwrap());
    assert!(fs::read_to_string(unit).unwrap().lines().any(|line| line == wanted), "{wanted}");
}

/// A daemon that stands still is told of before it is killed for it, with a minute to spare for whoever weighs and tells.
#[test]
fn a_daemon_that_stands_still_is_told_of_before_it_is_killed() {
    let (_dir, unit) = unit();
    let text = fs::read_to_string(unit).unwrap();
    let watchdog = text.lines().find_map(|line| line.strip_prefix("WatchdogSec=")).unwrap();
    let watchdog: Period = watchdog.replace("min", "m").parse().unwrap();
    let patience = alerts::patience(AlertKind::SchedulerStalled).unwrap();
    let told = Rules::default().stalled_after.as_secs() + patience.as_secs();
    assert!(watchdog.as_secs() > told + 60, "killed after {watchdog}, told after {told} s");
}
