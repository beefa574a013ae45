//! Trials: a candidate runs in the shadow of a live plugin before it takes its place.
//!
//! Every live call of the plugin is made again on the candidate, with the same config, after the answer was given; its
//! effects are suppressed, and what the two say is compared (`compare`). `run` is the task of one trial, `report` what
//! is known of it. Promoting writes the candidate's bytes into the plugin directory, and the swap goes its ordinary
//! way. (Rejected: a second directory whose files are candidates. It could not say for how long, nor what came of it.)
//!
//! Invariant: a trial never makes a live delivery wait: calls come over a bounded queue, what does not fit is counted
//! and left out, and the task rests as long as it works, so it takes half of one core at most.
//! Invariant: trials live in memory: a restart ends them, and nothing of them is left.

mod books;
mod compare;
mod report;
mod run;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use serde_json::json;

use crate::error::{Error, Kind};
use crate::hub::{Hub, life};
use crate::plugin::{Costs, Observed, Specimen};
use crate::tasks::Tasks;
use crate::time::Timestamp;

use compare::Tally;
pub use report::{Outlook, TrialReport};

/// Trials that are kept, running or over: each holds its candidate's bytes.
const MOST: usize = 8;
/// Calls that a trial may be behind.
const DEPTH: usize = 1_024;
/// The longest trial.
const LONGEST: Duration = Duration::from_secs(24 * 3_600);
/// How long promoting waits for the swap to be told.
const SWAP: Duration = Duration::from_secs(30);

/// The trials of a hub, by plugin name.
#[derive(Default)]
pub(super) struct Trials(Mutex<BTreeMap<String, Arc<Trial>>>);

/// One trial.
struct Trial {
    name: String,
    bytes: Bytes,
    specimen: Specimen,
    /// What was live when it began.
    against: Observed,
    began: Timestamp,
    until: Timestamp,
    /// What live calls had cost when it began.
    costs_before: Costs,
    /// Ends its task.
    stop: Tasks,
    state: Mutex<Progress>,
}

/// How far a trial is.
#[derive(Default)]
struct Progress {
    tally: Tally,
    /// When and why it ended, if it has.
    over: Option<Over>,
}

/// The end of a trial.
#[derive(Clone)]
struct Over {
    at: Timestamp,
    why: &'static str,
    live_costs: Costs,
}

impl Trial {
    fn lock(&self) -> MutexGuard<'_, Progress> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Trials {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Trial>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn of(&self, name: &str) -> Result<Arc<Trial>, Error> {
        self.lock().get(name).cloned().ok_or_else(|| {
            let text = format!(
                "there is no trial of `{name}`: none was begun, it was dropped, or the hub was restarted since"
            );
            Error::not_found("trial_not_found", text)
        })
    }

    /// Keeps a trial, in the place of one that is over.
    fn keep(&self, trial: Arc<Trial>) -> Result<(), Error> {
        let mut trials = self.lock();
        refuse_second(trials.get(&trial.name))?;
        if trials.len() >= MOST && !trials.contains_key(&trial.name) {
            let over = |trial: &Arc<Trial>| trial.lock().over.as_ref().map(|over| over.at);
            let oldest = trials
                .iter()
                .filter_map(|(name, trial)| Some((over(trial)?, name.clone())))
                .min();
            let Some((_, oldest)) = oldest else {
                let text = format!("{MOST} trials are running; end one of them first");
                return Err(Error::new(Kind::Conflict, "too_many_trials", text));
            };
            trials.remove(&oldest);
        }
        trials.insert(trial.name.clone(), trial);
        Ok(())
    }
}

fn refuse_second(trial: Option<&Arc<Trial>>) -> Result<(), Error> {
    match trial.filter(|trial| trial.lock().over.is_none()) {
        None => Ok(()),
        Some(trial) => Err(running(&trial.name)),
    }
}

fn running(name: &str) -> Error {
    let text = format!("a trial of `{name}` is running; wait for its end, or end it");
    Error::new(Kind::Conflict, "trial_running", text)
}

impl Hub {
    /// Begins a trial of a component in the shadow of the plugin `name`.
    ///
    /// # Errors
    /// `plugin_not_found`, `plugin_invalid` (what is wrong with the component), `trial_pointless` (its bytes are live
    /// already, or it is of another kind), `trial_running`, `too_many_trials`, `trial_length`, `stopping`.
    pub async fn start_trial(&self, name: &str, bytes: Bytes, length: Duration) -> Result<TrialReport, Error> {
        self.refuse_when_stopping()?;
        if length.is_zero() || length > LONGEST {
            return Err(Error::invalid("trial_length", "a trial may last from a moment to 24h"));
        }
        let live = self.live(name)?;
        refuse_second(self.0.trials.lock().get(name))?;
        let specimen = self.0.plugins.specimen(name, bytes.clone()).await?;
        check_candidate(&live, &specimen.observed())?;
        let calls = self.0.plugins.shadow(name, DEPTH).ok_or_else(|| running(name))?;
        let (began, tasks) = (self.0.clock.now(), &self.0.owners.plugins);
        let trial = Arc::new(Trial {
            name: name.to_owned(),
            bytes,
            specimen,
            against: live,
            began,
            until: began.plus(length),
            costs_before: self.0.plugins.costs(name),
            stop: tasks.child(),
            state: Mutex::default(),
        });
        self.0.trials.keep(trial.clone())?;
        let facts = json!({
            "name": name, "digest": trial.specimen.observed().digest, "live": trial.against.digest,
            "ends": trial.until.to_string(),
        });
        self.0.life.tell(life::trial("plugin.trial_started", name, facts));
        let report = self.report(&trial);
        tasks.spawn(run::run(self.clone(), trial, calls));
        Ok(report)
    }

