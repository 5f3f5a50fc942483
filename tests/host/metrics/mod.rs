//! The metrics port as a central Prometheus meets it: what is on the page, and who may read it.

pub(crate) mod authority;
mod files;
mod page;
mod secured;
