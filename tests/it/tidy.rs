//! The rules of the house, checked from the sources; prints the sheet (`cargo test tidy -- --nocapture`).
//!
//! Why a test and not a tool: a rule that nobody runs is a wish, and tests are what everybody runs.
//! The lexing is rough on purpose (`source`): what it cannot see, the lints in Cargo.toml do.

mod source;

use std::collections::BTreeMap;

use source::{Source, is_code, sources};

/// Modules from the top down; a module may use those of later rows, and its own row only where it says so.
const LAYERS: &[&[&str]] = &[
    &["cli"],
    &["server", "config"],
    &["api", "compat", "console", "devkit"],
    &["hub"],
    &["deliver"],
    &["subscription", "filter", "transform", "log", "plugin"],
    &["net", "event"],
    &[
        "error", "time", "tasks", "metrics", "units", "nearest", "rate", "chance", "access",
    ],
];

/// Neighbours that may know each other (one direction); `filter`, `log` and `plugin` may not.
const NEIGHBOURS: &[(&str, &str)] = &[
    ("server", "config"),
    ("api", "devkit"),
    ("subscription", "filter"),
    ("subscription", "transform"),
    ("subscription", "log"),
    ("tasks", "time"),
    ("metrics", "time"),
    ("access", "nearest"),
    ("access", "chance"),
    ("access", "error"),
    ("access", "rate"),
    ("access", "time"),
    ("api", "compat"),
];

/// What only these places name (paths below `src`).
const HOMES: &[(&str, &[&str])] = &[
    ("wasmtime", &["plugin/"]),
    ("wasmtime_wasi", &["plugin/"]),
    ("wasmtime_wasi_http", &["plugin/"]),
    ("wasmtime_wasi_tls", &["plugin/tls.rs"]),
    ("jsonschema", &["plugin/schema/"]),
    ("axum", &["api/", "compat/", "console/", "server/"]),
    ("notify", &["plugin/watch.rs"]),
    (
        "rusqlite",
        &["log/", "subscription/store/", "plugin/kv.rs", "plugin/kv/"],
    ),
    ("clap", &["cli/"]),
    ("toml", &["config/"]),
    ("prometheus_client", &["metrics.rs", "metrics/", "plugin/status.rs"]),
    ("rustls", &["net/", "server/tls"]),
];

/// Calls that only these places make.
const CALLS: &[(&str, &[&str])] = &[
    ("TcpStream::connect", &["net/"]),
    ("UnixStream::connect", &["net/", "server/bind.rs"]),
    ("SystemTime::now", &["time.rs"]),
    ("Instant::now", &["time.rs"]),
    ("tokio::spawn", &["tasks.rs"]),
    ("spawn_blocking", &["tasks.rs"]),
    ("std::process::exit", &["cli/"]),
];

/// Parts of a type's name that say nothing.
const BANNED: &[&str] = &[
    "Manager",
    "Processor",
    "Helper",
    "Util",
    "Common",
    "Info",
    "Wrapper",
    "Message",
    "Job",
];
/// Ends of a type's name that say nothing, or stand for a bag.
const BANNED_ENDS: &[&str] = &["Data", "Context", "Service"];
/// The word of CloudEvents for what an event carries.
const DATA: &str = "Data";

const LONGEST_FILE: usize = 400;
const LONGEST_FUNCTION: usize = 60;
const MOST_PARAMETERS: usize = 5;
const MOST_PACKAGES: usize = 43;

/// The sources of the program, without those that are tests.
fn product() -> Vec<Source> {
    let mut found = sources("src");
    assert!(found.len() > 100, "the sources were not found");
    found.retain(|source| !source.is_test);
    found
}

/// Everything in Rust: the program, its tests, the plugins.
fn everything() -> Vec<Source> {
    ["src", "tests", "plugins"].into_iter().flat_map(sources).collect()
}

fn check(what: &str, faults: &[String]) {
    assert!(faults.is_empty(), "{what}:\n{}", faults.join("\n"));
}

fn row(module: &str) -> Option<usize> {
    LAYERS.iter().position(|row| row.contains(&module))
}

/// The modules that a line uses by `crate::x`, `use crate::{x::…, y}` included as rustfmt writes it on one line.
fn used(line: &str) -> Vec<String> {
    let word = |text: &str| {
        text.chars()
            .take_while(|c| c.is_alphanumeric() || *c == '_')
            .collect::<String>()
    };
    let mut modules: Vec<String> = Vec::new();
    for part in line.split("crate::").skip(1) {
        match part.strip_prefix('{') {
            None => modules.push(word(part)),
            Some(list) => modules.extend(list.split(", ").map(|item| word(item.trim()))),
        }
    }
    modules
}

