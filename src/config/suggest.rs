//! "Did you mean": the nearest of the known words.

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
            let edits = distance(&word, &candidate.to_ascii_lowercase());
            // Short words are all close to one another.
            let allowed = EDITS_MAX.min(candidate.chars().count() / 3);
            let part_of = word.len() > 2 && candidate.to_ascii_lowercase().starts_with(&word);
            (edits <= allowed || part_of).then_some((edits, candidate))
        })
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, candidate)| candidate)
}

/// How many letters must be changed, added, left out or swapped with their neighbour.
pub(super) fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            rows[i][j] = match (i, j) {
                (0, edits) | (edits, 0) => edits,
                _ => {
                    let replaced = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
                    replaced.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1)
                }
            };
            let swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
            if swapped {
                rows[i][j] = rows[i][j].min(rows[i - 2][j - 2] + 1);
            }
        }
    }
    rows[a.len()][b.len()]
}
