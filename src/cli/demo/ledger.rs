//! The accounts: what was published, against what each subscriber itself counted and what the hub says of it.
//!
//! Invariant: an account closes only if every published event is accounted for, one by one, by its id.

use std::time::Duration;

use serde_json::Value;

use super::board::{Seen, Who};
use super::load::Swapped;
use super::stage::Stage;
use super::{Screen, events, judge};
use crate::cli::exit::{Code, Failure};
use crate::time::Clock;
use events::text;

/// How often the hub is asked for its figures while it settles.
const LOOK: Duration = Duration::from_millis(50);

/// One subscriber's account.
#[derive(Debug, PartialEq, Eq)]
struct Account {
    who: Who,
    /// Different events that arrived.
    delivered: usize,
    /// Events that its filters held back, by our own reckoning.
    filtered: usize,
    /// What its plugin held back, as the hub counts; none where no plugin filters.
    hub_filtered: Option<u64>,
    /// Attempts that failed, as the hub counts them.
    retried: u64,
    /// Arrivals after the first, which at-least-once allows.
    repeats: usize,
    /// Events that should have arrived and did not.
    lost: usize,
    /// Events that arrived and should not have.
    stray: usize,
}

/// All accounts.
pub(super) struct Ledger {
    published: usize,
    accounts: Vec<Account>,
    judged: [usize; 3],
    dead: u64,
}

/// Whether a subscriber asked for this event, leaving the judge aside.
pub(super) fn wants(who: Who, event: &Value) -> bool {
    match who {
        Who::Callback | Who::Stream | Who::Judged => true,
        Who::Chat => events::for_chat(event),
        Who::Threshold => events::above_threshold(event),
    }
}

/// Waits until all accounts close or the time is up, then draws them up.
pub(super) async fn settle(stage: &Stage, published: &[Value], most: Duration) -> Result<Ledger, Failure> {
    let clock = Clock::system();
    let began = clock.instant();
    loop {
        let ledger = Ledger::draw_up(stage, published).await?;
        if ledger.faults().is_empty() || began.elapsed() > most {
            return Ok(ledger);
        }
        clock.sleep(LOOK).await;
    }
}

impl Ledger {
    async fn draw_up(stage: &Stage, published: &[Value]) -> Result<Self, Failure> {
        let mut accounts = Vec::new();
        let mut dead = 0;
        for who in Who::ALL {
            let mut account = Account::draw_up(who, published, &stage.board.seen(who));
            if who != Who::Stream {
                let by_plugin = matches!(who, Who::Threshold | Who::Judged);
                account.hub_filtered = if by_plugin {
                    Some(stage.figure(who, "filtered").await?)
                } else {
                    None
                };
                account.retried = stage.figure(who, "failed").await?;
                dead += stage.figure(who, "dead").await?;
            }
            accounts.push(account);
        }
        let seen = stage.board.seen(Who::Judged);
        Ok(Self {
            published: published.len(),
            accounts,
            judged: [1, 2, 3].map(|set| seen.stamped(set)),
            dead,
        })
    }

    /// Shows the accounts.
    pub(super) fn show(&self, screen: &mut Screen, swapped: Swapped) -> Result<(), Failure> {
        let head = ["", "published", "delivered", "filtered", "retried", "repeats", "lost"];
        let rows: Vec<Vec<String>> = self
            .accounts
            .iter()
            .map(|one| {
                let counts = [self.published, one.delivered, one.filtered];
                let mut row = vec![format!("   {}", one.who.name())];
                row.extend(counts.map(|count| count.to_string()));
                row.extend([one.retried.to_string(), one.repeats.to_string(), one.lost.to_string()]);
                row
            })
            .collect();
        screen.0.table(&head, &rows)?;
        let [first, second, both] = self.judged;
        let judged = self
            .accounts
            .iter()
            .find(|one| one.who == Who::Judged)
            .map_or(0, |one| one.filtered);
        screen.say("")?;
        screen.say(&format!(
            "judged by version 1: {first}; by version 2: {second} passed, {judged} dropped; by both: {both}"
        ))?;
        let (ms, meanwhile) = (swapped.took.as_millis(), swapped.meanwhile);
        screen.say(&format!(
            "swap time: {ms} ms, with {meanwhile} events published meanwhile; dead letters: {}",
            self.dead
        ))?;
        let lost: usize = self.accounts.iter().map(|one| one.lost).sum();
        Ok(screen.say(&format!("published {}, lost {lost}", self.published))?)
    }

