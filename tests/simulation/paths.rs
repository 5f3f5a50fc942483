//! An independent decision of path overlap, by trying every path of a small world.

/// Globs that clients lease. Whichever two of them overlap do so on a path of `PATHS`.
pub(crate) const GLOBS: &[&str] = &[
    "a/b", "a/*", "*/b", "a/**", "**", "b/*", "b/a", "*/*", "a/a/*", "**/b",
];

const PATHS: &[&str] = &[
    "a", "b", "a/a", "a/b", "b/a", "b/b", "a/a/a", "a/a/b", "a/b/b", "b/a/b", "b/b/b",
];

/// Whether two resources, as clients write them, exclude each other.
pub(crate) fn overlap(one: &str, other: &str) -> bool {
    match (one.strip_prefix("path:"), other.strip_prefix("path:")) {
        (Some(one), Some(other)) => PATHS.iter().any(|p| matches(one, p) && matches(other, p)),
        _ => one == other,
    }
}

fn matches(glob: &str, path: &str) -> bool {
    let glob: Vec<&str> = glob.split('/').collect();
    let path: Vec<&str> = path.split('/').collect();
    parts_match(&glob, &path)
}

fn parts_match(glob: &[&str], path: &[&str]) -> bool {
    match glob.split_first() {
        None => path.is_empty(),
        // At the end it stands for what is below, which is something.
        Some((&"**", [])) => !path.is_empty(),
        Some((&"**", rest)) => (0..=path.len()).any(|skipped| parts_match(rest, &path[skipped..])),
        Some((part, rest)) => path.split_first().is_some_and(|(first, later)| {
            (*part == "*" || part == first) && parts_match(rest, later)
        }),
    }
}
