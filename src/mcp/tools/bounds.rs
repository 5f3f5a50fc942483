//! What fits into an answer: a model pays for each character, and has a day's answers to remember.

use serde::Serialize;

/// Characters of a list that an answer is about, as JSON.
pub(super) const LIST_CHARS_MAX: usize = 1_400;
/// Characters of a list beside it.
pub(super) const TEXT_CHARS_MAX: usize = 500;

/// The first items that fit together. One is always shown, so that whoever goes through a list gets on.
pub(super) fn fitting<T: Serialize>(
    items: impl IntoIterator<Item = T>,
    chars_max: usize,
) -> Vec<T> {
    let mut shown = Vec::new();
    let mut chars = 0;
    for item in items {
        let json = serde_json::to_string(&item).expect("wire types always encode as JSON");
        chars += json.chars().count() + 1;
        if chars > chars_max && !shown.is_empty() {
            break;
        }
        shown.push(item);
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_items_fit_and_one_is_always_there() {
        assert_eq!(fitting(["aaaa", "bbbb", "c"], 14), ["aaaa", "bbbb"]);
        assert_eq!(fitting(["aaaa", "b"], 2), ["aaaa"]);
        assert_eq!(fitting([""; 0], 2), [""; 0]);
    }
}
