//! `coord setup` and `coord doctor`, on files as users have them and without the real CLIs.

mod bed;
mod doctor;
mod files;
mod idle;
mod questions;
mod reach;

const CLIS: [&str; 4] = ["claude", "codex", "gemini", "opencode"];
