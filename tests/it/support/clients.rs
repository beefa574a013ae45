//! Clients that nobody here wrote, run as scripts: `tests/run` puts them into `target/tools/clients…`.
//!
//! A script tells what it sees on stdout, a line each; the test reads the lines.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use super::PATIENCE;

/// In which language, and with which clients.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Clients {
    /// `tests/clients/python.txt`.
    Python,
    /// `tests/clients/python-rpc.txt`.
    PythonRpc,
    /// `tests/clients/package.json`.
    Node,
}

impl Clients {
    fn folder(self) -> PathBuf {
        let name = match self {
            Self::Python => "clients",
            Self::PythonRpc => "clients-rpc",
            Self::Node => "clients-node",
        };
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools").join(name);
        assert!(
            folder.join("ready").exists(),
            "the clients to test with are not there: tests/run installs them into target/tools/{name}"
        );
        folder
    }

    /// A command that runs this text with these arguments (`sys.argv[1:]`, and in Node `process.argv.slice(1)`).
    pub(crate) fn command(self, text: &str, arguments: &[&str]) -> Command {
        let folder = self.folder();
        let mut command = match self {
            Self::Python | Self::PythonRpc => {
                let mut command = Command::new(folder.join("bin/python"));
                command.arg("-u").arg("-c").arg(text);
                command
            }
            Self::Node => {
                let mut command = Command::new("node");
                command.env("NODE_PATH", folder.join("node_modules"));
                // A folder of its own in the path of the text, so that `import` finds the clients too.
                command.current_dir(&folder).arg("-e").arg(text).arg("--");
                command
            }
        };
        command.args(arguments).kill_on_drop(true).stdin(Stdio::null());
        command
    }

    /// Runs it to its end; what it printed. What it says on stderr is in the failure.
    pub(crate) async fn run(self, text: &str, arguments: &[&str]) -> String {
        let ended = tokio::time::timeout(PATIENCE, self.command(text, arguments).output()).await;
        let ended = ended
            .expect("the client's script ends in time")
            .expect("run the client");
        let (out, error) = (
            String::from_utf8_lossy(&ended.stdout).into_owned(),
            String::from_utf8_lossy(&ended.stderr).into_owned(),
        );
        assert!(ended.status.success(), "the client's script failed\n{out}\n{error}");
        out
    }

    /// Starts it; its lines are read as they come.
    pub(crate) fn start(self, text: &str, arguments: &[&str]) -> Running {
        let mut process = self
            .command(text, arguments)
            .stdout(Stdio::piped())
            .spawn()
            .expect("start the client");
        let lines = BufReader::new(process.stdout.take().expect("its output")).lines();
        Running { process, lines }
    }
}

/// A script at work. It ends with the test.
pub(crate) struct Running {
    process: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Running {
    /// Its next line; none when it has ended.
    pub(crate) async fn line(&mut self) -> Option<String> {
        let line = tokio::time::timeout(PATIENCE, self.lines.next_line()).await;
        line.expect("the client's script says something in time")
            .expect("read its line")
    }

    /// Waits for its end; whether it was a good one.
    pub(crate) async fn ended(mut self) -> bool {
        let ended = tokio::time::timeout(PATIENCE, self.process.wait()).await;
        ended
            .expect("the client's script ends in time")
            .expect("its end")
            .success()
    }
}
