//! Builds what the demo loads, and says clearly what is missing if that cannot be done.

use std::path::Path;

use super::{Screen, judge};
use crate::cli::exit::{Code, Failure};
use crate::devkit;
use crate::time::Clock;

/// The plugins from source, in `plugins/` of the checkout.
pub(super) const FROM_SOURCE: [&str; 2] = ["filter-threshold", "notifier-chat"];

/// Builds all plugins into `home`.
pub(super) fn build(source: &Path, home: &Path, screen: &mut Screen) -> Result<(), Failure> {
    let clock = Clock::system();
    std::fs::create_dir_all(home)
        .map_err(|cause| Failure::new(Code::Io, format!("{} cannot be made: {cause}", home.display())))?;
    for name in FROM_SOURCE {
        let folder = source.join(name);
        if !folder.is_dir() {
            return Err(Failure::new(Code::NoInput, missing(&folder)));
        }
        let began = clock.instant();
        let mut said = Vec::new();
        let built = devkit::build(&folder, Some(home), &mut |line| said.push(line.to_owned()));
        let path = built.map_err(|error| {
            let message = format!("{name} could not be built: {error}\n{}", said.join("\n"));
            Failure::new(Code::Unavailable, message)
        })?;
        let size = std::fs::metadata(&path).map_or(0, |file| file.len() / 1024);
        screen.say(&format!(
            "{name:<18} from source, {size} KiB, {:.1} s",
            began.elapsed().as_secs_f64()
        ))?;
    }
    let first = judge::assemble(1)?;
    judge::place(&first, home)?;
    screen.say(&format!(
        "{:<18} from WebAssembly text, {} bytes, version 1",
        judge::NAME,
        first.len()
    ))?;
    Ok(())
}

fn missing(folder: &Path) -> String {
    format!(
        "the demo builds the plugin in {}, which is not there: run it from the root of a checkout, or name the folder \
         with the plugins' sources by --plugins",
        folder.display()
    )
}
