//! Prints an error together with what caused it.

use std::error::Error;

/// On one line: the error, and each cause after a colon.
pub fn one_line(error: &dyn Error) -> String {
    joined(error, ": ")
}

/// The error, and `between` before each cause.
pub fn joined(error: &dyn Error, between: &str) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.extend([between, &error.to_string()]);
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{what}")]
    struct Failure {
        what: &'static str,
        #[source]
        cause: Option<Box<Failure>>,
    }

    #[test]
    fn every_cause_is_told_once() {
        let because = |what, cause: Option<Failure>| Failure {
            what,
            cause: cause.map(Box::new),
        };
        let error = because("a", Some(because("b", Some(because("c", None)))));
        assert_eq!(one_line(&error), "a: b: c");
        assert_eq!(
            joined(&error, "\n  because: "),
            "a\n  because: b\n  because: c"
        );
        assert_eq!(one_line(&because("alone", None)), "alone");
    }
}
