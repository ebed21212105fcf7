//! The binary `hooklog`: reads the command line, prints what went wrong, sets the exit code.

mod cli;
mod clock;
mod compose;
mod metric;
mod role;
mod serve;
mod settings;
mod telemetry;

use std::process::ExitCode;

use clap::Parser;
use mimalloc::MiMalloc;

/// A delivery takes some hundred small pieces of memory, which often another thread gives back than took them.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    // Every client of HTTP asks for it, whether it will speak TLS or not. Set once, here, before there is any.
    let _already_set = rustls::crypto::ring::default_provider().install_default();
    // clap exits with 2 and an explanation when the usage is wrong.
    match cli::Cli::parse().run() {
        Ok(code) => code,
        Err(error) => {
            telemetry::print_error(&error);
            ExitCode::FAILURE
        }
    }
}
