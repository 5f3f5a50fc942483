//! Which seat a connection asks for: by query or by header, at the upgrade and at every other front.

use sha2::{Digest, Sha256};

use crate::engine::ids::SeatName;
use crate::protocol::error::{ErrorKind, RpcError};

/// Names the seat, as `?seat=` does.
pub const SEAT_HEADER: &str = "coord-seat";

/// Enough that two of the seats that a principal may have never get one name by accident.
const DIGITS: usize = 8;

/// The seat of one session of a CLI: its kind, and digits that follow from what tells the session apart.
pub fn of_session(cli: &'static str, session: &str) -> SeatName {
    let digest = Sha256::digest(session.as_bytes());
    let digits = digest.iter().map(|byte| format!("{byte:02x}"));
    let digits: String = digits.take(DIGITS / 2).collect();
    let name = format!("{cli}-{digits}");
    name.parse().expect("a kind and digits are a seat name")
}

/// The seat that a connection asks for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SeatRequest {
    /// Refused where the token allows no seats.
    pub named: Option<SeatName>,
    /// What the client found out about itself; without effect where the token allows no seats.
    pub hint: Option<SeatName>,
}

impl SeatRequest {
    /// Reads what a request says. A seat that is named twice must be the same one: of two, either
    /// could be what was meant.
    pub fn read<'a>(
        query: Option<&'a str>,
        headers: impl IntoIterator<Item = &'a [u8]>,
        hint: Option<&str>,
    ) -> Result<Self, RpcError> {
        let headers = headers.into_iter().map(String::from_utf8_lossy);
        let mut named = None;
        for text in query.map(Into::into).into_iter().chain(headers) {
            let seat = parsed("seat", &text)?;
            if named.as_ref().is_some_and(|other| *other != seat) {
                return Err(refused(
                    "seat",
                    "the query and the header Coord-Seat name different seats; give one of them",
                ));
            }
            named = Some(seat);
        }
        let hint = hint.map(|hint| parsed("seat_hint", hint)).transpose()?;
        Ok(Self { named, hint })
    }
}

fn parsed(path: &str, text: &str) -> Result<SeatName, RpcError> {
    let seat = text.parse();
    seat.map_err(|error: crate::engine::ids::NameError| refused(path, &error.to_string()))
}

fn refused(path: &str, problem: &str) -> RpcError {
    let error = RpcError::new(ErrorKind::InvalidParams, format!("{path}: {problem}"));
    error.with(|detail| detail.path = Some(path.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: Option<&str>, headers: &[&str]) -> Result<Option<String>, String> {
        let headers = headers.iter().map(|text| text.as_bytes());
        let read = SeatRequest::read(query, headers, None);
        let named = |request: SeatRequest| request.named.map(|seat| seat.to_string());
        read.map(named).map_err(|error| error.message)
    }

    #[test]
    fn a_seat_is_named_by_query_or_header() {
        assert_eq!(read(None, &[]), Ok(None));
        assert_eq!(read(Some("a"), &[]), Ok(Some("a".to_owned())));
        assert_eq!(read(None, &["a"]), Ok(Some("a".to_owned())));
        assert_eq!(read(Some("a"), &["a"]), Ok(Some("a".to_owned())));
    }

    #[test]
    fn a_seat_that_is_none_or_two_is_refused() {
        for (query, headers) in [(Some("a"), &["b"][..]), (None, &["a", "b"][..])] {
            let problem = read(query, headers).expect_err("two seats");
            assert!(problem.contains("different seats"), "{problem}");
        }
        for bad in ["", "A", "a/b", "-a", "ä", &"a".repeat(33)] {
            let problem = read(Some(bad), &[]).expect_err(bad);
            assert!(problem.starts_with("seat: a seat name"), "{problem}");
            assert!(read(None, &[bad]).is_err(), "{bad}");
        }
        assert!(SeatRequest::read(None, [&b"\xff"[..]], None).is_err());
        assert!(SeatRequest::read(None, [], Some("A")).is_err());
    }
}
