//! Chance and its trace: every choice of a run comes from its seed, and all that happens is hashed.

use cli_coordinator::journal::sim_disk::Rng;

/// Where a run's choices come from.
#[derive(Debug)]
pub(crate) struct Chance(Rng);

impl Chance {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Rng::new(seed ^ 0x5EED_0F5E_ED00))
    }

    pub(crate) fn next_u64(&mut self) -> u64 {
        self.0.next_u64()
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0.below(bound)
    }

    pub(crate) fn number(&mut self, bound: u64) -> u64 {
        self.0.next_u64() % bound.max(1)
    }

    pub(crate) fn one_in(&mut self, times: usize) -> bool {
        self.0.one_in(times)
    }

    pub(crate) fn pick<'a, T>(&mut self, items: &'a [T]) -> Option<&'a T> {
        items.get(self.0.below(items.len()))
    }

    /// Picks from a list that is not empty.
    pub(crate) fn one_of<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.0.below(items.len())]
    }

    pub(crate) fn bytes(&mut self) -> [u8; 32] {
        let mut bytes = [0; 32];
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&self.0.next_u64().to_le_bytes());
        }
        bytes
    }
}

/// What happened, as a hash, and as text where someone wants to read it.
#[derive(Debug, Clone)]
pub(crate) struct Trace {
    pub(crate) hash: u64,
    pub(crate) printed: bool,
}

impl Trace {
    pub(crate) fn new(printed: bool) -> Self {
        Self {
            hash: 0xCBF2_9CE4_8422_2325,
            printed,
        }
    }

    /// FNV-1a: enough to tell two runs apart.
    pub(crate) fn note(&mut self, what: &str, bytes: &[u8]) {
        for byte in what.bytes().chain(bytes.iter().copied()) {
            self.hash = (self.hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3);
        }
        if self.printed {
            print(what, bytes);
        }
    }
}

#[allow(
    clippy::print_stdout,
    reason = "the trace of a replayed seed is for people"
)]
fn print(what: &str, bytes: &[u8]) {
    println!("{what} {}", String::from_utf8_lossy(bytes));
}
