//! The metrics port as a central Prometheus meets it: what is on the page.

mod page;