fn against_the_layers() -> Vec<String> {
    let mut faults = Vec::new();
    for source in &product() {
        let module = source.module();
        let Some(own) = row(module) else {
            assert!(matches!(module, "lib" | "main"), "`{module}` stands in no layer");
            continue;
        };
        for (number, line) in source.code() {
            if line.trim_end() == "use crate::{" {
                faults.push(format!("{}: a list of modules over several lines", source.at(number)));
            }
            for other in used(line) {
                let Some(below) = row(&other) else { continue };
                let neighbours = NEIGHBOURS.contains(&(module, other.as_str()));
                if other != module && below <= own && !(below == own && neighbours) {
                    faults.push(format!("{}: `{module}` may not use `{other}`", source.at(number)));
                }
            }
        }
    }
    faults
}

/// Whether `line` names `name` as a path's first part.
fn names(line: &str, name: &str) -> bool {
    line.match_indices(name).any(|(at, _)| {
        let (before, after) = (&line[..at], &line[at + name.len()..]);
        let begins = !before.ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':' || c == '.');
        begins && (after.starts_with("::") || after.starts_with(';') && before.ends_with("use "))
    })
}

fn outside_their_home() -> Vec<String> {
    let mut faults = Vec::new();
    for source in &product() {
        let at_home = |homes: &[&str]| homes.iter().any(|home| source.place().starts_with(home));
        for (number, line) in source.code() {
            let packages = HOMES.iter().filter(|(name, _)| names(line, name));
            let calls = CALLS.iter().filter(|(call, _)| line.contains(&format!("{call}(")));
            for (what, homes) in packages.chain(calls).filter(|(_, homes)| !at_home(homes)) {
                faults.push(format!("{}: only {homes:?} may name `{what}`", source.at(number)));
            }
        }
    }
    faults
}

fn banned_names() -> Vec<String> {
    let banned = |name: &str| {
        BANNED.iter().any(|word| name.contains(word))
            || name != DATA && BANNED_ENDS.iter().any(|word| name.ends_with(word))
    };
    let mut faults = Vec::new();
    for source in &product() {
        let stem = source.path.file_stem().unwrap().to_str().unwrap();
        if BANNED
            .iter()
            .any(|word| stem.contains(&word.to_lowercase()) && stem != "info")
        {
            faults.push(format!("the file {}", source.path.display()));
        }
        for (number, line) in source.code() {
            let words: Vec<&str> = line.split(|c: char| !c.is_alphanumeric() && c != '_').collect();
            for pair in words.windows(2) {
                let wrong = match pair {
                    ["struct" | "enum" | "trait" | "type", name] => banned(name),
                    ["fn", name] => name.starts_with("get_") || name.starts_with("handle_"),
                    _ => false,
                };
                if wrong {
                    faults.push(format!("{}: `{}`", source.at(number), pair[1]));
                }
            }
        }
    }
    faults
}

fn without_header() -> Vec<String> {
    let bare = |source: &Source| !source.text.starts_with("//!");
    let bare = everything().into_iter().filter(bare);
    bare.map(|source| source.path.display().to_string()).collect()
}

fn debts() -> Vec<String> {
    let marks = [
        concat!("TO", "DO"),
        concat!("FIX", "ME"),
        concat!("X", "XX"),
        concat!("unimplemented", "!("),
        concat!("to", "do!("),
        concat!("#[", "ignore"),
        concat!("dbg", "!("),
    ];
    let mut faults = Vec::new();
    for source in &everything() {
        for (number, line) in source.text.lines().enumerate() {
            if marks.iter().any(|mark| line.contains(mark)) {
                faults.push(format!("{}: {}", source.at(number + 1), line.trim()));
            }
        }
    }
    faults
}

/// Calls that can panic; an index in brackets is clippy's to find (`indexing_slicing`).
fn panics() -> Vec<String> {
    let calls = [".unwrap()", ".expect(\"", "panic!(", "unreachable!(", "assert!("];
    let mut faults = Vec::new();
    for source in &product() {
        for (number, line) in source.code() {
            let debug = line.contains("debug_assert");
            if calls.iter().any(|call| line.contains(call)) && !debug {
                faults.push(format!("{}: {}", source.at(number), line.trim()));
            }
        }
    }
    faults
}

/// The direct dependencies, and those that no comment explains: beside it, above it, or its group's first line.
fn packages() -> (usize, Vec<String>) {
    let text = include_str!("../../Cargo.toml");
    let section = text.split("\n[dependencies]\n").nth(1).unwrap();
    let section = section.split("\n[").next().unwrap();
    let (mut count, mut bare, mut group, mut above) = (0, Vec::new(), false, false);
    for line in section.lines() {
        group = !line.is_empty() && (group || line.contains("fixed by the project"));
        if line.contains(" = ") && !line.starts_with('#') {
            count += 1;
            if !(group || above || line.contains("# ")) {
                bare.push(format!("Cargo.toml: {line}"));
            }
        }
        above = line.starts_with('#');
    }
    (count, bare)
}

