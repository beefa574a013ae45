//! What is allowed and may be regretted: each risk one sentence with the key, what follows, and what to do.
//!
//! Why so: a setting is chosen on a good day and felt on a bad one. A rule stands here if somebody who did not mean it
//! would lose events, be read by strangers, or be kept from sleep.
//! Pure: looks at settings only, so that `busway config check` on another machine says the same; what depends on the
//! machine stands in [`super::machine`].
//! Invariant: the settings as they come carry no risk.

use std::time::Duration;

use super::check::Asked;
use super::value::Address;
use super::{Settings, keys};
use crate::log::Durability;
use crate::plugin::PluginSettings;
use crate::units::{parse_duration, show_duration, show_size};

/// Looks at the settings; a sentence if there is a risk.
type Rule = fn(&Settings) -> Option<String>;

const RULES: &[Rule] = &[
    insecure_for_nothing,
    certificate_for_nothing,
    short_drain,
    cut_deliveries,
    long_drain,
    slow_headers,
    large_headers,
    streams_take_all,
    relative_socket,
    not_on_disk,
    drops_unacknowledged,
    drops_before_the_last_attempt,
    never_trimmed,
    coarse_retention,
    no_dedup,
    long_dedup,
    large_queue,
    one_attempt,
    no_pause,
    long_tries,
    one_at_a_time,
    too_many_at_once,
    short_timeout,
    long_timeout,
    open_to_inside,
    names_behind_a_proxy,
    allows_everything,
    large_events,
    many_subscriptions,
    mail_in_clear,
];

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(86_400);

/// What the operator should know before it hurts, one sentence each.
pub fn risks(settings: &Settings, asked: Asked) -> Vec<String> {
    let addresses = settings
        .listen
        .addresses
        .iter()
        .filter_map(|address| address_risk(settings, address, asked));
    let rules = RULES.iter().filter_map(|rule| rule(settings));
    let plugins = settings
        .plugins
        .iter()
        .flat_map(|(name, plugin)| plugin_risks(name, plugin));
    addresses.chain(rules).chain(plugins).collect()
}

/// A sentence, if it applies.
fn when(applies: bool, sentence: impl FnOnce() -> String) -> Option<String> {
    applies.then(sentence)
}

fn is_open(settings: &Settings) -> bool {
    settings.listen.addresses.iter().any(|address| !address.is_local())
}

fn address_risk(settings: &Settings, address: &Address, asked: Asked) -> Option<String> {
    let nobody = settings.accounts.is_empty() && asked == Asked::Nobody;
    match (address.is_local(), nobody, address.is_tls()) {
        (true, ..) => None,
        (false, true, _) => Some(format!(
            "listens on {address} without credentials (`listen.insecure`): whoever reaches it may publish, read and \
             subscribe; make a token (`busway token create`), or name who may do what in `[auth.NAME]`"
        )),
        (false, false, false) => Some(format!(
            "listens on {address} without TLS (`listen.addresses`) and asks for credentials: tokens, passwords and \
             events travel in clear; write `tls:{address}` and set `listen.tls_certificate`, or have a proxy that \
             speaks TLS before it"
        )),
        (false, false, true) => None,
    }
}

fn insecure_for_nothing(s: &Settings) -> Option<String> {
    when(s.listen.insecure && (!is_open(s) || !s.accounts.is_empty()), || {
        "`listen.insecure` is set and nothing needs it: an address that is added later would be open to everybody \
         without a word; take it away"
            .to_owned()
    })
}

fn certificate_for_nothing(s: &Settings) -> Option<String> {
    let set = [&s.listen.tls_certificate, &s.listen.tls_key, &s.listen.tls_client_ca];
    let unused = !s.listen.addresses.iter().any(Address::is_tls);
    when(unused && set.iter().any(|path| path.is_some()), || {
        "`listen.tls_certificate`, `listen.tls_key` or `listen.tls_client_ca` is set, and no address speaks TLS: they \
         protect nothing; write `tls:` before an address of `listen.addresses`"
            .to_owned()
    })
}

fn short_drain(s: &Settings) -> Option<String> {
    when(s.listen.drain_timeout < Duration::from_secs(1), || {
        "a stop waits less than a second for deliveries in flight (`listen.drain_timeout`): what is cut off is \
         delivered again after the start; give it 10s"
            .to_owned()
    })
}

