//! From a core module to a component, and what a component exports of our contract.
//!
//! `wit-component` in this process instead of the `wasm-tools` program: nothing to install, and the same version as
//! the engine that will load the result.
//! Invariant: only the header tells module from component; names and folders do not.

use wit_component::{ComponentEncoder, DecodedWasm};

use crate::error::Error;
use crate::plugin::World;

/// The WIT package of the contract, up to an interface's name.
const CONTRACT: &str = "busway:plugin/";
/// The versions of it that this hub serves begin so.
const SERVED: &str = "0.1.";
/// The layer and version in a component's header, after the four bytes of magic; a core module has 1, 0, 0, 0.
const COMPONENT: [u8; 4] = [0x0d, 0, 1, 0];

/// A component stays as it is; a core module that carries its component type becomes one.
pub(super) fn from_module(wasm: Vec<u8>) -> Result<Vec<u8>, Error> {
    if is_component(&wasm) {
        return Ok(wasm);
    }
    let encode = || ComponentEncoder::default().validate(true).module(&wasm)?.encode();
    encode().map_err(|cause| {
        let why = format!("this core module cannot become a component: {cause:#}");
        not_a_plugin(format!(
            "{why}; is it built with the bindings of a world of busway:plugin?"
        ))
    })
}

/// The world that a component exports, found without running it.
///
/// # Errors
/// `not_a_plugin`, saying what it is instead.
pub fn world_of(wasm: &[u8]) -> Result<World, Error> {
    let exports = exports_of(wasm)?;
    let world = exports
        .iter()
        .find_map(|name| match name.strip_prefix(CONTRACT)?.split_once('@')? {
            ("filter", version) if version.starts_with(SERVED) => Some(World::Filter),
            ("notifier", version) if version.starts_with(SERVED) => Some(World::Notifier),
            _ => None,
        });
    world.ok_or_else(|| {
        let found = if exports.is_empty() { "nothing".to_owned() } else { exports.join(", ") };
        not_a_plugin(format!(
            "a plugin exports {CONTRACT}filter or {CONTRACT}notifier in a version {SERVED}x; this component exports {found}"
        ))
    })
}

fn is_component(wasm: &[u8]) -> bool {
    wasm.get(4..8) == Some(&COMPONENT)
}

fn exports_of(wasm: &[u8]) -> Result<Vec<String>, Error> {
    if !is_component(wasm) {
        let what = if wasm.starts_with(b"\0asm") {
            "a core module"
        } else {
            "no WebAssembly"
        };
        return Err(not_a_plugin(format!(
            "this is {what}, and not a component: make it with `busway plugin build`"
        )));
    }
    let (resolve, world) = match wit_component::decode(wasm) {
        Ok(DecodedWasm::Component(resolve, world)) => (resolve, world),
        Ok(DecodedWasm::WitPackage(..)) => {
            return Err(not_a_plugin("this is a WIT package, not a plugin".to_owned()));
        }
        Err(cause) => return Err(not_a_plugin(format!("this component is broken: {cause:#}"))),
    };
    let exports = resolve.worlds.get(world).map(|world| world.exports.keys());
    Ok(exports
        .into_iter()
        .flatten()
        .map(|key| resolve.name_world_key(key))
        .collect())
}

fn not_a_plugin(message: String) -> Error {
    Error::invalid("not_a_plugin", message)
}
