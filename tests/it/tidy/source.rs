//! A source file as the tidy test sees it: lines, not syntax. rustfmt keeps the sources in a shape that this can read.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// A source file.
pub(super) struct Source {
    /// Its path below the root of the repository.
    pub(super) path: PathBuf,
    pub(super) text: String,
    /// Whether all of it is for tests.
    pub(super) is_test: bool,
}

/// A function of the product.
pub(super) struct Function {
    /// `path:line`.
    pub(super) at: String,
    pub(super) lines: usize,
    pub(super) parameters: usize,
    /// Whether an `allow` with its reason excuses the number of parameters.
    pub(super) excused: bool,
}

impl Source {
    /// Its path below `src`, such as `log/writer.rs`.
    pub(super) fn place(&self) -> &str {
        self.path.strip_prefix("src").unwrap_or(&self.path).to_str().unwrap()
    }

    /// The module at the top that it belongs to.
    pub(super) fn module(&self) -> &str {
        let place = self.place();
        place.split('/').next().unwrap().trim_end_matches(".rs")
    }

    pub(super) fn at(&self, line: usize) -> String {
        format!("{}:{line}", self.path.display())
    }

    /// The lines with their numbers, without what stands under `#[cfg(test)]`: an item up to its closing brace, a
    /// declaration or a field up to its end.
    pub(super) fn product(&self) -> Vec<(usize, &str)> {
        let mut lines = Vec::new();
        let mut all = self.text.lines().enumerate();
        while let Some((at, line)) = all.next() {
            if line.trim() != "#[cfg(test)]" {
                lines.push((at + 1, line));
                continue;
            }
            let close = format!("{}}}", &line[..indent(line)]);
            let mut item = all
                .by_ref()
                .map(|(_, line)| line)
                .skip_while(|line| line.trim_start().starts_with("#["));
            if item.next().is_some_and(|first| !first.ends_with([';', ',', '}'])) {
                item.find(|line| line.trim_end_matches([',', ';']) == close);
            }
        }
        lines
    }

    /// The lines of [`Source::product`] that are neither empty nor a comment.
    pub(super) fn code(&self) -> Vec<(usize, &str)> {
        self.product().into_iter().filter(|(_, line)| is_code(line)).collect()
    }

    /// The functions of the product; a body is what stands between its braces.
    pub(super) fn functions(&self) -> Vec<Function> {
        let lines = self.product();
        let mut found = Vec::new();
        for (at, (number, line)) in lines.iter().enumerate() {
            if !begins_function(line) {
                continue;
            }
            let from = &lines[at..];
            let Some(opens) = from.iter().position(|(_, line)| line.ends_with(['{', ';', '}'])) else {
                continue;
            };
            if !from[opens].1.ends_with('{') {
                continue;
            }
            let signature: Vec<&str> = from[..=opens].iter().map(|(_, line)| line.trim()).collect();
            let close = format!("{}}}", &line[..indent(line)]);
            let body = from[opens + 1..].iter().take_while(|(_, line)| *line != close);
            found.push(Function {
                at: self.at(*number),
                lines: body.filter(|(_, line)| is_code(line)).count(),
                parameters: parameters(&signature.join(" ")),
                excused: lines[at.saturating_sub(5)..at]
                    .iter()
                    .any(|(_, line)| line.contains("too_many_arguments")),
            });
        }
        found
    }

    /// Public items, and those of them without a doc comment.
    pub(super) fn documented(&self) -> (usize, Vec<String>) {
        let lines = self.product();
        let mut all = 0;
        let mut bare = Vec::new();
        for (at, (number, line)) in lines.iter().enumerate() {
            let kinds = ["fn ", "async fn ", "struct ", "enum ", "trait ", "const ", "type "];
            let public = line.trim_start().strip_prefix("pub ");
            if !public.is_some_and(|item| kinds.iter().any(|kind| item.starts_with(kind))) {
                continue;
            }
            all += 1;
            let mut above = above_attributes(&lines[..at]);
            if !above.next().is_some_and(|line| line.starts_with("///")) {
                bare.push(self.at(*number));
            }
        }
        (all, bare)
    }
}