#[test]
fn arrows_go_down_only() {
    check("imports against the layers", &against_the_layers());
}

#[test]
fn packages_and_calls_stay_at_home() {
    check("named outside their home", &outside_their_home());
}

#[test]
fn every_file_says_what_it_is() {
    check("files without a header", &without_header());
}

#[test]
fn every_public_item_is_documented() {
    let bare: Vec<String> = product().iter().flat_map(|source| source.documented().1).collect();
    check("public items without a doc comment", &bare);
}

#[test]
fn names_are_the_glossary() {
    check("banned names", &banned_names());
}

#[test]
fn nothing_is_left_to_do() {
    check("unfinished business", &debts());
}

#[test]
fn nothing_of_the_product_panics() {
    check("calls that can panic", &panics());
}

#[test]
fn packages_are_few_and_each_has_its_reason() {
    let (count, bare) = packages();
    check("packages that nothing explains", &bare);
    assert!(count <= MOST_PACKAGES, "{count} direct packages");
}

#[test]
fn files_and_functions_are_short() {
    let all = product();
    let files = all.iter().map(|source| (source.path.display(), source.code().len()));
    let mut faults: Vec<String> = files
        .filter(|(_, lines)| *lines > LONGEST_FILE)
        .map(|(path, lines)| format!("{path}: {lines} code lines"))
        .collect();
    for one in all.iter().flat_map(Source::functions) {
        if one.lines > LONGEST_FUNCTION || one.parameters > MOST_PARAMETERS && !one.excused {
            faults.push(format!(
                "{}: {} lines, {} parameters",
                one.at, one.lines, one.parameters
            ));
        }
    }
    check("too long", &faults);
}

/// The sheet: what can be measured from the sources, one line a point, with what passes.
#[test]
fn the_sheet() {
    let all = product();
    let files: Vec<usize> = all.iter().map(|source| source.code().len()).collect();
    let functions: Vec<_> = all.iter().flat_map(Source::functions).collect();
    let long = functions.iter().filter(|one| one.lines > LONGEST_FUNCTION).count();
    let wide = functions.iter().filter(|one| one.parameters > MOST_PARAMETERS).count();
    let (public, bare) = all
        .iter()
        .map(Source::documented)
        .fold((0, 0), |sum, (count, bare)| (sum.0 + count, sum.1 + bare.len()));
    let headers = everything().len();
    let code: usize = files.iter().sum();
    let beside: usize = sources("src").iter().map(lines).sum::<usize>() - code;
    let apart: usize = sources("tests").iter().map(lines).sum();
    let rows = [
        ("2 file size", spread(files), "median 120 / p90 260 / max 400"),
        (
            "3 function size",
            spread(functions.iter().map(|one| one.lines).collect()),
            "median 9 / p90 35 / max 60",
        ),
        (
            "3 too long, too wide",
            format!("{long}, {wide} of {}", functions.len()),
            "0, 0",
        ),
        (
            "4 headers missing",
            format!("{} of {headers}", without_header().len()),
            "0",
        ),
        ("4 public docs missing", format!("{bare} of {public}"), "0"),
        ("5 panic paths", panics().len().to_string(), "0"),
        (
            "6 layering",
            format!(
                "{} up, {} abroad",
                against_the_layers().len(),
                outside_their_home().len()
            ),
            "0",
        ),
        ("7 debt", debts().len().to_string(), "0"),
        ("9 test : code", ratio(beside + apart, code), "1.0"),
        ("11 banned names", banned_names().len().to_string(), "0"),
        (
            "12 direct packages",
            format!("{}, {} unexplained", packages().0, packages().1.len()),
            "43, 0",
        ),
    ];
    for (point, found, pass) in &rows {
        println!("{point:<24}{found:<44}passes at {pass}");
    }
    let largest: BTreeMap<usize, _> = all
        .iter()
        .map(|source| (source.code().len(), source.path.display()))
        .collect();
    for (lines, path) in largest.iter().rev().take(5) {
        println!("  {lines:>4} code lines  {path}");
    }
}

fn lines(source: &Source) -> usize {
    source.text.lines().filter(|line| is_code(line)).count()
}

fn ratio(tests: usize, code: usize) -> String {
    let hundredths = tests * 100 / code.max(1);
    format!("{}.{:02} ({tests} : {code} lines)", hundredths / 100, hundredths % 100)
}

fn spread(mut sizes: Vec<usize>) -> String {
    sizes.sort_unstable();
    let at = |share: usize| {
        let place = (sizes.len() * share / 100).min(sizes.len().saturating_sub(1));
        sizes.get(place).copied().unwrap_or(0)
    };
    format!("{}: median {} / p90 {} / max {}", sizes.len(), at(50), at(90), at(100))
}
