//! An independent decision of path overlap, by trying every path of a small world.

/// What clients lease. Whichever two of them overlap do so on a path of `PATHS`.
pub(crate) const RESOURCES: &[&str] = &[
    "path:a/b",
    "path:a/*",
    "path:*/b",
    "path:a/**",
    "path:**",
    "path:b/*",
    "path:b/a",
    "path:*/*",
    "path:a/a/*",
    "path:**/b",
    "path:a",
    "path:b",
    "file:a/b",
    "file:a/a",
    "file:a/a/b",
    "file:b/a",
    "path:a/?b?",
    "file:a/[b]",
    "file:[ab]/b",
    "file:a/",
    "file:a/a/",
];

/// Those that differ in what a folder covers, or a name means, and in nothing else.
pub(crate) const CLOSE: &[&str] = &["path:a", "file:a/[b]", "path:a/?b?", "file:a/[b]"];

/// Files, as edits name them.
pub(crate) const FILES: &[&str] = &["file:a/b", "file:a/a", "file:a/a/b", "file:b/a"];

/// Worktrees.
pub(crate) const TREES: &[&str] = &["t1", "t2"];

const PATHS: &[&str] = &[
    "a", "b", "a/a", "a/b", "b/a", "b/b", "a/a/a", "a/a/b", "a/b/b", "b/a/b", "b/b/b", "a/[b]",
    "[ab]/b",
];

/// Whether two resources, as clients write them, exclude each other.
pub(crate) fn overlap(one: &str, other: &str) -> bool {
    if is_place(one) && is_place(other) {
        return PATHS.iter().any(|p| means(one, p) && means(other, p));
    }
    one == other
}

/// Whether the first resource protects all that the second one means.
pub(crate) fn contains(outer: &str, inner: &str) -> bool {
    if outer == inner {
        return true;
    }
    if !(is_place(outer) && is_place(inner)) {
        return false;
    }
    // Of a file everything is known; of others, what this small world shows.
    match inner
        .strip_prefix("file:")
        .filter(|name| !name.ends_with('/'))
    {
        Some(name) => means(outer, name),
        None => PATHS.iter().all(|p| !means(inner, p) || means(outer, p)),
    }
}

/// Whether a resource is on paths.
pub(crate) fn is_place(resource: &str) -> bool {
    resource.starts_with("path:") || resource.starts_with("file:")
}

/// Whether a resource means this path.
fn means(resource: &str, path: &str) -> bool {
    if let Some(name) = resource.strip_prefix("file:") {
        let folder = name.strip_suffix('/');
        return path == folder.unwrap_or(name) || (folder.is_some() && path.starts_with(name));
    }
    let glob = resource.strip_prefix("path:").unwrap_or(resource);
    // Without a wildcard at its end, it covers what is below.
    let last = glob.rsplit('/').next().unwrap_or(glob);
    let covers = !last.contains(['*', '?']);
    let folders = path.match_indices('/').map(|(at, _)| &path[..at]);
    matches(glob, path) || (covers && folders.into_iter().any(|folder| matches(glob, folder)))
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
            (*part == "*" || name_matches(part, first)) && parts_match(rest, later)
        }),
    }
}

/// `?` is any one character.
fn name_matches(part: &str, name: &str) -> bool {
    let mut pairs = part.chars().zip(name.chars());
    part.len() == name.len() && pairs.all(|(want, c)| want == '?' || want == c)
}
