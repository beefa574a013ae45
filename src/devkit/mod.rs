//! The developer kit: from a plugin's source to a `.wasm` that the hub takes, and what such a file is and needs.
//!
//! Why so: a plugin's author should need a compiler for their language and nothing else. Bindings for C, and the step
//! from core module to component, are done in this process by the libraries that the external tools are made of.
//! Invariants: what [`build()`] writes is a plugin of a world that this hub serves, and appears whole under its
//! name or not at all. An error carries the toolchain's own words and says what to install. Unlike the rest of the library,
//! errors here may name paths: they are for the person at this machine.

mod build;
mod c;
mod component;
mod inspect;
mod rust;
mod text;
mod tools;

pub use build::build;
pub use component::world_of;
pub use inspect::{table, to_json};
pub use text::assemble;
pub use tools::Tools;

/// The contract with plugins that this hub was built with, as WIT text: for a plugin that lives elsewhere.
pub const WIT: &str = include_str!("../../wit/v0/busway.wit");

#[cfg(test)]
mod tests;
