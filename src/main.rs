//! The program: arguments in, exit code out.

use std::process::ExitCode;

/// An event's way is many small allocations freed on another thread; the system's allocator spends a tenth of the
/// hub's time on them.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    busway::cli::run(std::env::args_os())
}
