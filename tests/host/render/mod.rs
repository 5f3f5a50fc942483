//! `coord render`: the texts themselves, and what the programs they are for make of them.

mod compose;
mod containerfile;
mod dashboards;
mod env;
mod golden;
pub(crate) mod prometheus;
mod proxies;
mod refusals;
mod rules;
pub(crate) mod tool;
