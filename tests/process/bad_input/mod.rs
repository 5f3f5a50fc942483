//! What bad input gets, from the real binary: an error that names what and where, and a connection
//! and a process that go on where they can.

mod admission;
mod command;
mod frames;
mod hostile;
mod params;
mod roles;
mod state_dir;
mod storage_full;
