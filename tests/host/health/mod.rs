//! Is it running? `coord health`, the health pages and what is compared at connect, with real
//! processes: coordinators, Redis servers, strangers on the ports, and nobody.

pub(crate) mod command;
mod coordinator;
mod peers;
mod redis;
mod starting;
mod stranger;
mod watching;