/// Not told of the settings as they come: most sinks answer at once.
fn cut_deliveries(s: &Settings) -> Option<String> {
    let (drain, attempt, usual) = (s.listen.drain_timeout, s.delivery.timeout, Settings::default());
    let chosen = drain < usual.listen.drain_timeout || attempt > usual.delivery.timeout;
    when(chosen && drain < attempt && drain >= Duration::from_secs(1), || {
        format!(
            "a stop waits {} (`listen.drain_timeout`) and an attempt may take {} (`delivery.timeout`): attempts that \
             are cut off are made again after the start, so their sinks may get events twice; let a stop wait longer",
            show_duration(drain),
            show_duration(attempt)
        )
    })
}

fn long_drain(s: &Settings) -> Option<String> {
    when(s.listen.drain_timeout > 5 * MINUTE, || {
        format!(
            "a stop may take {} (`listen.drain_timeout`): supervisors kill earlier than that (systemd after 90s, \
             Kubernetes after 30s), and then nothing ends in order; lengthen theirs or shorten this",
            show_duration(s.listen.drain_timeout)
        )
    })
}

fn slow_headers(s: &Settings) -> Option<String> {
    when(s.listen.header_timeout > MINUTE, || {
        format!(
            "a request's header may take {} (`listen.header_timeout`): whoever sends it slowly holds one of {} \
             connections for so long; 10s is enough for honest clients",
            show_duration(s.listen.header_timeout),
            s.listen.connections
        )
    })
}

fn large_headers(s: &Settings) -> Option<String> {
    let all = (s.listen.header_size as u64).saturating_mul(s.listen.connections as u64);
    when(all > 16 << 30, || {
        format!(
            "{} connections (`listen.connections`) with headers of {} (`listen.header_size`) may take {} of memory: \
             lower one of them",
            s.listen.connections,
            show_size(s.listen.header_size as u64),
            show_size(all)
        )
    })
}

fn streams_take_all(s: &Settings) -> Option<String> {
    when(s.limits.streams >= s.listen.connections, || {
        format!(
            "{} streams may be open (`limits.streams`), on {} connections (`listen.connections`): once they are, nobody \
             can publish or look: let there be more connections than streams",
            s.limits.streams, s.listen.connections
        )
    })
}

fn relative_socket(s: &Settings) -> Option<String> {
    let relative = |address: &Address| matches!(address, Address::Unix(path) if path.is_relative());
    when(s.listen.addresses.iter().any(relative), || {
        "a unix socket has a relative path (`listen.addresses`): it depends on the folder the hub is started in; write \
         the whole path"
            .to_owned()
    })
}

fn not_on_disk(s: &Settings) -> Option<String> {
    when(s.log.durability == Durability::Os, || {
        "events are acknowledged before they are on disk (`log.durability` is `os`): a kill loses nothing, a power cut \
         loses what was acknowledged in the last moments before it; `disk` keeps the promise"
            .to_owned()
    })
}

fn drops_unacknowledged(s: &Settings) -> Option<String> {
    when(s.log.retention.drop_unacknowledged, || {
        "retention may remove events that a subscription has not received (`log.drop_unacknowledged`): a sink that is \
         down longer than that loses them"
            .to_owned()
    })
}

fn drops_before_the_last_attempt(s: &Settings) -> Option<String> {
    let (age, tries) = (s.log.retention.age?, all_waits(s)?);
    when(s.log.retention.drop_unacknowledged && age < tries, || {
        format!(
            "retention removes events after {} (`log.retention_age`) while they are still tried for about {} \
             (`delivery.schedule`, `delivery.max_attempts`): they are lost before their last attempt; keep them longer",
            show_duration(age),
            show_duration(tries)
        )
    })
}

fn never_trimmed(s: &Settings) -> Option<String> {
    when(s.log.retention.age.is_none() && s.log.retention.size.is_none(), || {
        "the log is never trimmed (`log.retention_age` and `log.retention_size` are `none`): it grows until the disk \
         is full, then publishing stops; set one of them"
            .to_owned()
    })
}

