//! What the sender needs of the place where records wait: see [`super::spool`].

/// Monotonic milliseconds of this run.
pub type Moment = u64;

/// Which record of a backlog; it grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket(pub u64);

/// What became of a record that was pushed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kept {
    /// How many older ones made room for it; itself too, if it was too large.
    pub dropped: u64,
}

/// Records that wait until the receiver takes them, oldest first.
pub trait Backlog {
    /// Keeps a record. Makes room by dropping the oldest, and says how many.
    fn push(&mut self, record: &[u8], now: Moment) -> Kept;
    /// The oldest record, if there is one.
    fn oldest(&mut self) -> Option<(Ticket, Vec<u8>)>;
    /// Forgets all records up to this one, which was sent or dropped.
    fn done(&mut self, ticket: Ticket);
    fn len(&self) -> u64;
    fn bytes(&self) -> u64;

    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
