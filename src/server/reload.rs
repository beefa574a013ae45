//! Takes up a changed config while the hub runs: grants, limits and configs of plugins, and what is logged.
//!
//! Invariant: a config that is refused changes nothing, and says why; what needs a restart is named, never half applied.

use crate::config::{Config, Refused, Sources, check};
use crate::hub::Hub;

/// What a reload did.
#[derive(Debug, PartialEq, Eq)]
pub struct Reloaded {
    /// Plugins whose settings changed.
    pub plugins: Vec<String>,
    /// Keys that changed but take effect only after a restart.
    pub after_restart: Vec<&'static str>,
    /// Whether the hub's own log should change.
    pub filter: Option<String>,
}

/// The settings that run, and where to read them again.
pub struct Reload {
    sources: Sources,
    current: Config,
    /// The file's text when it was last read.
    seen: String,
}

impl Reload {
    /// Starts from the settings that the hub was started with.
    pub fn new(sources: Sources, current: Config) -> Self {
        // What was read, not what is there by now: a change while the hub was starting is a change.
        let seen = current.text.clone();
        Self { sources, current, seen }
    }

    /// Whether the file's text has changed since it was last read. An unreadable file has not: it may be half written.
    pub fn changed(&mut self) -> bool {
        let Some(text) = self
            .current
            .file
            .as_ref()
            .and_then(|file| std::fs::read_to_string(file).ok())
        else {
            return false;
        };
        let changed = self.seen != text;
        self.seen = text;
        changed
    }

    /// Reads all sources again and applies what can change while the hub runs.
    ///
    /// # Errors
    /// The new settings are refused; the old ones stay.
    pub async fn apply(&mut self, hub: &Hub) -> Result<Reloaded, Refused> {
        let next = Config::load(&self.sources)?;
        check::refuse(&next.settings)?;
        check::refuse_strangers(&next.settings, check::Asked::by_tokens(!hub.access().is_open()))?;
        let reloaded = compare(&self.current, &next);
        if !reloaded.plugins.is_empty() {
            hub.reconfigure(next.settings.plugins.clone()).await;
        }
        self.current = next;
        hub.tell_reloaded(&reloaded.plugins, &reloaded.after_restart);
        Ok(reloaded)
    }
}

/// What differs between two configs.
fn compare(old: &Config, new: &Config) -> Reloaded {
    let (before, after) = (&old.settings.plugins, &new.settings.plugins);
    let mut plugins: Vec<String> = before
        .keys()
        .chain(after.keys())
        .filter(|name| before.get(*name) != after.get(*name))
        .cloned()
        .collect();
    plugins.sort();
    plugins.dedup();
    let filter = &new.settings.log_output.filter;
    Reloaded {
        plugins,
        after_restart: check::needs_restart(old, new),
        filter: (*filter != old.settings.log_output.filter).then(|| filter.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str) -> Config {
        Config::from_text(text, None, &Sources::default()).unwrap()
    }

    #[test]
    fn only_what_changed_is_taken_up() {
        let old = load("[plugins.a.config]\nx = 1\n[plugins.b]\n[plugins.c]");
        let new = load(
            "[plugins.a.config]\nx = 2\n[plugins.b]\n[plugins.d]\n[data]\ndir = \"other\"\n[log_output]\nfilter = \"warn\"",
        );
        let expected = Reloaded {
            plugins: vec!["a".into(), "c".into(), "d".into()],
            after_restart: vec!["data.dir"],
            filter: Some("warn".into()),
        };
        assert_eq!(compare(&old, &new), expected);
        assert_eq!(
            compare(&new, &new),
            Reloaded {
                plugins: vec![],
                after_restart: vec![],
                filter: None
            }
        );
    }
}