fn coarse_retention(s: &Settings) -> Option<String> {
    let size = s.log.retention.size?;
    when(size < s.log.segment_size, || {
        format!(
            "a bus may take {} (`log.retention_size`), and its files go whole, at {} each (`log.segment_size`): it \
             takes more than it may; make the files smaller",
            show_size(size),
            show_size(s.log.segment_size)
        )
    })
}

fn no_dedup(s: &Settings) -> Option<String> {
    when(s.log.dedup_window.is_zero() || s.log.dedup_ids == 0, || {
        "duplicates are not recognised (`log.dedup_window` or `log.dedup_ids` is 0): a publisher that retries stores \
         its event twice"
            .to_owned()
    })
}

fn long_dedup(s: &Settings) -> Option<String> {
    when(s.log.dedup_ids > 20_000_000, || {
        format!(
            "{} ids a bus are remembered (`log.dedup_ids`): that is some gigabytes of memory a bus, and a slower start",
            s.log.dedup_ids
        )
    })
}

fn large_queue(s: &Settings) -> Option<String> {
    when(s.log.queue > 1_000_000, || {
        format!(
            "{} appends may wait for the disk (`log.queue`): when it is slow, publishers wait long and leave instead of \
             being told to come back (429); a few thousand are enough",
            s.log.queue
        )
    })
}

fn one_attempt(s: &Settings) -> Option<String> {
    when(s.delivery.max_attempts == 1, || {
        "a delivery that fails once goes to the dead letters (`delivery.max_attempts` is 1): a sink that restarts \
         misses events until somebody redelivers them"
            .to_owned()
    })
}

fn no_pause(s: &Settings) -> Option<String> {
    let longest = waits(s)?.into_iter().max()?;
    when(longest < Duration::from_secs(1), || {
        "all waits between attempts are shorter than a second (`delivery.schedule`): a sink that restarts gets all its \
         attempts before it is back, and its events go to the dead letters; let the last wait be minutes"
            .to_owned()
    })
}

fn long_tries(s: &Settings) -> Option<String> {
    let tries = all_waits(s)?;
    when(s.delivery.max_age.is_none() && tries > 30 * DAY, || {
        format!(
            "an event may be tried for {} (`delivery.schedule`, `delivery.max_attempts`): a sink that is gone keeps its \
             events in the log, past retention, for so long; lower `delivery.max_attempts`",
            show_duration(tries)
        )
    })
}

fn one_at_a_time(s: &Settings) -> Option<String> {
    when(s.delivery.concurrency == 1, || {
        format!(
            "a subscription delivers one event at a time (`delivery.concurrency` is 1): one that hangs holds up the \
             others for {} (`delivery.timeout`); for order within a key use `ordering: key` and leave this higher",
            show_duration(s.delivery.timeout)
        )
    })
}

fn too_many_at_once(s: &Settings) -> Option<String> {
    when(s.delivery.concurrency > 500, || {
        format!(
            "a subscription may have {} deliveries in flight (`delivery.concurrency`): a sink that comes back after an \
             outage is met by all of them at once; give such subscriptions a `rate`",
            s.delivery.concurrency
        )
    })
}

fn short_timeout(s: &Settings) -> Option<String> {
    when(s.delivery.timeout < Duration::from_secs(1), || {
        format!(
            "an attempt ends after {} (`delivery.timeout`): a sink that is only slow has done its work by then, and gets \
             the event again and again",
            show_duration(s.delivery.timeout)
        )
    })
}

fn long_timeout(s: &Settings) -> Option<String> {
    when(s.delivery.timeout > 2 * MINUTE, || {
        format!(
            "an attempt may take {} (`delivery.timeout`): {} of them that hang (`delivery.concurrency`) stop a \
             subscription for so long; a minute is much",
            show_duration(s.delivery.timeout),
            s.delivery.concurrency
        )
    })
}

fn names_behind_a_proxy(s: &Settings) -> Option<String> {
    let by_address = s.egress.deny_private || !s.egress.deny.is_empty();
    when(s.proxies.proxy.is_some() && by_address, || {
        "requests go by a proxy (`egress.proxy`) that looks names up itself: rules for addresses (`egress.deny`, \
         `egress.deny_private`) cannot judge where a name leads, so the proxy must"
            .to_owned()
    })
}

