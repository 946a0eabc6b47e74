//! Columns in line with each other, for people. Scripts use JSON: widths and columns of tables may change.

use std::io::{self, Write};

use anstyle::Style;

use super::escape;

/// Where a column's text stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Align {
    Left,
    Right,
}

/// A table that is printed when all its rows are known.
pub(crate) struct Table {
    columns: Vec<(&'static str, Align)>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new(columns: impl Into<Vec<(&'static str, Align)>>) -> Self {
        Self { columns: columns.into(), rows: Vec::new() }
    }

    /// Control characters are made visible: what a file or a label is called must not move the cursor.
    pub(crate) fn push<const N: usize>(&mut self, row: [String; N]) {
        self.push_row(&row);
    }

    /// The same for tables whose columns depend on what is shown.
    pub(crate) fn push_row(&mut self, row: &[String]) {
        assert_eq!(row.len(), self.columns.len(), "a row has a cell for each column");
        self.rows.push(row.iter().map(|cell| escape(cell).into_owned()).collect());
    }

    /// Rows.
    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    pub(crate) fn print(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut widths: Vec<usize> = self.columns.iter().map(|(title, _)| width(title)).collect();
        for row in &self.rows {
            for (widest, cell) in widths.iter_mut().zip(row) {
                *widest = width(cell).max(*widest);
            }
        }
        let bold = Style::new().bold();
        let titles: Vec<String> = self.columns.iter().map(|(title, _)| (*title).to_owned()).collect();
        writeln!(out, "{bold}{}{bold:#}", self.line(&titles, &widths))?;
        self.rows.iter().try_for_each(|row| writeln!(out, "{}", self.line(row, &widths)))
    }

    fn line(&self, cells: &[String], widths: &[usize]) -> String {
        let mut line = String::new();
        for (index, ((cell, (_, align)), column_width)) in cells.iter().zip(&self.columns).zip(widths).enumerate() {
            if index > 0 {
                line.push_str("  ");
            }
            let padding = " ".repeat(column_width - width(cell));
            match align {
                Align::Left => line.extend([cell.as_str(), &padding]),
                Align::Right => line.extend([padding.as_str(), cell]),
            }
        }
        line.truncate(line.trim_end().len());
        line
    }
}

/// Names and their values, one a line: what describes a single thing.
pub(crate) fn print_fields(out: &mut dyn Write, fields: &[(&str, String)]) -> io::Result<()> {
    let widest = fields.iter().map(|(name, _)| width(name)).max().unwrap_or(0);
    for (name, value) in fields {
        let padding = " ".repeat(widest - width(name));
        writeln!(out, "{name}:{padding}  {}", escape(value))?;
    }
    Ok(())
}

fn width(text: &str) -> usize {
    text.chars().count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_control_characters_are_shown() {
        let mut table = Table::new([("NAME", Align::Left), ("SIZE", Align::Right), ("NOTE", Align::Left)]);
        table.push(["a".to_owned(), "1 B".to_owned(), String::new()]);
        table.push(["ß\n\x1b[2J".to_owned(), "10.0 KiB".to_owned(), "x".to_owned()]);
        let mut out = Vec::new();
        table.print(&mut out).unwrap();
        let plain = anstream::adapter::strip_bytes(&out).into_vec();
        assert_eq!(
            String::from_utf8(plain).unwrap(),
            "NAME              SIZE  NOTE\na                  1 B\nß\\n\\u{1b}[2J  10.0 KiB  x\n"
        );
    }
}
