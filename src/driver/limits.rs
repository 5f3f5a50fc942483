//! Limits of one coordinator: what its connections may have under way at once.

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
    /// Requests of one connection whose answers are on their way to or from the journal.
    requests_in_flight_max: 128,
    /// Claims and acquires of one connection that wait.
    requests_waiting_max: 32,
    /// Commands of all connections on their way to the journal.
    commands_in_flight_max: 8_192,
    /// Claims and acquires of all connections that wait.
    waiting_max: 16_384,
    /// Commands that one sync makes durable.
    batch_commands_max: 1_024,
    /// Bytes that one sync makes durable; one append to a shared journal has 131,072 at most, or one command.
    batch_bytes_max: 4_194_304,
    /// The longest time a claim or an acquire waits.
    wait_ms_max: 3_600_000,
    /// Events that wait to be written to one connection; beyond it they are read from the history later.
    events_queued_max: 256,
    /// Frames that wait to be written to one connection; beyond it the connection is closed.
    frames_queued_max: 4_096,
    /// Bytes that wait to be written to one connection; beyond it the connection is closed.
    bytes_queued_max: 16_777_216,
    /// How often a project with deadlines gets a record, so that its journal time goes on.
    heartbeat_ms: 45_000,
    /// When a client that was told `overloaded` or `unavailable` should try again.
    retry_after_ms: 100,
    /// Bytes of records that may gather before snapshots let them go.
    live_bytes_max: 67_108_864,
}
