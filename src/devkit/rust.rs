//! Rust plugins: cargo builds them, small, for a target that imports nothing by itself.
//!
//! `wasm32-unknown-unknown` is the default, so that a plugin imports what it uses and no more; a plugin whose crates
//! need std's WASI says `[package.metadata.busway] target = "wasm32-wasip2"`. The profile is given on the command line
//! because a plugin in a workspace of its own has no profile of ours.
//! Invariant: guests build in `<target folder>/guests`, so that they never wait for the lock of a cargo around them.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;

use super::build::Built;
use super::tools::{self, Tools};
use crate::error::Error;

const TARGET: &str = "wasm32-unknown-unknown";
const GET_RUST: &str = "install Rust with rustup (https://rustup.rs)";

/// Small, in one piece, without names: a guest is loaded far more often than it is debugged.
const PROFILE: [&str; 6] = [
    r#"profile.release.opt-level="s""#,
    "profile.release.lto=true",
    "profile.release.codegen-units=1",
    "profile.release.debug=false",
    "profile.release.strip=true",
    r#"profile.release.panic="abort""#,
];

/// Builds the package in `dir`.
pub(super) fn build(tools: &Tools, dir: &Path, say: &mut dyn FnMut(&str)) -> Result<Built, Error> {
    let package = Package::read(tools, dir)?;
    ensure_target(tools, dir, &package.target, say)?;
    say(&format!("building {} for {}", package.name, package.target));
    let mut cargo = rust_tool(tools, dir, "cargo")?;
    cargo.args(["build", "--lib", "--release", "--color=never"]);
    cargo
        .args(["--target", &package.target])
        .arg("--target-dir")
        .arg(&package.target_dir);
    for setting in PROFILE {
        cargo.args(["--config", setting]);
    }
    // Flags meant for the host (a CPU, a coverage runtime) break a guest.
    cargo.env_remove("RUSTFLAGS").env_remove("CARGO_ENCODED_RUSTFLAGS");
    tools::run(&mut cargo, say)?;
    let file = format!("{}.wasm", package.library);
    let made = package.target_dir.join(&package.target).join("release").join(file);
    let wasm = std::fs::read(&made).map_err(|cause| {
        let what = format!("cargo made no {}: {cause}", made.display());
        Error::invalid("build_failed", what).with_cause(cause)
    })?;
    Ok(Built {
        name: package.name,
        wasm,
    })
}

/// In the plugin's folder, so that its own `.cargo/config.toml` and `rust-toolchain.toml` count.
fn rust_tool(tools: &Tools, dir: &Path, name: &str) -> Result<Command, Error> {
    let mut command = tools.command(name, GET_RUST)?;
    command.current_dir(dir);
    Ok(command)
}

/// What cargo knows of the package.
struct Package {
    name: String,
    library: String,
    target: String,
    target_dir: PathBuf,
}

impl Package {
    fn read(tools: &Tools, dir: &Path) -> Result<Self, Error> {
        let mut cargo = rust_tool(tools, dir, "cargo")?;
        cargo.args(["metadata", "--no-deps", "--format-version=1"]);
        let metadata: Metadata = serde_json::from_str(&tools::output(&mut cargo)?).map_err(Error::internal)?;
        let manifest = dir.join("Cargo.toml");
        let manifest = std::fs::canonicalize(&manifest).unwrap_or(manifest);
        let Some(package) = metadata
            .packages
            .into_iter()
            .find(|package| package.manifest_path == manifest)
        else {
            return Err(Error::invalid(
                "not_a_plugin_folder",
                format!(
                    "{} is a workspace, not a package: name the plugin's own folder",
                    manifest.display()
                ),
            ));
        };
        let library = package
            .targets
            .iter()
            .find(|target| target.crate_types.iter().any(|kind| kind == "cdylib"));
        let Some(library) = library else {
            return Err(Error::invalid(
                "not_a_plugin_folder",
                format!(
                    "{} is no plugin: add [lib] crate-type = [\"cdylib\"] to {}",
                    package.name,
                    manifest.display()
                ),
            ));
        };
        Ok(Self {
            library: library.name.replace('-', "_"),
            target: package
                .metadata
                .and_then(|own| own.busway?.target)
                .unwrap_or_else(|| TARGET.to_owned()),
            target_dir: metadata.target_directory.join("guests"),
            name: package.name,
        })
    }
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<PackageMetadata>,
    target_directory: PathBuf,
}

#[derive(Deserialize)]
struct PackageMetadata {
    name: String,
    manifest_path: PathBuf,
    targets: Vec<TargetMetadata>,
    metadata: Option<OwnMetadata>,
}

#[derive(Deserialize)]
struct TargetMetadata {
    name: String,
    crate_types: Vec<String>,
}

#[derive(Deserialize)]
struct OwnMetadata {
    busway: Option<BuswayMetadata>,
}

#[derive(Deserialize)]
struct BuswayMetadata {
    target: Option<String>,
}

/// Adds the target if this toolchain has no library for it.
fn ensure_target(tools: &Tools, dir: &Path, target: &str, say: &mut dyn FnMut(&str)) -> Result<(), Error> {
    let mut rustc = rust_tool(tools, dir, "rustc")?;
    let library = tools::output(rustc.args(["--print", "target-libdir", "--target", target]))?;
    if Path::new(library.trim()).is_dir() {
        return Ok(());
    }
    let explained = format!(
        "the Rust here cannot build for {target} and there is no rustup to add it: install rustup \
         (https://rustup.rs) and run `rustup target add {target}`, or install the package of your system that has \
         this target (Debian: libstd-rust-dev-wasm32)"
    );
    let Some(path) = tools.find(&["rustup"]) else {
        return Err(tools::missing(explained));
    };
    say(&format!("adding the target {target} with rustup"));
    let mut rustup = tools.command_at(path);
    tools::run(rustup.current_dir(dir).args(["target", "add", target]), say)
}
