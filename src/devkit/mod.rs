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
mod contract;
mod create;
mod fetched;
mod inspect;
mod javascript;
mod language;
mod python;
mod rust;
mod text;
mod tools;

pub use build::build;
pub use component::world_of;
pub use contract::WIT;
pub use create::{Starter, create};
pub use inspect::{table, to_json};
pub use text::assemble;
pub use tools::Tools;

#[cfg(test)]
mod tests;