fn open_to_inside(s: &Settings) -> Option<String> {
    when(is_open(s) && !s.egress.deny_private, || {
        "other machines may subscribe, and callbacks may go to this machine and its private network \
         (`egress.deny_private` is `false`): who may subscribe can have the hub call what only it can reach; set \
         `egress.deny_private`, and `egress.allow` for the sinks that are meant"
            .to_owned()
    })
}

fn allows_everything(s: &Settings) -> Option<String> {
    let key = keys().find(|key| key.name == "egress.allow")?;
    let shown = (key.show)(s);
    let all = shown
        .split(", ")
        .find(|rule| matches!(*rule, "0.0.0.0/0" | "::/0" | "*"))?;
    Some(format!(
        "`egress.allow` holds {all}: every address may be dialled, those of the machine's own metadata service too; \
         name the ranges that are meant"
    ))
}

fn large_events(s: &Settings) -> Option<String> {
    when(
        s.limits.event_bytes > 64 << 20 || s.limits.batch_bytes > 256 << 20,
        || {
            format!(
                "a request may have {} (`limits.event_size`, `limits.batch_size`): each is held in memory whole, by many \
             connections at once; keep large things elsewhere and publish where they are",
                show_size(s.limits.event_bytes.max(s.limits.batch_bytes) as u64)
            )
        },
    )
}

fn many_subscriptions(s: &Settings) -> Option<String> {
    when(s.limits.subscriptions > 5_000_000, || {
        format!(
            "{} subscriptions are allowed (`limits.subscriptions`): a million take up to 4GiB of memory; who may \
             subscribe could use up the machine's",
            s.limits.subscriptions
        )
    })
}

fn mail_in_clear(s: &Settings) -> Option<String> {
    let email = &s.compat.pulp.email;
    let here = matches!(email.host.as_str(), "localhost" | "127.0.0.1" | "::1");
    when(email.enabled && !here && email.port == 25, || {
        format!(
            "mail goes to port 25 of {} (`email.host`, `email.port`), where a server may not offer TLS: events may \
             travel in clear; use its submission port (587 or 465)",
            email.host
        )
    })
}

fn plugin_risks(name: &str, plugin: &PluginSettings) -> Vec<String> {
    let grants = &plugin.grants;
    let every = |places: &[String]| places.iter().any(|place| place.contains('*'));
    let mut risks = Vec::new();
    for (kind, places) in [("http", &grants.http), ("tcp", &grants.tcp), ("tls", &grants.tls)] {
        risks.extend(when(every(places), || {
            format!(
                "plugin `{name}` may reach every host that matches a `*` (`plugins.{name}.grants.{kind}`): name those it \
                 needs"
            )
        }));
    }
    let clear = |origin: &&String| origin.starts_with("http://") && !is_here(origin);
    risks.extend(grants.http.iter().find(clear).map(|origin| {
        format!(
            "plugin `{name}` may call {origin} without TLS (`plugins.{name}.grants.http`): what it sends can be read on \
             the way; grant `https://`"
        )
    }));
    let slow = plugin.limits.timeout.filter(|timeout| *timeout > MINUTE);
    risks.extend(slow.map(|timeout| {
        format!(
            "a call of plugin `{name}` may take {} (`plugins.{name}.limits.timeout`): one that hangs holds its \
             deliveries for so long",
            show_duration(timeout)
        )
    }));
    risks
}

/// Whether an origin is on this machine, or its network's own.
fn is_here(origin: &str) -> bool {
    ["http://localhost", "http://127.", "http://[::1]"]
        .iter()
        .any(|here| origin.starts_with(here))
}

/// The waits of the default schedule, if it is a list.
fn waits(settings: &Settings) -> Option<Vec<Duration>> {
    let key = keys().find(|key| key.name == "delivery.schedule")?;
    (key.show)(settings).split(", ").map(parse_duration).collect()
}

/// How long an event is tried, all waits together.
fn all_waits(settings: &Settings) -> Option<Duration> {
    let (waits, last) = (waits(settings)?, settings.delivery.max_attempts.saturating_sub(1));
    let rest = last.saturating_sub(u32::try_from(waits.len()).unwrap_or(u32::MAX));
    let listed: Duration = waits.iter().take(usize::try_from(last).unwrap_or(usize::MAX)).sum();
    Some(listed.saturating_add(waits.last()?.saturating_mul(rest)))
}

#[cfg(test)]
mod tests;
