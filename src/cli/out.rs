//! Where commands write: a table for a person, JSON for a program.

use std::io::{self, Write};

use serde_json::Value;

/// A cell that is wider than this stands out of its column, instead of moving the next one off everybody's screen.
const WIDEST: usize = 60;

/// The form of the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Form {
    /// Columns for a person.
    Table,
    /// JSON for a program.
    Json,
}

/// The output of one command.
pub(super) struct Out {
    /// The form the caller asked for.
    pub(super) form: Form,
    to: Box<dyn Write + Send>,
}

impl Out {
    /// Output to stdout.
    pub(super) fn stdout(form: Form) -> Self {
        Self {
            form,
            to: Box::new(io::stdout()),
        }
    }

    /// Words for a person beside the result: to stderr, so that a pipe gets the result alone.
    pub(super) fn aside(words: &str) {
        // Nothing can be done about a stderr that is gone.
        let _ = writeln!(io::stderr(), "busway: {words}");
    }

    /// One line, at once.
    pub(super) fn line(&mut self, line: &str) -> io::Result<()> {
        self.to.write_all(format!("{line}\n").as_bytes())?;
        self.to.flush()
    }

    /// A document: as it is for a program; indented all the same, since people read it too.
    pub(super) fn document(&mut self, value: &Value) -> io::Result<()> {
        self.line(&format!("{value:#}"))
    }

    /// Rows under a head, in columns as wide as they need. The last column is not padded.
    pub(super) fn table(&mut self, head: &[&str], rows: &[Vec<String>]) -> io::Result<()> {
        let head: Vec<String> = head.iter().map(|title| (*title).to_owned()).collect();
        let widths: Vec<usize> = head
            .iter()
            .enumerate()
            .map(|(at, title)| {
                let cells = rows
                    .iter()
                    .filter_map(|row| row.get(at))
                    .map(|cell| cell.chars().count());
                let cells = cells.filter(|width| *width <= WIDEST);
                cells.chain([title.chars().count()]).max().unwrap_or(0)
            })
            .collect();
        for row in [&head].into_iter().chain(rows) {
            let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
            self.line(cells.collect::<Vec<_>>().join("  ").trim_end())?;
        }
        Ok(())
    }
}

/// A cell: text as it is, nothing for null, lists joined, anything else as compact JSON.
pub(super) fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(cell).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    }
}

/// The cells of one row: the value at each JSON pointer.
pub(super) fn row(value: &Value, pointers: &[&str]) -> Vec<String> {
    pointers
        .iter()
        .map(|pointer| value.pointer(pointer).map(cell).unwrap_or_default())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::sync::{Arc, Mutex};

    /// What was written, for the test to look at.
    #[derive(Clone, Default)]
    struct Paper(Arc<Mutex<Vec<u8>>>);

    impl Write for Paper {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn columns_are_as_wide_as_they_need() {
        let paper = Paper::default();
        let mut out = Out {
            form: Form::Table,
            to: Box::new(paper.clone()),
        };
        let rows = [
            json!({"id": "a-long-id", "types": ["x", "y"], "n": null}),
            json!({"id": "b", "n": 3}),
        ];
        let rows: Vec<Vec<String>> = rows.iter().map(|one| row(one, &["/id", "/types", "/n"])).collect();
        out.table(&["ID", "TYPES", "N"], &rows).unwrap();
        let written = String::from_utf8(paper.0.lock().unwrap().clone()).unwrap();
        assert_eq!(written, "ID         TYPES  N\na-long-id  x,y\nb                 3\n");
    }
}
