//! The door: hands the command line to `cli` and its answer to the shell.

use std::process::ExitCode;

fn main() -> ExitCode {
    rekeyd::cli::main()
}
