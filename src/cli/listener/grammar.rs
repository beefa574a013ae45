//! What can be said after `busway listener`: sections, commands and their options, as pulp-admin has them.
//!
//! Read as Python's optparse reads (`--name value`, `--name=value`, a name cut short where it stays clear), since that is
//! what scripts of pulp-admin's users were written for. Why not clap: it exits with other codes, prints other help, and
//! knows no `--url` that means the hub before the command and the listener's sink after it.
//! Invariant: what is asked for is known whole before anything is sent.

use std::collections::BTreeMap;

/// A division of commands.
#[derive(Debug)]
pub(super) struct Section {
    /// Its words after `listener`, none for that itself.
    pub(super) name: &'static str,
    /// What it is for.
    pub(super) about: &'static str,
    /// Its commands, by name.
    pub(super) commands: &'static [Command],
    /// What is below it, by name.
    pub(super) sections: &'static [Section],
}

/// Something to do.
#[derive(Debug)]
pub(super) struct Command {
    /// Its name.
    pub(super) name: &'static str,
    /// What it does.
    pub(super) about: &'static str,
    /// What it does, for the program.
    pub(super) deed: Deed,
    /// What it takes, in the order in which it is shown.
    pub(super) options: &'static [Opt],
}

/// What a command does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Deed {
    /// Shows all listeners.
    List,
    /// Removes one.
    Delete,
    /// Makes one, of this notifier type.
    Create(&'static str),
    /// Changes one.
    Update,
}

/// What a command takes.
#[derive(Debug)]
pub(super) struct Opt {
    /// With its dashes.
    pub(super) name: &'static str,
    /// What it is.
    pub(super) about: &'static str,
    /// Whether it must be there.
    pub(super) required: bool,
}

/// What was given, by the names of options; what was given several times stands in its order.
pub(super) type Values = BTreeMap<&'static str, Vec<String>>;

const fn required(option: (&'static str, &'static str)) -> Opt {
    Opt {
        name: option.0,
        about: option.1,
        required: true,
    }
}

const fn optional(option: (&'static str, &'static str)) -> Opt {
    Opt {
        name: option.0,
        about: option.1,
        required: false,
    }
}

const LISTENER_ID: (&str, &str) = ("--listener-id", "id of the event listener");
const EVENT_TYPE: (&str, &str) = (
    "--event-type",
    "one of \"repo.sync.start\", \"repo.sync.finish\", \"repo.publish.start\", \"repo.publish.finish\". May be specified \
     multiple times. To match all types, use value \"*\"",
);
const SUBJECT: (&str, &str) = ("--subject", "text of the email's subject");
const ADDRESSES: (&str, &str) = (
    "--addresses",
    "this is a comma separated list of email addresses that should receive these notifications. Do not include spaces.",
);
const URL: (&str, &str) = ("--url", "full URL to invoke to send the event info");
const USERNAME: (&str, &str) = (
    "--username",
    "optional username to be passed as basic auth credentials when the HTTP call is invoked.",
);
const PASSWORD: (&str, &str) = (
    "--password",
    "optional password to be passed as basic auth credentials when the HTTP call is invoked.",
);
const CA_PATH: (&str, &str) = (
    "--ca-path",
    "optional path to the certificate authority that the called server is verified with.",
);
const EXCHANGE: (&str, &str) = (
    "--exchange",
    "optional name of an exchange that overrides the setting from server.conf",
);

/// Everything.
pub(super) const LISTENER: Section = Section {
    name: "",
    about: "manage server-side event listeners",
    commands: &[
        Command {
            name: "delete",
            about: "delete an event listener",
            deed: Deed::Delete,
            options: &[required(LISTENER_ID)],
        },
        Command {
            name: "list",
            about: "list all of the event listeners in the system",
            deed: Deed::List,
            options: &[],
        },
    ],
    sections: &[AMQP, EMAIL, HTTP],
};

const AMQP: Section = Section {
    name: "amqp",
    about: "manage amqp listeners",
    commands: &[
        Command {
            name: "create",
            about: "create a listener",
            deed: Deed::Create("amqp"),
            options: &[required(EVENT_TYPE), optional(EXCHANGE)],
        },
        Command {
            name: "update",
            about: "update an event listener",
            deed: Deed::Update,
            options: &[required(LISTENER_ID), optional(EVENT_TYPE), optional(EXCHANGE)],
        },
    ],
    sections: &[],
};

const EMAIL: Section = Section {
    name: "email",
    about: "manage email listeners",
    commands: &[
        Command {
            name: "create",
            about: "create a listener",
            deed: Deed::Create("email"),
            options: &[required(EVENT_TYPE), required(SUBJECT), required(ADDRESSES)],
        },
        Command {
            name: "update",
            about: "update an event listener",
            deed: Deed::Update,
            options: &[
                required(LISTENER_ID),
                optional(SUBJECT),
                optional(ADDRESSES),
                optional(EVENT_TYPE),
            ],
        },
    ],
    sections: &[],
};

