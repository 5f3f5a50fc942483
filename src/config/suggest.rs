//! "Did you mean": the nearest of the known words.

use strsim::osa_distance;

/// How many letters may differ; more and a guess is worse than none.
const EDITS_MAX: usize = 3;

/// Longer words are nobody's slip of the keyboard, and comparing them would take long.
const WORD_CHARS_MAX: usize = 80;

/// The known word closest to `word`: one that it begins, or one that few edits lead to.
pub(super) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if word.chars().count() > WORD_CHARS_MAX {
        return None;
    }
    let word = word.to_ascii_lowercase();
    known
        .into_iter()
        .filter_map(|candidate| {
            let edits = osa_distance(&word, &candidate.to_ascii_lowercase());
            // Short words are all close to one another.
            let allowed = EDITS_MAX.min(candidate.chars().count() / 3);
            let part_of = word.len() > 2 && candidate.to_ascii_lowercase().starts_with(&word);
            (edits <= allowed || part_of).then_some((edits, candidate))
        })
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, candidate)| candidate)
}
