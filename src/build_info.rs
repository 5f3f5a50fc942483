//! What was built: version, commit and target.

/// The version of this build.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Twelve digits of the commit, with `-modified` behind it when the source differed from it; `debug`
/// in a debug build, `unknown` where there was no repository to ask.
pub const COMMIT: &str = env!("COORD_BUILD_COMMIT");

/// The target that the compiler built for, such as `aarch64-unknown-linux-musl`.
pub const TARGET: &str = env!("COORD_BUILD_TARGET");

/// All of it, as `coord --version` prints it.
pub const LONG_VERSION: &str = concat!(
    env!("CARGO_PKG_VERSION"),
    "\ncommit ",
    env!("COORD_BUILD_COMMIT"),
    "\ntarget ",
    env!("COORD_BUILD_TARGET"),
);