    /// How the trial of this plugin goes, or went.
    ///
    /// # Errors
    /// `trial_not_found`.
    pub fn trial(&self, name: &str) -> Result<TrialReport, Error> {
        let trial = self.0.trials.of(name)?;
        Ok(self.report(&trial))
    }

    /// Ends the trial of this plugin, and forgets its candidate; its last report.
    ///
    /// # Errors
    /// `trial_not_found`.
    pub fn end_trial(&self, name: &str) -> Result<TrialReport, Error> {
        let trial = self.0.trials.of(name)?;
        self.end(&trial, "it was ended by a caller");
        self.0.trials.lock().remove(name);
        Ok(self.report(&trial))
    }

    /// Makes the candidate of this plugin's trial live. Resolves once it is, or was refused, or after half a minute.
    ///
    /// # Errors
    /// `trial_not_found`; `candidate_failed` (its calls failed where the live ones did not; `force` does it all the
    /// same); what [`Plugins::install`](crate::plugin::Plugins::install) says.
    pub async fn promote(&self, name: &str, force: bool) -> Result<TrialReport, Error> {
        self.refuse_when_stopping()?;
        let trial = self.0.trials.of(name)?;
        let (failed, compared) = {
            let progress = trial.lock();
            (progress.tally.failed_alone, progress.tally.compared)
        };
        if failed > 0 && !force {
            let text = format!(
                "{failed} of {compared} calls of the candidate failed where the live plugin's did not; look at the \
                 trial's report, or force it"
            );
            return Err(Error::new(Kind::Conflict, "candidate_failed", text));
        }
        let digest = trial.specimen.observed().digest;
        let mut changes = self.0.plugins.changes();
        self.0.plugins.install(name, trial.bytes.clone()).await?;
        let facts = json!({"name": name, "digest": digest, "compared": compared, "forced": failed > 0});
        self.0.life.tell(life::trial("plugin.promoted", name, facts));
        let swapped = async {
            while !self
                .plugin(name)
                .is_ok_and(|now| now.digest.as_deref() == Some(&digest) || now.reason.is_some())
            {
                if changes.changed().await.is_err() {
                    return;
                }
            }
        };
        // A swap that is late is told by its own event; the report says what is live now.
        let _ = tokio::time::timeout(SWAP, swapped).await;
        self.end(&trial, "its candidate was promoted");
        Ok(self.report(&trial))
    }

    /// What is live under this name.
    fn live(&self, name: &str) -> Result<Observed, Error> {
        match self.0.plugins.live(name) {
            Some(live) => Ok(live),
            None => Err(self.plugin(name).err().unwrap_or_else(|| {
                let text = format!("the plugin `{name}` is not live, so there is nothing to compare with; put the file into the plugin directory");
                Error::new(Kind::Conflict, "plugin_not_live", text)
            })),
        }
    }

    /// Ends a trial, if it has not ended.
    fn end(&self, trial: &Trial, why: &'static str) {
        let live_costs = self.live_costs(trial);
        {
            let mut progress = trial.lock();
            if progress.over.is_some() {
                return;
            }
            progress.over = Some(Over {
                at: self.0.clock.now(),
                why,
                live_costs,
            });
        }
        trial.stop.stop();
        let report = self.report(trial);
        let facts = json!({
            "name": trial.name, "digest": report.candidate.digest, "why": why, "compared": report.compared,
            "different": report.different, "candidate_errors": report.candidate.errors, "outlook": report.outlook,
        });
        self.0.life.tell(life::trial("plugin.trial_ended", &trial.name, facts));
    }

    /// What live calls have cost since the trial began.
    fn live_costs(&self, trial: &Trial) -> Costs {
        self.0.plugins.costs(&trial.name).since(&trial.costs_before)
    }
}

/// Refuses what cannot be compared.
fn check_candidate(live: &Observed, candidate: &Observed) -> Result<(), Error> {
    let refused = if live.digest == candidate.digest {
        "these bytes are live already".to_owned()
    } else if live.world != candidate.world {
        let (live, candidate) = (live.world.as_str(), candidate.world.as_str());
        format!("the live plugin is a {live}, and this is a {candidate}")
    } else {
        return Ok(());
    };
    Err(Error::new(Kind::Conflict, "trial_pointless", refused))
}
