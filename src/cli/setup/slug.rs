//! Names from what people call things.

const CHARS_MAX: usize = 64;

/// Small letters, digits and single dashes; empty if there is nothing of that in it.
pub(super) fn slug(text: &str) -> String {
    let mut slug = String::new();
    for c in text.chars().flat_map(char::to_lowercase) {
        let is_kept = c.is_ascii_alphanumeric() || matches!(c, '.' | '_');
        if is_kept && (!slug.is_empty() || c.is_ascii_alphanumeric()) {
            slug.push(c);
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
    }
    slug.truncate(CHARS_MAX);
    slug.trim_end_matches(['-', '.']).to_owned()
}

/// What a remote's address says of a repository: its owner and its name.
pub(super) fn of_remote(url: &str) -> String {
    let path = url.trim_end_matches('/').trim_end_matches(".git");
    let path = path.split_once("://").map_or(path, |(_, rest)| rest);
    let mut parts = path.rsplit(['/', ':']).filter(|part| !part.is_empty());
    let name = parts.next().unwrap_or_default();
    // The first part of an address is the host, which owns nothing.
    let owner = parts.next().filter(|_| parts.next().is_some());
    match owner {
        Some(owner) => slug(&format!("{owner}-{name}")),
        None => slug(name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_valid_or_empty() {
        for (text, expected) in [
            ("My App", "my-app"),
            ("_system", "system"),
            ("..", ""),
            ("föö/bar", "f-bar"),
            ("a--b.", "a-b"),
            ("日本", ""),
        ] {
            assert_eq!(slug(text), expected, "{text}");
        }
        assert_eq!(slug(&"x".repeat(100)).len(), CHARS_MAX);
    }

    #[test]
    fn a_remote_gives_owner_and_name() {
        for (url, expected) in [
            ("https://github.com/acme/Web.git", "acme-web"),
            ("git@github.com:acme/web.git", "acme-web"),
            ("ssh://git@host:2222/team/sub/web/", "sub-web"),
            ("/srv/git/web.git", "git-web"),
            ("../web", "web"),
            ("https://host/web", "web"),
            ("", ""),
        ] {
            assert_eq!(of_remote(url), expected, "{url}");
        }
    }
}
