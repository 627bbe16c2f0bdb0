#![forbid(unsafe_code)]
//! The binary `sluice`: configuration, command line, one supervisor per live stream, wiring and shutdown. It is the one
//! crate that sees all the others.

mod accelerators;
mod check;
mod cli;
mod config;
mod demo;
mod desk;
mod doctor;
mod doorman;
mod governor;
mod keys;
mod ladder;
mod multitrack;
mod ready;
mod recordings;
mod serve;
mod store;
mod stream;
mod tls;
mod token;
mod users;

use std::process::ExitCode;

use clap::Parser;

use cli::{Cli, Command};

/// EX_CONFIG of sysexits.h: the configuration is wrong, and starting again will not help.
const EXIT_CONFIG: u8 = 78;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let outcome = match cli.command.unwrap_or_else(|| Command::Serve(Box::default())) {
        // Before everything else: the worker wants no logging, no runtime and no configuration of ours.
        Command::Worker { .. } => return transcode::worker_main(),
        Command::Serve(flags) => serve::run(&flags),
        Command::Demo(flags) => demo::run(&flags),
        Command::Keys { action, data } => keys::run(&action, &data),
        Command::Users { action, data } => users::run(&action, &data),
        Command::Token(flags) => token::run(&flags),
        Command::Recordings { action, data } => recordings::run(&action, &data),
        Command::Ladder(flags) => ladder::run(&flags),
        Command::Doctor(flags) => doctor::run(&flags),
        Command::Ready(flags) => ready::run(&flags),
        Command::Check(flags) => check::run(&flags),
        Command::ExampleConfig => {
            print!("{}", config::example());
            Ok(ExitCode::SUCCESS)
        }
    };
    outcome.unwrap_or_else(|error| {
        if let Some(faults) = error.downcast_ref::<config::Faults>() {
            eprint!("sluice: {faults}");
            return ExitCode::from(EXIT_CONFIG);
        }
        eprintln!("sluice: {error:#}");
        ExitCode::FAILURE
    })
}
