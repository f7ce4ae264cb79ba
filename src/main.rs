//! Entry point: runs `cli::main`.

use std::process::ExitCode;

fn main() -> ExitCode {
    rekeyd::cli::main()
}
