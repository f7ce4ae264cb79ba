//! Makes a new migration file rebuild the crate, since the macro that embeds them is not run again by itself; and tells a
//! release build which commit it is made from.

use std::env::var_os;
use std::process::Command;

fn main() {
    println!("cargo:rerun-if-changed=migrations");
    println!("cargo:rerun-if-env-changed=REKEYD_COMMIT");
    let text = |name| var_os(name).and_then(|value| value.into_string().ok()).unwrap_or_default();
    let (version, profile, target) = (text("CARGO_PKG_VERSION"), text("PROFILE"), text("TARGET"));
    // A debug build is made from whatever lies about, and is not made anew for every commit.
    let commit = match text("REKEYD_COMMIT") {
        said if !said.is_empty() => said,
        _ if profile == "release" => commit().unwrap_or_else(|| "no commit known".to_owned()),
        _ => "no commit".to_owned(),
    };
    println!("cargo:rustc-env=REKEYD_BUILD={version} ({commit}, {profile}, {target})");
}

/// The commit of a working copy, with `+` where it was changed since. None in a source archive: not even if the archive
/// was unpacked inside of some other working copy.
fn commit() -> Option<String> {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let top = git(&["rev-parse", "--show-toplevel"])?;
    if std::path::Path::new(&top).canonicalize().ok()? != std::path::Path::new(".").canonicalize().ok()? {
        return None;
    }
    // Moves with every commit and checkout.
    println!("cargo:rerun-if-changed={}", git(&["rev-parse", "--git-path", "logs/HEAD"])?);
    let changed = git(&["status", "--porcelain", "--untracked-files=no"])?;
    Some(git(&["rev-parse", "--short=12", "HEAD"])? + if changed.is_empty() { "" } else { "+" })
}