    /// Whether everything is accounted for.
    pub(super) fn close(&self) -> Result<(), Failure> {
        let faults = self.faults();
        if faults.is_empty() {
            return Ok(());
        }
        Err(Failure::new(
            Code::Software,
            format!("the ledger does not close: {}", faults.join("; ")),
        ))
    }

    fn faults(&self) -> Vec<String> {
        let mut faults: Vec<String> = self.accounts.iter().flat_map(Account::faults).collect();
        let [first, second, both] = self.judged;
        if both > 0 || first == 0 || second == 0 {
            faults.push(format!(
                "judged by version 1: {first}, by version 2: {second}, by both: {both}"
            ));
        }
        if self.dead > 0 {
            faults.push(format!("{} dead letters", self.dead));
        }
        faults
    }
}

impl Account {
    /// Compares what was published with what arrived.
    fn draw_up(who: Who, published: &[Value], seen: &Seen) -> Self {
        let mut account = Self {
            who,
            delivered: seen.arrivals.len(),
            filtered: 0,
            hub_filtered: None,
            retried: 0,
            repeats: seen.repeats(),
            lost: 0,
            stray: 0,
        };
        for event in published {
            let (id, ty) = (text(event, "id"), text(event, "type"));
            let arrived = seen.arrivals.contains_key(id);
            let by_second = seen.stamps.get(id).is_some_and(|stamps| stamps & 2 != 0);
            match (arrived, wants(who, event), who) {
                (true, false, _) => account.stray += 1,
                (true, true, Who::Judged) if by_second && judge::second_drops(ty) => account.stray += 1,
                (true, true, _) => {}
                (false, false, _) => account.filtered += 1,
                (false, true, Who::Judged) if judge::second_drops(ty) => account.filtered += 1,
                (false, true, _) => account.lost += 1,
            }
        }
        account
    }

    fn faults(&self) -> Vec<String> {
        let name = self.who.name();
        let mut faults = Vec::new();
        if self.lost > 0 {
            faults.push(format!("{name} lost {}", self.lost));
        }
        if self.stray > 0 {
            faults.push(format!("{name} got {} it should not have", self.stray));
        }
        if let Some(hub) = self.hub_filtered.filter(|hub| *hub != self.filtered as u64) {
            faults.push(format!(
                "{name}: the hub counts {hub} filtered, we count {}",
                self.filtered
            ));
        }
        if self.who == Who::Callback && self.retried == 0 {
            faults.push(format!("{name}: its sink was killed and nothing was retried"));
        }
        faults
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn event(id: &str, ty: &str) -> Value {
        json!({ "id": id, "type": ty, "data": {} })
    }

    fn check(who: Who, arrivals: &[(&str, Option<u8>)], expected: (usize, usize, usize, usize)) {
        let published = [
            event("1", "deployment_info"),
            event("2", "status_update_event"),
            event("3", "x"),
        ];
        let board = super::super::board::Board::new();
        arrivals.iter().for_each(|(id, stamp)| board.arrived(who, id, *stamp));
        let account = Account::draw_up(who, &published, &board.seen(who));
        assert_eq!(
            (account.delivered, account.filtered, account.lost, account.stray),
            expected,
            "{arrivals:?}"
        );
    }

    #[test]
    fn every_event_is_accounted_for_by_its_id() {
        check(Who::Callback, &[("1", None), ("2", None), ("3", None)], (3, 0, 0, 0));
        check(Who::Callback, &[("1", None), ("1", None), ("3", None)], (2, 0, 1, 0));
        check(Who::Chat, &[("1", None)], (1, 2, 0, 0));
        check(Who::Chat, &[("1", None), ("3", None)], (2, 1, 0, 1));
        check(Who::Judged, &[("1", Some(1)), ("3", Some(2))], (2, 1, 0, 0));
        check(Who::Judged, &[("1", Some(1))], (1, 1, 1, 0));
        check(
            Who::Judged,
            &[("1", Some(1)), ("2", Some(2)), ("3", Some(2))],
            (3, 0, 0, 1),
        );
    }
}
