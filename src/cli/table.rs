//! Aligned columns for people.

use super::text::columns;
pub(super) use super::text::{lines, one_line};

/// The placeholder for an empty cell.
pub(super) const NOTHING: &str = "-";

/// Between two columns.
const GAP: &str = "  ";

/// Rows of cells under headings.
#[derive(Debug)]
pub(super) struct Table {
    headings: Vec<&'static str>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(super) fn new(headings: &[&'static str]) -> Self {
        Self {
            headings: headings.to_vec(),
            rows: Vec::new(),
        }
    }

    pub(super) fn row<const N: usize>(&mut self, cells: &[String; N]) {
        debug_assert_eq!(N, self.headings.len(), "a cell for each heading");
        self.rows
            .push(cells.iter().map(|cell| one_line(cell)).collect());
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The headings and the rows. Cells are not truncated: a program may read the output.
    pub(super) fn render(&self) -> (String, String) {
        let widths: Vec<usize> = (0..self.headings.len())
            .map(|column| self.width(column))
            .collect();
        let heading = line(self.headings.iter().copied(), &widths);
        let mut body = String::new();
        for row in &self.rows {
            body += &line(row.iter().map(String::as_str), &widths);
            body.push('\n');
        }
        (heading, body)
    }

    fn width(&self, column: usize) -> usize {
        let cells = self.rows.iter().map(|row| row[column].as_str());
        let all = cells.chain(std::iter::once(self.headings[column]));
        all.map(columns).max().unwrap_or(0)
    }
}

fn line<'a>(cells: impl Iterator<Item = &'a str>, widths: &[usize]) -> String {
    let mut text = String::new();
    for (cell, width) in cells.zip(widths) {
        let cell = if cell.is_empty() { NOTHING } else { cell };
        let padding = width.saturating_sub(columns(cell));
        text.extend([cell, &" ".repeat(padding), GAP]);
    }
    text.truncate(text.trim_end().len());
    text
}

/// A cell for something that may be absent.
pub(super) fn or_nothing<T: ToString>(value: Option<T>) -> String {
    value.map_or_else(|| NOTHING.to_owned(), |value| value.to_string())
}

/// A cell for several things.
pub(super) fn joined<T: ToString>(values: impl IntoIterator<Item = T>) -> String {
    let texts: Vec<String> = values.into_iter().map(|v| v.to_string()).collect();
    texts.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_empty_cells_shown() {
        let mut table = Table::new(&["ID", "TITLE", "AGE"]);
        table.row(&["1".into(), "größer".into(), "now".into()]);
        table.row(&["1000".into(), String::new(), "3m ago".into()]);
        let (heading, body) = table.render();
        assert_eq!(heading, "ID    TITLE   AGE");
        assert_eq!(body, "1     größer  now\n1000  -       3m ago\n");
    }

    #[test]
    fn escape_sequences_stay_text() {
        let mut table = Table::new(&["TITLE"]);
        table.row(&["a\u{1b}[31mb\nc".into()]);
        assert_eq!(table.render().1, "a\\u{1b}[31mb\\nc\n");
    }

    #[test]
    fn wide_characters_take_two_columns() {
        let mut table = Table::new(&["TITLE", "AGE"]);
        table.row(&["漢字".into(), "1s".into()]);
        table.row(&["🦀🦀🦀".into(), "2s".into()]);
        table.row(&["e\u{301}e\u{301}".into(), "3s".into()]);
        table.row(&["a\u{202e}".into(), "4s".into()]);
        let (_, body) = table.render();
        let expected =
            "漢字       1s\n🦀🦀🦀     2s\ne\u{301}e\u{301}         3s\na\\u{202e}  4s\n";
        assert_eq!(body, expected);
    }
}
