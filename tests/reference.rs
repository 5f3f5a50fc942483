//! What is written down and must stay so: the pages, the layers of the source, the journals of older formats.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod reference {
    mod golden;
    mod layers;
    mod pages;
}
