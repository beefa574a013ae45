//! Whom a command speaks to, and as whom: flags before the command, then files as pulp-admin has them.
//!
//! Names and passwords come from `-u` and `-p`, else from `[auth]` of the file that `--config` names, of
//! `~/.pulp/admin.conf` or of `/etc/pulp/admin/admin.conf`, else from `BUSWAY_TOKEN`. The address comes from `--url`,
//! else `BUSWAY_URL`, else `[server]` of the `--config` file (only that one: who has a Pulp configured on this machine
//! does not mean it by `busway`), else the hub's default.
//! Invariant: a password is asked for without an echo, and only where there is a name without one.

use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::super::exit::{Code, Failure};
use super::super::tls::Tls;

const DEFAULT_URL: &str = "http://127.0.0.1:8080";

/// Whom to speak to, and as whom.
#[derive(Debug, Default)]
pub(super) struct Account {
    /// The hub, or a Pulp.
    pub(super) url: String,
    /// Whom to trust, and who we are.
    pub(super) tls: Tls,
    /// The value of `Authorization`, if there is any.
    pub(super) authorization: Option<String>,
}

/// The flags before the command.
#[derive(Debug, Default, PartialEq, Eq)]
struct Flags {
    url: Option<String>,
    ca: Option<String>,
    cert: Option<String>,
    key: Option<String>,
    username: Option<String>,
    password: Option<String>,
    config: Option<String>,
}

impl Account {
    /// Reads the flags before the command; the words of the command follow.
    pub(super) fn read(words: &[String]) -> Result<(Self, &[String]), Failure> {
        let (flags, rest) = flags(words)?;
        let named = flags.config.as_deref().map(File::read).transpose()?;
        let url = flags
            .url
            .or_else(|| std::env::var("BUSWAY_URL").ok())
            .or_else(|| named.as_ref().and_then(File::server))
            .unwrap_or_else(|| DEFAULT_URL.to_owned());
        let mut files: Vec<File> = named.into_iter().collect();
        for path in usual_files() {
            if files.is_empty() && path.exists() {
                files.push(File::read(&path.to_string_lossy())?);
            }
        }
        let of_file = |key: &str| files.iter().find_map(|file| file.get("auth", key));
        let (name, password) = match flags.username {
            None if flags.password.is_none() => (of_file("username"), of_file("password")),
            given => (given, flags.password),
        };
        let authorization = match (name, password) {
            (Some(name), Some(password)) => Some(basic(&name, &password)),
            (Some(name), None) => Some(basic(&name, &asked()?)),
            (None, _) => std::env::var("BUSWAY_TOKEN")
                .ok()
                .map(|token| format!("Bearer {token}")),
        };
        let tls = Tls {
            ca: flags.ca.map(PathBuf::from),
            cert: flags.cert.map(PathBuf::from),
            key: flags.key.map(PathBuf::from),
        };
        let tls = tls.or_environment();
        Ok((
            Self {
                url,
                tls,
                authorization,
            },
            rest,
        ))
    }
}

fn flags(words: &[String]) -> Result<(Flags, &[String]), Failure> {
    let (mut flags, mut rest) = (Flags::default(), words);
    while let Some((word, after)) = rest.split_first() {
        let (name, joined) = match word.split_once('=') {
            Some((name, value)) if name.starts_with("--") => (name, Some(value)),
            _ => (word.as_str(), None),
        };
        let slot = match name {
            "-u" | "--username" => &mut flags.username,
            "-p" | "--password" => &mut flags.password,
            "--config" => &mut flags.config,
            "--url" => &mut flags.url,
            "--ca" => &mut flags.ca,
            "--cert" => &mut flags.cert,
            "--key" => &mut flags.key,
            "-v" | "-vv" => {
                rest = after;
                continue;
            }
            // Help is the section's own.
            "-h" | "--help" => return Ok((flags, rest)),
            other if other.starts_with('-') => {
                let text = format!("listener: no such option: {other}; options of a command stand behind it");
                return Err(Failure::new(Code::Usage, text));
            }
            _ => break,
        };
        let (value, after) = match (joined, after.split_first()) {
            (Some(value), _) => (value.to_owned(), after),
            (None, Some((value, after))) => (value.clone(), after),
            (None, None) => {
                return Err(Failure::new(
                    Code::Usage,
                    format!("listener: {name} option requires an argument"),
                ));
            }
        };
        *slot = Some(value);
        rest = after;
    }
    Ok((flags, rest))
}

