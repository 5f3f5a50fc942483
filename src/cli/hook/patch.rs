//! The files of a patch as `apply_patch` takes it.
//!
//! ```text
//! *** Begin Patch
//! *** Update File: src/a.rs
//! *** Move to: src/b.rs
//! @@
//! -old
//! +new
//! *** End Patch
//! ```

use std::path::PathBuf;

const BEGIN: &str = "*** Begin Patch";
const HEADERS: [&str; 4] = [
    "*** Add File: ",
    "*** Update File: ",
    "*** Delete File: ",
    "*** Move to: ",
];

/// The files that a patch writes, moves or deletes, each once; none if the text is no patch. A line of a file
/// begins with a blank, `+` or `-`, but Codex reads headers with blanks before them, so such lines count too: a
/// file too many is safer than one too few.
pub(super) fn paths(text: &str) -> Vec<PathBuf> {
    let mut paths = Vec::new();
    if !text.contains(BEGIN) {
        return paths;
    }
    let mut known = std::collections::BTreeSet::new();
    for line in text.lines().map(str::trim) {
        let name = HEADERS.iter().find_map(|header| line.strip_prefix(header));
        if let Some(name) = name.map(str::trim).filter(|name| !name.is_empty())
            && known.insert(name)
        {
            paths.push(PathBuf::from(name));
        }
    }
    paths
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;

    #[track_caller]
    fn check(patch: &str, expected: &[&str]) {
        let found = paths(patch);
        let found: Vec<&str> = found.iter().filter_map(|path| path.to_str()).collect();
        assert_eq!(found, expected, "{patch}");
    }

    #[test]
    fn every_file_of_a_patch_is_named_once() {
        check("", &[]);
        check("*** Update File: a", &[]);
        check("*** Begin Patch\n*** End Patch", &[]);
        let patch = "*** Begin Patch\n*** Add File: new dir/ä.txt\n+*** Add File: in the text\n\
            *** Update File: a.rs\r\n*** Move to: b.rs\n@@\n-x\n+y\n*** Delete File: c\n*** Update File: a.rs\n\
            *** End Patch\n";
        check(patch, &["new dir/ä.txt", "a.rs", "b.rs", "c"]);
        let shell = format!("apply_patch <<'EOF'\n{patch}EOF");
        check(&shell, &["new dir/ä.txt", "a.rs", "b.rs", "c"]);
        check("*** Begin Patch\n  *** Delete File: c  \n", &["c"]);
    }

    #[test]
    fn a_patch_may_have_hundreds_of_files() {
        let mut patch = String::from("*** Begin Patch\n");
        for n in 0..300 {
            writeln!(patch, "*** Update File: src/{n}.rs\n@@\n-a\n+b").expect("a string takes it");
        }
        assert_eq!(paths(&patch).len(), 300);
    }
}
