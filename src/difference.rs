//! A unified diff of two texts, line by line. Pure.

use similar::algorithms::{Capture, Compact, Replace, myers};
use similar::udiff::UnifiedHunkHeader;
use similar::{ChangeTag, group_diff_ops};

/// Empty if the texts are equal; `context_lines` are shown around each change. It names its algorithm, because the
/// library's `TextDiff` would link all algorithms, half a megabyte.
pub fn unified(from: &str, to: &str, names: (&str, &str), context_lines: usize) -> String {
    let old: Vec<&str> = from.split_inclusive('\n').collect();
    let new: Vec<&str> = to.split_inclusive('\n').collect();
    let mut found = Compact::new(Replace::new(Capture::new()), &old, &new);
    let (all_old, all_new) = (0..old.len(), 0..new.len());
    let Ok(()) = myers::diff_deadline_raw(&mut found, &old, all_old, &new, all_new, None);
    let ops = found.into_inner().into_inner().into_ops();
    let mut text = String::new();
    for hunk in group_diff_ops(ops, context_lines) {
        if text.is_empty() {
            text = format!("--- {}\n+++ {}\n", names.0, names.1);
        }
        text += &UnifiedHunkHeader::new(&hunk).to_string();
        text.push('\n');
        for change in hunk.iter().flat_map(|part| part.iter_changes(&old, &new)) {
            text.push(match change.tag() {
                ChangeTag::Equal => ' ',
                ChangeTag::Delete => '-',
                ChangeTag::Insert => '+',
            });
            text += change.value();
            if !change.value().ends_with('\n') {
                text += "\n\\ No newline at end of file\n";
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::unified;

    #[test]
    fn a_difference_is_shown_with_its_surroundings_and_nothing_else() {
        let was = "a\nb\nc\nd\ne\nf\ng\nh\ni\nj\n";
        let is = "a\nb\nc\nD\ne\nf\ng\nh\ni\nj\nk\n";
        let shown = "--- applied\n+++ loaded\n\
            @@ -2,5 +2,5 @@\n b\n c\n-d\n+D\n e\n f\n\
            @@ -9,2 +9,3 @@\n i\n j\n+k\n";
        assert_eq!(unified(was, is, ("applied", "loaded"), 2), shown);
        assert_eq!(unified(was, was, ("applied", "loaded"), 2), "");
        assert_eq!(unified("", "", ("applied", "loaded"), 2), "");
        let all = "--- a\n+++ b\n@@ -0,0 +1 @@\n+x\n";
        assert_eq!(unified("", "x\n", ("a", "b"), 2), all);
    }

    #[test]
    fn a_last_line_without_its_end_is_told_as_diff_tells_it() {
        let shown = "--- a\n+++ b\n@@ -1 +1 @@\n-x\n+x\n\\ No newline at end of file\n";
        assert_eq!(unified("x\n", "x", ("a", "b"), 3), shown);
    }
}
