//! Parses any bytes as the file that the firewall's privileged helper writes for the coordinator. The parser
//! accepts only what the helper can have written, and a board that it accepts is parsed again to the same board.
#![no_main]

use cli_coordinator::edge::nft::{Board, BoardError};
use libfuzzer_sys::fuzz_target;

/// The file's bounds, as its reader documents them.
const BYTES_MAX: usize = 64 * 1024;
const COUNTERS_MAX: usize = 64;

fuzz_target!(|bytes: &[u8]| {
    let board = match Board::parse(bytes) {
        Ok(board) => board,
        Err(BoardError::Read(error)) => panic!("nothing was read: {error}"),
        Err(_) => return,
    };
    assert!(bytes.len() <= BYTES_MAX, "{} bytes", bytes.len());
    assert!(board.counters.len() <= COUNTERS_MAX);
    for counter in &board.counters {
        let plain = |byte: u8| byte == b'_' || byte.is_ascii_digit() || byte.is_ascii_lowercase();
        let name = &counter.name;
        assert!(
            !name.is_empty() && name.len() <= 64 && name.bytes().all(plain),
            "{name:?}"
        );
    }
    let again = serde_json::to_vec(&board).expect("a board is JSON");
    let again = Board::parse(&again).expect("what was written is read");
    assert_eq!(again, board);
});
