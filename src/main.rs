//! The binary `coord`.

use std::process::ExitCode;

use cli_coordinator::cli;
use cli_coordinator::config::ProcessEnvironment;

/// A request is made of many small allocations, half of which end on the journal's thread; the
/// system's allocators are slow at both, musl's most of all.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    cli::run(std::env::args_os(), &ProcessEnvironment)
}
