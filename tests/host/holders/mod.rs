//! Who holds a port, freeing it and getting one, with real programs on the ports: each test has a network namespace of its own,
//! so that every port of every profile is its to take, and nothing of the host is touched.

mod bad_values;
mod behind;
mod lease;
mod namespace;
mod run;
mod running;
mod serve;
mod stop;
mod users;
mod who;
