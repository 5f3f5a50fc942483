//! The service under a real systemd, in a container that boots; and, without one, what it tells a
//! service manager and takes from it.

mod boot;
mod clock;
mod disk;
mod image;
mod load;
mod machine;
mod manager;
mod notify;
mod outside;
mod sockets;
mod stages;
