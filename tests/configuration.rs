//! What was typed, and what is meant by it: settings and where they come from, profiles, ports.

mod configuration {
    mod commands;
    mod ports;
    mod values;
}
