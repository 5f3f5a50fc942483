//! `coord task`, `coord lease` and `coord message`, as processes, against a real coordinator: what a shell script
//! that uses them relies on.

mod beats;
pub(crate) mod coord;
mod descendants;
mod ensure;
mod lease_run;
mod leases;
mod messages;
mod standing_still;
mod stuck;
mod task_work;
mod terminal;