fn basic(name: &str, password: &str) -> String {
    format!("Basic {}", BASE64.encode(format!("{name}:{password}")))
}

fn usual_files() -> Vec<PathBuf> {
    let home = std::env::var_os("HOME").map(|home| Path::new(&home).join(".pulp/admin.conf"));
    home.into_iter()
        .chain([PathBuf::from("/etc/pulp/admin/admin.conf")])
        .collect()
}

/// Asks for the password on the terminal.
fn asked() -> Result<String, Failure> {
    let silent = std::io::stdin().is_terminal();
    let echo = |how: &str| {
        if silent {
            // Without `stty` there is an echo: worse than none, better than no login.
            let _ = Command::new("stty").arg(how).status();
        }
    };
    let mut out = std::io::stderr();
    let _ = write!(out, "Enter password: ").and_then(|()| out.flush());
    let mut line = String::new();
    echo("-echo");
    let read = std::io::stdin().lock().read_line(&mut line);
    echo("echo");
    let _ = writeln!(out);
    read.map_err(|cause| Failure::new(Code::Io, format!("no password could be read: {cause}")))?;
    Ok(line.trim_end_matches(['\n', '\r']).to_owned())
}

/// A file in the form of Python's ConfigParser.
#[derive(Debug)]
struct File(Vec<(String, String, String)>);

impl File {
    fn read(path: &str) -> Result<Self, Failure> {
        let text = std::fs::read_to_string(path);
        text.map(|text| Self::parse(&text))
            .map_err(|cause| Failure::new(Code::Config, format!("{path} cannot be read: {cause}")))
    }

    fn parse(text: &str) -> Self {
        let mut section = String::new();
        let mut found = Vec::new();
        for line in text.lines().map(str::trim).filter(|line| !line.starts_with(['#', ';'])) {
            if let Some(title) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
                title.clone_into(&mut section);
            } else if let Some((key, value)) = line.split_once(['=', ':']) {
                found.push((section.clone(), key.trim().to_owned(), value.trim().to_owned()));
            }
        }
        Self(found)
    }

    fn get(&self, section: &str, key: &str) -> Option<String> {
        let found = self
            .0
            .iter()
            .rfind(|(in_section, name, _)| in_section == section && name == key);
        found
            .map(|(_, _, value)| value.clone())
            .filter(|value| !value.is_empty())
    }

    /// The server it names: Pulp's is HTTPS always.
    fn server(&self) -> Option<String> {
        let host = self.get("server", "host")?;
        let port = self.get("server", "port").unwrap_or_else(|| "443".to_owned());
        Some(format!("https://{host}:{port}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_stand_before_the_command() {
        let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<String>>();
        let given = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        for (line, [url, username, password, config], rest) in [
            ("", ["", "", "", ""], 0),
            ("list", ["", "", "", ""], 1),
            ("-u admin -p a=b list", ["", "admin", "a=b", ""], 1),
            (
                "--username=admin --url http://h -v http create --url http://sink",
                ["http://h", "admin", "", ""],
                4,
            ),
            ("--config admin.conf --help", ["", "", "", "admin.conf"], 1),
        ] {
            let words = words(line);
            let (found, left) = flags(&words).unwrap();
            let expected = Flags {
                url: given(url),
                username: given(username),
                password: given(password),
                config: given(config),
                ..Flags::default()
            };
            assert_eq!((found, left.len()), (expected, rest), "{line}");
        }
        for line in ["--nope list", "-u"] {
            assert_eq!(flags(&words(line)).unwrap_err().code as u8, 64, "{line}");
        }
    }

    #[test]
    fn a_file_of_pulp_admins_is_understood() {
        let file = File::parse(
            "# c\n[server]\nhost = pulp.example.com\nport: 8443\n\n[auth]\nusername: admin\npassword = a=b\n",
        );
        assert_eq!(file.get("auth", "username").as_deref(), Some("admin"));
        assert_eq!(file.get("auth", "password").as_deref(), Some("a=b"));
        assert_eq!(file.server().as_deref(), Some("https://pulp.example.com:8443"));
        assert_eq!(File::parse("[server]\nport = 1").server(), None);
    }
}
