//! `busway source`: follow another system's events and publish them on a hub.
//!
//! A file a system under `source/`: it brings events into a queue; what stands there is published by `relay`, which
//! is the same for all and gives up only on what the hub will never take.
//! Why a command of its own and not a part of the hub: it may run where the other system can be reached, several of
//! them side by side, and a hub restarts without losing what they have seen meanwhile.
//! Invariant: an event leaves the queue when the hub has it on disk.

mod marathon;
mod relay;

use std::io::Write as _;

use clap::{Args, Subcommand};

use super::exit::Failure;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  busway source marathon http://marathon:8080                       publish what it sees on the hub here
  busway source marathon http://m1:8080 http://m2:8080 --credentials env:MARATHON --url http://hub:8080 --bus cluster")]
pub(super) struct Command {
    #[command(subcommand)]
    system: System,
}

#[derive(Debug, Subcommand)]
enum System {
    /// Follow a Marathon's event stream (`/v2/events`; Marathon 0.9 to 1.8, or another hub).
    Marathon(Box<marathon::Marathon>),
}

impl Command {
    pub(super) async fn run(self) -> Result<(), Failure> {
        match self.system {
            System::Marathon(marathon) => marathon.run().await,
        }
    }
}

/// Tells whoever watches; stdout stays empty.
fn tell(words: std::fmt::Arguments<'_>) {
    // Nothing can be done about a stderr that is gone.
    let _ = writeln!(std::io::stderr(), "busway: {words}");
}