/// The lines above an item, upwards, from the first that is no part of an attribute of its.
fn above_attributes<'a>(lines: &'a [(usize, &'a str)]) -> impl Iterator<Item = &'a str> {
    let mut inside = false;
    lines.iter().rev().map(|(_, line)| line.trim()).skip_while(move |line| {
        let begins = line.starts_with("#[");
        inside = !begins && (inside || line.ends_with(")]"));
        begins || inside
    })
}

/// Every Rust source below this folder of the repository.
pub(super) fn sources(folder: &str) -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    collect(&root.join(folder), root, &mut found);
    let tests = test_modules(&found);
    for source in &mut found {
        let path = source.path.with_extension("");
        source.is_test = tests.iter().any(|test| path.starts_with(test));
    }
    found
}

pub(super) fn is_code(line: &str) -> bool {
    let line = line.trim();
    !line.is_empty() && !line.starts_with("//")
}

/// The paths, without extension, of modules that are declared under `#[cfg(test)]`.
fn test_modules(sources: &[Source]) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    for source in sources {
        let name = source.path.file_name().unwrap();
        let own = if name == "mod.rs" || name == "lib.rs" {
            source.path.parent().unwrap().to_owned()
        } else {
            source.path.with_extension("")
        };
        let mut lines = source.text.lines();
        while let Some(line) = lines.next() {
            let mut declared = || lines.next()?.strip_suffix(';')?.split("mod ").nth(1);
            if line == "#[cfg(test)]"
                && let Some(module) = declared()
            {
                found.insert(own.join(module));
            }
        }
    }
    found
}

fn collect(folder: &Path, root: &Path, found: &mut Vec<Source>) {
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            if path.file_name().is_some_and(|name| name != "target") {
                collect(&path, root, found);
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(Source {
                text: std::fs::read_to_string(&path).unwrap(),
                path: path.strip_prefix(root).unwrap().to_owned(),
                is_test: false,
            });
        }
    }
}

fn indent(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

fn begins_function(line: &str) -> bool {
    let mut words = line.trim_start().split(' ').peekable();
    let modifiers = ["pub", "async", "const", "unsafe", "extern", "\"C\""];
    while words
        .next_if(|word| modifiers.contains(word) || word.starts_with("pub("))
        .is_some()
    {
        // `pub(in crate::x)` is two words.
        words.next_if(|word| word.ends_with(')') && !word.contains('('));
    }
    words.next() == Some("fn")
}

/// Commas at the top of the first parentheses that are not inside generics, `self` counted as clippy does.
fn parameters(signature: &str) -> usize {
    let (mut angles, mut depth, mut count, mut some, mut before) = (0_i32, 0_i32, 0, false, ' ');
    for letter in signature.split_once("fn ").map_or("", |(_, rest)| rest).chars() {
        match letter {
            '<' => angles += 1,
            '>' if before != '-' && before != '=' => angles -= 1,
            '(' | '[' if angles == 0 || depth > 0 => depth += 1,
            ')' | ']' if depth == 1 && angles == 0 => break,
            ')' | ']' if depth > 0 => depth -= 1,
            ',' if depth == 1 && angles == 0 => (count, some) = (count + usize::from(some), false),
            ' ' => {}
            _ => some |= depth > 0,
        }
        before = letter;
    }
    count + usize::from(some)
}

#[test]
fn what_is_for_tests_is_left_out_and_nothing_else() {
    let text = "mod a;\n#[cfg(test)]\nmod tests;\nstruct S {\n    a: u8,\n    #[cfg(test)]\n    b: u8,\n    c: u8,\n}\n\
                #[cfg(test)]\nmod more {\n    fn x() {}\n\n    fn y() {}\n}\nfn z() {\n    a;\n    #[cfg(test)]\n    \
                if b {\n        c;\n    }\n    d;\n}\n";
    let source = Source {
        path: "src/x.rs".into(),
        text: text.into(),
        is_test: false,
    };
    let left: Vec<&str> = source.product().into_iter().map(|(_, line)| line.trim()).collect();
    let expected = [
        "mod a;",
        "struct S {",
        "a: u8,",
        "c: u8,",
        "}",
        "fn z() {",
        "a;",
        "d;",
        "}",
    ];
    assert_eq!(left, expected);
}

#[test]
fn functions_are_measured_between_their_braces() {
    let text = "pub(in crate::x) async fn a<T: Fn(u8, u8)>(\n    &self,\n    b: (u8, u8),\n    c: HashMap<u8, u8>,\n) -> u8 {\n    // why\n    \
                d;\n    e\n}\nfn one() {}\n";
    let source = Source {
        path: "src/x.rs".into(),
        text: text.into(),
        is_test: false,
    };
    let found: Vec<(usize, usize)> = source
        .functions()
        .iter()
        .map(|one| (one.lines, one.parameters))
        .collect();
    assert_eq!(found, [(2, 3)]);
}
