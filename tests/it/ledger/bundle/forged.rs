//! Bundles that somebody forged, and the script in them: whoever verifies one must not run what came with it.

use super::*;

/// A bundle of one target's year.
async fn bundle() -> (tempfile::TempDir, PathBuf) {
    let dir = written(life(&member("mail", "rs0"), 0.0, 30.0, 364.0)).await;
    let bundle = exported(dir.path(), "bundle");
    (dir, bundle)
}

/// The verifier with what the reader's machine has: Python, and the package `cryptography`.
fn interpreter() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target/test-tools/venv/bin/python")
}

/// Modules beside the script that would find every signature good, or say that all is well.
#[tokio::test]
async fn what_lies_beside_the_verifier_is_not_run() {
    let (_dir, bundle) = bundle().await;
    let python = interpreter();
    let python = python.to_str().unwrap();
    let text = std::fs::read_to_string(bundle.join("checkpoints")).unwrap();
    let nobody = text.lines().map(|line| match line.rsplit_once(' ') {
        // The key's own id, and 64 bytes of nothing.
        Some((name, signature)) if line.starts_with('\u{2014}') => {
            format!("{name} {}{}==\n", &signature[..5], "A".repeat(86 - 5))
        }
        _ => format!("{line}\n"),
    });
    std::fs::write(bundle.join("checkpoints"), nobody.collect::<String>()).unwrap();
    let modules = bundle.join("cryptography/hazmat/primitives/asymmetric");
    std::fs::create_dir_all(&modules).unwrap();
    let ed25519 = "class Ed25519PublicKey:
    @classmethod
    def from_public_bytes(cls, key):
        return cls()
    def verify(self, signature, text):
        return None\n";
    std::fs::write(modules.join("ed25519.py"), ed25519).unwrap();
    std::fs::write(bundle.join("cryptography/exceptions.py"), "class InvalidSignature(Exception):\n    pass\n")
        .unwrap();
    let well = "import sys\nprint('{\"verified\": true}')\nsys.exit(0)\n";
    std::fs::write(bundle.join("argparse.py"), well).unwrap();
    for with in [vec![python], vec!["env", "PYTHONPATH=:/nowhere", python], vec!["python3"]] {
        let said = verified(&bundle, &with);
        assert_eq!(said["verified"], false, "{with:?}: {said}");
        assert!(said["why"].as_str().unwrap().contains("not signed by a key"), "{with:?}: {said}");
    }

    // They are named, too.
    std::fs::write(bundle.join("checkpoints"), text).unwrap();
    let said = verified(&bundle, &[python]);
    assert_eq!(
        (&said["verified"], &said["beside"]),
        (&true.into(), &serde_json::json!(["argparse.py", "cryptography"]))
    );
}
