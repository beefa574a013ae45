//! What is told of a trial: figures, differences, and one sentence for whoever must decide.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::compare::{Difference, Tally};
use super::{Over, Trial};
use crate::hub::Hub;
use crate::plugin::{Costs, Line};

/// How a trial goes, or went.
#[derive(Debug, Clone, Serialize)]
pub struct TrialReport {
    /// The plugin's name.
    pub plugin: String,
    /// `filter` or `notifier`.
    pub kind: &'static str,
    /// `running` or `over`.
    pub state: &'static str,
    /// Why it is over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<&'static str>,
    /// When it began.
    pub began: String,
    /// When it ends, or ended.
    pub ends: String,
    /// What it says of the candidate.
    pub outlook: Outlook,
    /// The same in a sentence.
    pub summary: String,
    /// Live calls that were made again on the candidate.
    pub compared: u64,
    /// Those on which the two agree.
    pub same: u64,
    /// Those of them that were dropped, or failed, in other words.
    pub reworded: u64,
    /// Those on which the two differ.
    pub different: u64,
    /// Live calls that were left out, since the candidate could not keep up.
    pub left_out: u64,
    /// What is live.
    pub live: Side,
    /// What is tried.
    pub candidate: Side,
    /// The generations that answered live, and how often.
    pub generations: BTreeMap<u64, u64>,
    /// The first differences.
    pub differences: Vec<Difference>,
    /// How often the candidate called the host, by function.
    pub host_calls: BTreeMap<&'static str, u64>,
    /// What the candidate would have done to the world, and did not.
    pub suppressed_effects: u64,
    /// The config lines that would allow what it wanted and was not granted.
    pub not_granted: BTreeSet<String>,
    /// The first lines that it logged.
    pub logs: Vec<Line>,
}

/// One of the two.
#[derive(Debug, Clone, Serialize)]
pub struct Side {
    /// Hex SHA-256 of its component; none if nothing is live.
    pub digest: Option<String>,
    /// Its generation, if it is live.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generation: Option<u64>,
    /// Calls that failed.
    pub errors: u64,
    /// The median call, in microseconds.
    pub p50_us: u64,
    /// The 99th percentile, in microseconds.
    pub p99_us: u64,
    /// The most that an instance held, in bytes, if it was looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<usize>,
}

/// What a trial says of its candidate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outlook {
    /// It is live.
    Live,
    /// Nothing was compared.
    Unknown,
    /// It fails where the live one does not.
    Fails,
    /// It answers otherwise: somebody should look whether that is meant.
    Differs,
    /// It answers as the live one does.
    Agrees,
}

impl Hub {
    /// What is known of a trial now.
    pub(super) fn report(&self, trial: &Trial) -> TrialReport {
        let (live, live_costs) = (self.0.plugins.live(&trial.name), self.live_costs(trial));
        let candidate = trial.specimen.observed();
        let progress = trial.lock();
        let (tally, over) = (&progress.tally, &progress.over);
        let is_live = live.as_ref().is_some_and(|live| live.digest == candidate.digest);
        let outlook = outlook(tally, is_live);
        // A notifier's live calls wait for the world: like is compared with like, calls whose effects are suppressed.
        let live_costs = match (tally.live_costs.calls(), over) {
            (0, Some(over)) => over.live_costs.clone(),
            (0, None) => live_costs,
            _ => tally.live_costs.clone(),
        };
        TrialReport {
            plugin: trial.name.clone(),
            kind: candidate.world.as_str(),
            state: if over.is_some() { "over" } else { "running" },
            why: over.as_ref().map(|over| over.why),
            began: trial.began.to_string(),
            ends: over.as_ref().map_or(trial.until, |over: &Over| over.at).to_string(),
            outlook,
            summary: summary(trial, tally, outlook),
            compared: tally.compared,
            same: tally.same,
            reworded: tally.reworded,
            different: tally.different,
            left_out: tally.left_out,
            live: Side {
                generation: live.as_ref().map(|live| live.generation),
                digest: live.map(|live| live.digest),
                ..side(&live_costs, tally.live_errors)
            },
            candidate: Side {
                digest: Some(candidate.digest),
                memory: Some(tally.memory),
                ..side(&tally.candidate_costs, tally.candidate_errors)
            },
            generations: tally.by_generation.clone(),
            differences: tally.differences.clone(),
            host_calls: tally.host_calls.clone(),
            suppressed_effects: tally.effects,
            not_granted: tally.not_granted.clone(),
            logs: tally.logs.clone(),
        }
    }
}

fn side(costs: &Costs, errors: u64) -> Side {
    Side {
        digest: None,
        generation: None,
        errors,
        p50_us: costs.quantile_us(50),
        p99_us: costs.quantile_us(99),
        memory: None,
    }
}

fn outlook(tally: &Tally, is_live: bool) -> Outlook {
    match tally {
        _ if is_live => Outlook::Live,
        Tally { compared: 0, .. } => Outlook::Unknown,
        Tally { failed_alone: 1.., .. } => Outlook::Fails,
        Tally { different: 1.., .. } => Outlook::Differs,
        _ => Outlook::Agrees,
    }
}

fn summary(trial: &Trial, tally: &Tally, outlook: Outlook) -> String {
    let Tally {
        compared,
        different,
        failed_alone,
        ..
    } = tally;
    let name = &trial.name;
    match outlook {
        Outlook::Live => {
            format!("the candidate is live; it was compared on {compared} calls, {different} of them differed")
        }
        Outlook::Unknown => format!("nothing was compared yet: no event has asked for the plugin `{name}`"),
        Outlook::Fails => {
            format!("the candidate failed on {failed_alone} of {compared} calls where the live plugin did not")
        }
        Outlook::Differs => {
            format!("the candidate answered {different} of {compared} calls otherwise; is that what was meant?")
        }
        Outlook::Agrees => format!("the candidate answered all of {compared} calls as the live plugin did"),
    }
}
