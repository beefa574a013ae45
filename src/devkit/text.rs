//! A plugin as WebAssembly text that names the contract's functions: assembled and made a component in this process.
//!
//! Why so: with the contract's types put in here, the text is a plain core module, which a person can read and write.
//! A text that is a component already stays as it is written.

use std::path::Path;

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};

use super::contract;
use crate::error::Error;
use crate::plugin::World;

/// The component of a core module's text that exports this world (`filter-plugin` or `notifier-plugin`).
///
/// # Errors
/// `build_failed`: the text is not WebAssembly, or is no such plugin.
pub fn assemble(text: &str, world: &str) -> Result<Vec<u8>, Error> {
    let kind = match world == contract::world_name(World::Notifier) {
        true => World::Notifier,
        false => World::Filter,
    };
    let module = wat::parse_str(text).map_err(|cause| failed(cause.to_string()))?;
    encode(module, kind).map_err(|cause| failed(format!("not a {world}: {cause:#}")))
}

/// What a file of WebAssembly text makes: itself, or a component if it is a module that exports the contract's functions.
pub(super) fn build(source: &Path) -> Result<Vec<u8>, Error> {
    let text = std::fs::read_to_string(source)
        .map_err(|cause| failed(format!("cannot read {}: {cause}", source.display())).with_cause(cause))?;
    let wasm = wat::parse_file(source).map_err(|cause| failed(cause.to_string()))?;
    let exported = [World::Filter, World::Notifier]
        .into_iter()
        .find(|world| text.contains(&format!("\"busway:plugin/{}@", world.as_str())));
    match exported {
        Some(world) if wasmparser::Parser::is_core_wasm(&wasm) => encode(wasm, world).map_err(|cause| {
            let name = contract::world_name(world);
            failed(format!("{} is not a {name}: {cause:#}", source.display()))
        }),
        _ => Ok(wasm),
    }
}

fn encode(mut module: Vec<u8>, world: World) -> anyhow::Result<Vec<u8>> {
    let (resolve, id) = contract::resolve(world)?;
    embed_component_metadata(&mut module, &resolve, id, StringEncoding::UTF8)?;
    ComponentEncoder::default().module(&module)?.validate(true).encode()
}

fn failed(message: String) -> Error {
    Error::invalid("build_failed", message)
}
