//! The text format of Prometheus, as far as a probe needs it: is it one, and what does a sample say?

use std::collections::BTreeMap;

/// One sample: its labels and its value.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Sample {
    pub(super) labels: BTreeMap<String, String>,
    pub(super) value: f64,
}

/// Reads a whole page and gives the first sample of that name; the error is the number of the first
/// line that is none of the format.
pub(super) fn find(page: &str, name: &str) -> Result<Option<Sample>, usize> {
    let mut found = None;
    for (i, line) in page.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (named, sample) = sample(line).ok_or(i + 1)?;
        if named == name && found.is_none() {
            found = Some(sample);
        }
    }
    Ok(found)
}

/// `name{label="value",…} value [timestamp]`.
fn sample(line: &str) -> Option<(&str, Sample)> {
    let end = line.find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | ':')))?;
    let (name, rest) = line.split_at(end);
    if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let (labels, rest) = match rest.strip_prefix('{') {
        Some(rest) => labels(rest)?,
        None => (BTreeMap::new(), rest),
    };
    let mut words = rest.split_ascii_whitespace();
    let value = words.next()?.parse().ok()?;
    let timestamp = words.next().is_none_or(|word| word.parse::<i64>().is_ok());
    if !timestamp || words.next().is_some() {
        return None;
    }
    Some((name, Sample { labels, value }))
}

/// What stands between the braces, and the rest of the line.
fn labels(mut rest: &str) -> Option<(BTreeMap<String, String>, &str)> {
    let mut labels = BTreeMap::new();
    loop {
        rest = rest.trim_start();
        if let Some(after) = rest.strip_prefix('}') {
            return Some((labels, after));
        }
        let (name, after) = rest.split_once('=')?;
        let (value, after) = quoted(after.trim_start().strip_prefix('"')?)?;
        labels.insert(name.trim().to_owned(), value);
        rest = after.trim_start();
        rest = rest.strip_prefix(',').unwrap_or(rest);
    }
}

/// A text up to its closing quote, unescaped, and what comes after.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, c)) = characters.next() {
        match c {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => value.push(match characters.next()?.1 {
                'n' => '\n',
                other => other,
            }),
            c => value.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Labels and value.
    type Found<'a> = (&'a [(&'a str, &'a str)], f64);

    fn check(page: &str, expected: Result<Option<Found<'_>>, usize>) {
        let expected = expected.map(|found| {
            found.map(|(labels, value)| Sample {
                labels: labels
                    .iter()
                    .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                    .collect(),
                value,
            })
        });
        assert_eq!(find(page, "up"), expected, "{page:?}");
    }

    #[test]
    fn samples_are_found_with_their_labels() {
        check("# HELP up x\n# TYPE up gauge\nup 1\n", Ok(Some((&[], 1.0))));
        check(
            "down 1\nup{a=\"b\",c=\"\"} 2 123\n",
            Ok(Some((&[("a", "b"), ("c", "")], 2.0))),
        );
        check(
            "up{a=\"q\\\"\\\\\\n,}\",} +Inf",
            Ok(Some((&[("a", "q\"\\\n,}")], f64::INFINITY))),
        );
        check("down NaN\n", Ok(None));
        check("", Ok(None));
    }

    #[test]
    fn what_is_no_such_page_is_told_by_its_line() {
        check("up 1\n<html>\n", Err(2));
        check("up{a=\"b} 1\n", Err(1));
        check("up{a} 1\n", Err(1));
        check("up one\n", Err(1));
        check("up 1 2 3\n", Err(1));
        check("up\n", Err(1));
        check("1up 1\n", Err(1));
        check("{\"a\": 1}\n", Err(1));
    }
}
