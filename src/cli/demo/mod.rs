//! `busway demo`: a hub at work on real input, and a ledger that comes from counting.
//!
//! The story is [`Demo::run`]: build the plugins, start a hub and its subscribers, publish the recorded events, then
//! load; in the middle of the load a filter is swapped and a sink is killed and started again. `stage` is the hub with
//! its subscribers, `sink` the subscribers' side, `board` what they saw, `ledger` the accounts, `load` the second half.
//! Invariant: everything goes over HTTP as it would between machines; the board is written by subscribers only.

mod board;
mod events;
mod judge;
mod ledger;
mod load;
mod plugins;
mod sink;
mod stage;

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use serde_json::Value;

use super::exit::{Code, Failure};
use super::out::{Form, Out};
use board::Who;
use events::text;
use stage::Stage;

/// How long one recorded event is waited for before its line is shown.
const GLANCE: Duration = Duration::from_millis(250);
/// How long the hub has to deliver what is left after the load.
const SETTLE: Duration = Duration::from_secs(20);

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cargo run --release -- demo                    from a checkout
  busway demo --load 20000                       longer under load")]
pub(super) struct Demo {
    /// Events of load, after the recorded ones.
    #[arg(long, value_name = "N", default_value_t = 4_000, value_parser = clap::value_parser!(u32).range(100..=1_000_000))]
    load: u32,
    /// The folder with the sources of the plugins.
    #[arg(long, value_name = "DIR", default_value = "plugins")]
    plugins: PathBuf,
}

/// What the demo prints.
pub(super) struct Screen(Out);

impl Screen {
    /// A heading.
    fn head(&mut self, text: &str) -> io::Result<()> {
        self.0.line(&format!("\n== {text}"))
    }

    /// A line under it.
    fn say(&mut self, text: &str) -> io::Result<()> {
        self.0.line(&format!("   {text}"))
    }
}

impl Demo {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let mut screen = Screen(Out::stdout(Form::Table));
        let folder =
            tempfile::tempdir().map_err(|cause| Failure::new(Code::Io, format!("no temporary folder: {cause}")))?;
        let home = folder.path().join("plugins");
        screen.head("1. Building the plugins")?;
        plugins::build(&self.plugins, &home, &mut screen)?;
        screen.head("2. Starting a hub and its subscribers")?;
        let mut stage = Stage::start(folder.path(), &mut screen).await?;
        let recorded = events::recorded()?;
        screen.head(&format!(
            "3. Publishing {} recorded events (Marathon, Docker Cloud, Pulp, MSE)",
            recorded.len()
        ))?;
        self.replay(&stage, &recorded, &mut screen).await?;
        screen.head(&format!(
            "4. {} events of load; a filter is swapped, a sink is killed",
            self.load
        ))?;
        let load = events::load(&recorded, self.load as usize);
        let swapped = load::run(&mut stage, &load, &mut screen).await?;
        screen.head("5. Waiting for what is still on its way")?;
        let published: Vec<Value> = recorded.into_iter().chain(load).collect();
        let ledger = ledger::settle(&stage, &published, SETTLE).await?;
        screen.say("every subscriber has what it asked for, or the time is up")?;
        screen.head("6. The ledger, from what the subscribers counted")?;
        ledger.show(&mut screen, swapped)?;
        stage.stop().await;
        ledger.close()
    }

    /// The recorded events one by one, and who got each.
    async fn replay(&self, stage: &Stage, recorded: &[Value], screen: &mut Screen) -> Result<(), Failure> {
        let head: Vec<String> = Who::ALL.iter().map(|who| format!("{:<9}", who.name())).collect();
        screen.say(&format!("{:<26}{:<22}{}", "type", "subject", head.join(" ")))?;
        for event in recorded {
            stage.publish(std::slice::from_ref(event)).await?;
            let id = text(event, "id");
            let expected: Vec<Who> = Who::ALL.into_iter().filter(|who| ledger::wants(*who, event)).collect();
            let all_here = || expected.iter().all(|who| stage.board.who_saw(id).contains(who));
            stage.wait(GLANCE, all_here).await;
            let saw = stage.board.who_saw(id);
            let marks = Who::ALL.map(|who| format!("{:<9}", if saw.contains(&who) { "●" } else { "·" }));
            let cut = |name: &str, width: usize| text(event, name).chars().take(width).collect::<String>();
            screen.say(&format!(
                "{:<26}{:<22}{}",
                cut("type", 25),
                cut("subject", 20),
                marks.join(" ")
            ))?;
        }
        Ok(())
    }
}
