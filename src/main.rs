//! The `sluicebox` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    sluicebox::commands::main()
}
