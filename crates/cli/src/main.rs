//! The `backstay` program. Everything is in the library beside it, so that generated pages and tests can use it.

use std::process::ExitCode;

fn main() -> ExitCode {
    backstay_cli::main()
}
