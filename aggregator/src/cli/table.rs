//! Aligned columns of text. Characters count as one column each, wide scripts included: names
//! in a fleet are ASCII. Control characters are escaped, so that a label cannot steer the
//! terminal.

use std::io::{self, Write};

use super::format;

const GAP: &str = "  ";

/// Which side of a column its cells keep to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Left,
    Right,
}

/// Columns whose widths grow with what is put in them. The last column is never padded.
pub(super) struct Columns {
    columns: Vec<(Side, usize)>,
}

impl Columns {
    pub(super) fn new(sides: &[Side]) -> Self {
        Self { columns: sides.iter().map(|side| (*side, 0)).collect() }
    }

    /// Makes room for a row; later rows stay aligned with earlier ones only if those were
    /// fitted first.
    pub(super) fn fit(&mut self, row: &[String]) {
        for ((_, width), cell) in self.columns.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }

    /// A row as a line, without its end.
    pub(super) fn line(&self, row: &[String]) -> String {
        let mut line = String::new();
        for (i, ((side, width), cell)) in self.columns.iter().zip(row).enumerate() {
            if i > 0 {
                line.push_str(GAP);
            }
            let pad = " ".repeat(width.saturating_sub(cell.chars().count()));
            match side {
                Side::Left => line.extend([cell.as_str(), &pad]),
                Side::Right => line.extend([&pad, cell.as_str()]),
            }
        }
        line.truncate(line.trim_end().len());
        line
    }
}

/// A table with a header.
pub(super) struct Table {
    sides: Vec<Side>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table of these columns: header and side.
    pub(super) fn new(header: &[(&str, Side)]) -> Self {
        let names = header.iter().map(|(name, _)| (*name).to_owned()).collect();
        Self { sides: header.iter().map(|(_, side)| *side).collect(), rows: vec![names] }
    }

    pub(super) fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells.iter().map(|cell| format::escape(cell)).collect());
    }

    /// Its lines, the header first.
    pub(super) fn lines(&self) -> impl Iterator<Item = String> {
        let mut columns = Columns::new(&self.sides);
        self.rows.iter().for_each(|row| columns.fit(row));
        self.rows.iter().map(move |row| columns.line(row))
    }

    pub(super) fn write(&self, out: &mut impl Write) -> io::Result<()> {
        self.lines().try_for_each(|line| writeln!(out, "{line}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_align_and_the_last_is_not_padded() {
        let mut table = Table::new(&[("NODE", Side::Left), ("N", Side::Right), ("X", Side::Left)]);
        table.row(vec!["a".into(), "100".into(), "long text".into()]);
        table.row(vec!["b\x1b[2J".into(), "7".into(), String::new()]);
        let lines: Vec<_> = table.lines().collect();
        assert_eq!(lines, ["NODE          N  X", "a           100  long text", "b\\u{1b}[2J    7"]);
    }
}
