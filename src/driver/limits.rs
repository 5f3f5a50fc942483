//! Limits of one coordinator: how many requests its connections may have in progress.

macro_rules! driver_limits {
    ($($(#[doc = $doc:literal])* $name:ident: $default:literal,)*) => {
        /// The limits of one coordinator.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct DriverLimits {
            $($(#[doc = $doc])* pub $name: u64,)*
        }

        impl Default for DriverLimits {
            fn default() -> Self {
                Self { $($name: $default,)* }
            }
        }

        impl DriverLimits {
            /// Name, value and meaning of every limit, in the order of this file.
            pub fn table(&self) -> Vec<(&'static str, u64, &'static str)> {
                vec![$((stringify!($name), self.$name, concat!($($doc,)*).trim_ascii()),)*]
            }
        }
    };
}

driver_limits! {
    /// Requests of one connection that wait for the journal.
    requests_in_flight_max: 128,
    /// Waiting claims and acquires of one connection.
    requests_waiting_max: 32,
    /// Commands of all connections that wait for the journal.
    commands_in_flight_max: 8_192,
    /// Waiting claims and acquires of all connections.
    waiting_max: 16_384,
    /// Commands that one sync makes durable.
    batch_commands_max: 1_024,
    /// Bytes that one sync makes durable; one append to a shared journal has at most 131,072, or one command.
    batch_bytes_max: 4_194_304,
    /// The longest time a claim or an acquire waits.
    wait_ms_max: 3_600_000,
    /// Events that wait to be written to one connection; beyond it they are read from the history later.
    events_queued_max: 256,
    /// Frames that wait to be written to one connection; beyond it the connection is closed.
    frames_queued_max: 4_096,
    /// Bytes that wait to be written to one connection; beyond it the connection is closed.
    bytes_queued_max: 16_777_216,
    /// The longest interval between records of a project with deadlines, so that its journal time advances.
    heartbeat_ms: 45_000,
    /// When a client should retry after `overloaded` or `unavailable`.
    retry_after_ms: 100,
    /// Bytes of records that may collect before a snapshot covers them and they are deleted.
    live_bytes_max: 67_108_864,
}
