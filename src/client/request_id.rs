//! Request ids: a request that is retried with the same id has one effect.

use crate::protocol::operations::Operation;
use crate::protocol::request_id::stamped;

/// Random bytes in each id, so that no two runs of the program use the same id.
const RANDOM_BYTES: usize = 16;

/// Makes unique request ids.
#[derive(Debug)]
pub(super) struct RequestIds {
    run: String,
    last: u64,
}

impl RequestIds {
    pub(super) fn new() -> Self {
        let mut random = [0_u8; RANDOM_BYTES];
        getrandom::fill(&mut random).expect("the operating system has random numbers");
        let run = u128::from_be_bytes(random);
        Self {
            run: format!("{run:032x}"),
            last: 0,
        }
    }

    /// Puts a new id into `params` where the operation takes one.
    pub(super) fn stamp(&mut self, operation: Operation, params: String) -> String {
        stamped(operation, params, |_| {
            self.last += 1;
            format!("cli-{}-{}", self.run, self.last)
        })
    }
}

/// Whether it is safe to send it twice: it only reads, or it has a request id.
pub(super) fn is_repeatable(operation: Operation) -> bool {
    !matches!(operation, Operation::TokenCreate | Operation::ServerBackup)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::command::Role;
    use crate::protocol::operations::OPERATIONS;
    use crate::protocol::request_id::takes_request_id;

    #[test]
    fn an_id_is_put_in_where_it_is_taken() {
        let mut ids = RequestIds::new();
        let stamped = ids.stamp(
            Operation::TaskSubmit,
            r#"{"title":"a","payload":1.0e5}"#.into(),
        );
        assert!(stamped.starts_with(r#"{"request_id":"cli-"#), "{stamped}");
        assert!(
            stamped.ends_with(r#"-1","title":"a","payload":1.0e5}"#),
            "{stamped}"
        );
        let stamped = ids.stamp(Operation::AgentUpdate, "{}".into());
        assert!(stamped.ends_with(r#"-2"}"#), "{stamped}");
        assert!(serde_json::from_str::<serde_json::Value>(&stamped).is_ok());
    }

    #[test]
    fn a_given_id_is_kept_and_reads_get_none() {
        let mut ids = RequestIds::new();
        for (operation, params) in [
            (
                Operation::TaskSubmit,
                r#"{"request_id":"mine","title":"a"}"#,
            ),
            (Operation::TaskList, "{}"),
            (Operation::SessionOpen, "{}"),
        ] {
            assert_eq!(ids.stamp(operation, params.into()), params);
        }
    }

    #[test]
    fn ids_fit_their_type() {
        let mut ids = RequestIds::new();
        ids.last = u64::MAX - 1;
        let stamped = ids.stamp(Operation::TaskRetry, r#"{"task":1}"#.into());
        let params: crate::protocol::task::TaskRetryParams =
            serde_json::from_str(&stamped).expect("the id fits");
        assert!(params.request_id.is_some());
    }

    /// A new operation that changes something must take a request id, or be listed as one that is
    /// never sent twice.
    #[test]
    fn whatever_changes_something_can_be_repeated_or_is_not() {
        let reads = [Operation::MessageThread, Operation::TokenList];
        for info in OPERATIONS {
            let safe = info.role == Role::Observer
                || reads.contains(&info.operation)
                || takes_request_id(info.operation)
                || info.operation == Operation::SessionOpen
                || !is_repeatable(info.operation);
            assert!(safe, "{}", info.name);
        }
    }
}
