//! Starts a throw-away cluster, prints the path of its kubeconfig, and ends it when the input is closed.
//!
//! For programs that must not be linked with the test kit, and for trying things by hand:
//! `cargo run -p backstay-testkit --bin cluster-up -- [--scheduler] [--without-controllers]`.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "its output is for people and for the program that starts it"
)]

use std::process::ExitCode;

use backstay_testkit::cluster::{ClusterOptions, start};

fn main() -> ExitCode {
    let mut options = ClusterOptions { controllers: true, ..ClusterOptions::default() };
    for argument in std::env::args().skip(1) {
        match argument.as_str() {
            "--scheduler" => options.scheduler = true,
            "--without-controllers" => options.controllers = false,
            _ => {
                eprintln!("usage: cluster-up [--scheduler] [--without-controllers]");
                return ExitCode::from(2);
            }
        }
    }
    let cluster = start(options);
    println!("{}", cluster.kubeconfig().display());
    // An error means the same as the end: nobody is there any more.
    let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
    ExitCode::SUCCESS
}