const HTTP: Section = Section {
    name: "http",
    about: "manage http listeners",
    commands: &[
        Command {
            name: "create",
            about: "create a listener",
            deed: Deed::Create("http"),
            options: &[
                required(EVENT_TYPE),
                required(URL),
                optional(USERNAME),
                optional(PASSWORD),
                optional(CA_PATH),
            ],
        },
        Command {
            name: "update",
            about: "update a listener",
            deed: Deed::Update,
            options: &[
                required(LISTENER_ID),
                optional(EVENT_TYPE),
                optional(URL),
                optional(USERNAME),
                optional(PASSWORD),
                optional(CA_PATH),
            ],
        },
    ],
    sections: &[],
};

/// Why a command is not carried out as it was said.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Misuse {
    /// Something that it does not take, or `--help`: what is wrong, if anything is.
    Unclear(Option<String>),
    /// Required options that are not there.
    Missing(Vec<&'static str>),
}

/// The nearest thing that these words name, and what follows it.
pub(super) fn find(words: &[String]) -> (Result<&'static Command, &'static Section>, &[String]) {
    let (mut section, mut rest) = (&LISTENER, words);
    while let Some((word, after)) = rest.split_first() {
        if let Some(command) = section.commands.iter().find(|command| command.name == word) {
            return (Ok(command), after);
        }
        let Some(below) = section.sections.iter().find(|below| below.name == word) else {
            break;
        };
        (section, rest) = (below, after);
    }
    (Err(section), rest)
}

impl Command {
    /// Reads what follows the command.
    pub(super) fn read(&self, words: &[String]) -> Result<Values, Misuse> {
        let mut values = Values::new();
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let (name, joined) = match word.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (word.as_str(), None),
            };
            let option = self.option(name)?;
            let value = joined.or_else(|| words.next().cloned());
            let value = value.ok_or_else(|| unclear(format!("{} option requires an argument", option.name)))?;
            values.entry(option.name).or_default().push(value);
        }
        let is_missing = |option: &&Opt| option.required && !values.contains_key(option.name);
        let missing: Vec<&str> = self
            .options
            .iter()
            .filter(is_missing)
            .map(|option| option.name)
            .collect();
        match missing.is_empty() {
            true => Ok(values),
            false => Err(Misuse::Missing(missing)),
        }
    }

    /// The option of this name, or the only one whose name begins so.
    fn option(&self, name: &str) -> Result<&Opt, Misuse> {
        if name == "-h" || name == "--help" {
            return Err(Misuse::Unclear(None));
        }
        if let Some(option) = self.options.iter().find(|option| option.name == name) {
            return Ok(option);
        }
        let long = name.len() > 2 && name.starts_with("--");
        let mut begun = self
            .options
            .iter()
            .filter(|option| long && option.name.starts_with(name));
        match (begun.next(), begun.next()) {
            (Some(option), None) => Ok(option),
            (Some(one), Some(other)) => Err(unclear(format!(
                "ambiguous option: {name} ({}, {}?)",
                one.name, other.name
            ))),
            _ => Err(unclear(format!("no such option: {name}"))),
        }
    }
}

fn unclear(why: String) -> Misuse {
    Misuse::Unclear(Some(why))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn the_nearest_command_or_section_is_found() {
        let check = |line: &str, expected: Result<(&str, Deed), &str>| {
            let words = words(line);
            let found = match find(&words).0 {
                Ok(command) => Ok((command.name, command.deed)),
                Err(section) => Err(section.name),
            };
            assert_eq!(found, expected, "{line}");
        };
        check("", Err(""));
        check("--help", Err(""));
        check("smtp create", Err(""));
        check("list", Ok(("list", Deed::List)));
        check("email", Err("email"));
        check("email --help create", Err("email"));
        check("email list", Err("email"));
        check("http create --url http://a", Ok(("create", Deed::Create("http"))));
        check("amqp update --listener-id 1", Ok(("update", Deed::Update)));
    }

    #[test]
    fn options_are_read_as_optparse_reads_them() {
        let check = |line: &str, expected: Result<&[(&'static str, &[&str])], Misuse>| {
            let words = words(line);
            let (command, rest) = find(&words);
            let read = command.unwrap().read(rest);
            let expected = expected.map(|values| {
                let owned = |all: &[&str]| all.iter().map(|&one| one.to_owned()).collect::<Vec<_>>();
                values.iter().map(|(name, all)| (*name, owned(all))).collect::<Values>()
            });
            assert_eq!(read, expected, "{line}");
        };
        check(
            "http create --event-type=* --event repo.sync.start --url=http://a?b=c --user u",
            Ok(&[
                ("--event-type", &["*", "repo.sync.start"]),
                ("--url", &["http://a?b=c"]),
                ("--username", &["u"]),
            ]),
        );
        check("delete --listener-id --x", Ok(&[("--listener-id", &["--x"])]));
        check("delete", Err(Misuse::Missing(vec!["--listener-id"])));
        check(
            "email create --subject s",
            Err(Misuse::Missing(vec!["--event-type", "--addresses"])),
        );
        check("list --help", Err(Misuse::Unclear(None)));
        check("list more", Err(unclear("no such option: more".into())));
        check(
            "amqp create --e x",
            Err(unclear("ambiguous option: --e (--event-type, --exchange?)".into())),
        );
        check(
            "delete --listener-id",
            Err(unclear("--listener-id option requires an argument".into())),
        );
    }
}
