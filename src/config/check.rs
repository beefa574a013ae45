//! What is allowed but risky, and what is refused although every value is well formed.
//!
//! Pure: looks at settings only, so that `busway config check` on another machine says the same.

use std::time::Duration;

use super::value::Address;
use super::{Config, Refused, Settings, keys};
use crate::nearest::nearest;
use crate::units::show_size;

/// Settings that contradict each other or the rules for strangers.
///
/// # Errors
/// Says which, and what to do instead.
pub fn refuse(settings: &Settings) -> Result<(), Refused> {
    let mut faults = Vec::new();
    if !settings.listen.insecure && settings.accounts.is_empty() {
        let open = settings.listen.addresses.iter().filter(|address| !address.is_local());
        faults.extend(open.map(|address| {
            format!(
                "`listen.addresses` holds {address}, which other machines can reach, and nobody would be asked for \
                 credentials: listen on 127.0.0.1 or a unix socket and name who may do what in `[auth.NAME]`, or \
                 say `--insecure` if the network itself is trusted"
            )
        }));
    }
    if settings.limits.batch_bytes < settings.limits.event_bytes {
        faults.push(format!(
            "`limits.batch_size` ({}) is smaller than `limits.event_size` ({}): one event must fit into a batch",
            show_size(settings.limits.batch_bytes as u64),
            show_size(settings.limits.event_bytes as u64)
        ));
    }
    if settings.egress.allow_only && settings.egress.allow.is_empty() {
        faults.push(
            "`egress.allow_only` is set and `egress.allow` is empty: nothing could be delivered; name what may be dialled"
                .to_owned(),
        );
    }
    if faults.is_empty() {
        Ok(())
    } else {
        Err(Refused(faults))
    }
}

/// What the operator should know before it hurts, one sentence each.
pub fn risks(settings: &Settings) -> Vec<String> {
    let mut risks = Vec::new();
    let open = settings.listen.addresses.iter().filter(|address| !address.is_local());
    for address in open.filter(|_| settings.accounts.is_empty()) {
        risks.push(format!("listens on {address} without credentials (`listen.insecure`): whoever reaches it may publish, read and subscribe"));
    }
    if settings.log.retention.drop_unacknowledged {
        risks.push("retention may remove events that a subscription has not received (`log.drop_unacknowledged`): a sink that is down longer than that loses them".to_owned());
    }
    if settings.log.retention.age.is_none() && settings.log.retention.size.is_none() {
        risks.push("the log is never trimmed (`log.retention_age` and `log.retention_size` are `none`): it grows until the disk is full, then publishing stops".to_owned());
    }
    if settings.log.dedup_window.is_zero() || settings.log.dedup_ids == 0 {
        risks.push("duplicates are not recognised (`log.dedup_window` or `log.dedup_ids` is 0): a publisher that retries stores its event twice".to_owned());
    }
    if settings.delivery.max_attempts == 1 {
        risks.push("a delivery that fails once goes to the dead letters (`delivery.max_attempts` is 1)".to_owned());
    }
    if settings.proxies.proxy.is_some() && (settings.egress.deny_private || !settings.egress.deny.is_empty()) {
        risks.push("requests go by a proxy (`egress.proxy`) that looks names up itself: rules for addresses (`egress.deny`, `egress.deny_private`) cannot judge where a name leads, so the proxy must".to_owned());
    }
    if settings.listen.drain_timeout < Duration::from_secs(1) {
        risks.push("a stop waits less than a second for deliveries in flight (`listen.drain_timeout`): what is cut off is delivered again after the start".to_owned());
    }
    if settings
        .listen
        .addresses
        .iter()
        .any(|a| matches!(a, Address::Unix(path) if path.is_relative()))
    {
        risks.push(
            "a unix socket has a relative path (`listen.addresses`): it depends on the folder the hub is started in"
                .to_owned(),
        );
    }
    risks.extend(
        settings
            .plugins
            .iter()
            .filter(|(_, plugin)| plugin.grants.http.iter().any(|origin| origin.contains('*')))
            .map(|(name, _)| {
                format!("plugin `{name}` may call every host that matches a `*` (`plugins.{name}.grants.http`)")
            }),
    );
    risks
}

/// `BUSWAY_…` variables that are no key's; one of them may be a slip of the pen.
pub fn strange_variables(env: &[(String, String)]) -> Vec<String> {
    const OTHERS: &[&str] = &["BUSWAY_CONFIG", "BUSWAY_URL", "BUSWAY_OUTPUT", "BUSWAY_TOKEN"];
    let known: Vec<String> = keys().map(super::Key::variable).collect();
    let strange = env
        .iter()
        .map(|(name, _)| name)
        .filter(|name| name.starts_with("BUSWAY_"));
    strange
        .filter(|name| !known.contains(name) && !OTHERS.contains(&name.as_str()))
        .filter_map(|name| {
            let meant = nearest(name, known.iter().map(String::as_str))?;
            Some(format!(
                "environment variable {name} is no key's and was ignored; did you mean {meant}?"
            ))
        })
        .collect()
}

/// Keys whose values differ and need a restart to take effect.
pub fn needs_restart(old: &Config, new: &Config) -> Vec<&'static str> {
    let differs = |key: &&super::Key| (key.show)(&old.settings) != (key.show)(&new.settings);
    keys()
        .filter(|key| !key.live)
        .filter(differs)
        .map(|key| key.name)
        .chain((old.settings.accounts != new.settings.accounts).then_some("auth"))
        .collect()
}
