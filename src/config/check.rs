//! What is refused although every value is well formed; what is no key; and what a restart is needed for.
//!
//! What is allowed but risky stands in [`super::risks`] and [`super::machine`].
//! Pure: looks at settings only, so that `busway config check` on another machine says the same.

use super::{Config, Refused, Settings, keys};
use crate::nearest::nearest;
use crate::units::show_size;

/// Settings that contradict each other or the rules for strangers.
///
/// # Errors
/// Says which, and what to do instead.
pub fn refuse(settings: &Settings) -> Result<(), Refused> {
    let mut faults = Vec::new();
    let tls = settings.listen.addresses.iter().find(|address| address.is_tls());
    let unset = [
        ("listen.tls_certificate", &settings.listen.tls_certificate),
        ("listen.tls_key", &settings.listen.tls_key),
    ];
    for (key, _) in unset.iter().filter(|(_, path)| tls.is_some() && path.is_none()) {
        let address = tls.map(ToString::to_string).unwrap_or_default();
        faults.push(format!(
            "`listen.addresses` holds {address}, and `{key}` is not set: name the PEM file, or listen without `tls:`"
        ));
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
    if settings.limits.body_bytes < settings.limits.batch_bytes {
        faults.push(format!(
            "`limits.body_memory` ({}) is smaller than `limits.batch_size` ({}): one batch must fit into it",
            show_size(settings.limits.body_bytes as u64),
            show_size(settings.limits.batch_bytes as u64)
        ));
    }
    if faults.is_empty() {
        Ok(())
    } else {
        Err(Refused(faults))
    }
}

/// Addresses that other machines can reach, where nobody is asked for credentials. Apart from [`refuse`], for the store
/// may have tokens: `asked` says whether it has.
///
/// # Errors
/// Says which, and what to do instead.
pub fn refuse_strangers(settings: &Settings, asked: Asked) -> Result<(), Refused> {
    if settings.listen.insecure || !settings.accounts.is_empty() || asked == Asked::Everybody {
        return Ok(());
    }
    let open = settings.listen.addresses.iter().filter(|address| !address.is_local());
    let faults: Vec<String> = open
        .map(|address| {
            let dir = settings.data.dir.display();
            format!(
                "`listen.addresses` holds {address}, which other machines can reach, and nobody would be asked for \
                 credentials: listen on 127.0.0.1 or a unix socket, make a token \
                 (`busway token create NAME --scope admin --data {dir}`) or name who may do what in `[auth.NAME]`, or \
                 say `--insecure` if the network itself is trusted"
            )
        })
        .collect();
    match faults.is_empty() {
        true => Ok(()),
        false => Err(Refused(faults)),
    }
}

/// Whom the tokens of the store have the hub ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// There is no token.
    Nobody,
    /// There is one.
    Everybody,
}

impl Asked {
    /// By whether there is a token.
    pub fn by_tokens(there: bool) -> Self {
        if there { Self::Everybody } else { Self::Nobody }
    }
}

/// `BUSWAY_…` variables that are no key's; one of them may be a slip of the pen.
pub fn strange_variables(env: &[(String, String)]) -> Vec<String> {
    const OTHERS: &[&str] = &[
        "BUSWAY_CONFIG",
        "BUSWAY_URL",
        "BUSWAY_CA",
        "BUSWAY_OUTPUT",
        "BUSWAY_TOKEN",
    ];
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
