//! Tables of text: aligned columns for a terminal, Markdown for an issue.

/// Side a column is aligned to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Align {
    /// Words.
    #[default]
    Left,
    /// Numbers.
    Right,
}

/// Rows of cells under a header. Missing cells at the end of a row are empty, surplus ones are dropped.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    columns: Vec<(String, Align)>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// An empty table with these columns.
    pub fn new<'a>(columns: impl IntoIterator<Item = (&'a str, Align)>) -> Self {
        Self { columns: columns.into_iter().map(|(name, align)| (name.to_string(), align)).collect(), rows: Vec::new() }
    }

    /// Adds a row.
    pub fn push(&mut self, cells: impl IntoIterator<Item = impl Into<String>>) {
        let mut row: Vec<String> = cells.into_iter().map(Into::into).collect();
        row.resize(self.columns.len(), String::new());
        self.rows.push(row);
    }

    /// Names and alignments of the columns.
    pub fn columns(&self) -> &[(String, Align)] {
        &self.columns
    }

    /// The rows, all of the header's length.
    pub fn rows(&self) -> &[Vec<String>] {
        &self.rows
    }

    /// Columns padded with spaces, two between them, a rule under the header; every line ends with a line feed.
    pub fn to_text(&self) -> String {
        let widths = self.widths();
        let mut text = String::new();
        let header: Vec<&str> = self.columns.iter().map(|(name, _)| name.as_str()).collect();
        let rule: Vec<String> = widths.iter().map(|width| "-".repeat(*width)).collect();
        self.line(&mut text, &header, &widths);
        self.line(&mut text, &rule, &widths);
        for row in &self.rows {
            self.line(&mut text, row, &widths);
        }
        text
    }

    /// Characters of the longest line of [`Self::to_text`], the padding at its end included.
    pub fn width(&self) -> usize {
        let widths = self.widths();
        widths.iter().sum::<usize>() + 2 * widths.len().saturating_sub(1)
    }

    fn widths(&self) -> Vec<usize> {
        let mut widths: Vec<usize> = self.columns.iter().map(|(name, _)| name.chars().count()).collect();
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        widths
    }

    fn line(&self, text: &mut String, cells: &[impl AsRef<str>], widths: &[usize]) {
        let start = text.len();
        for (index, (cell, width)) in cells.iter().zip(widths).enumerate() {
            let cell = cell.as_ref();
            let pad = " ".repeat(width.saturating_sub(cell.chars().count()));
            let gap = if index == 0 { "" } else { "  " };
            match self.columns[index].1 {
                Align::Left => text.extend([gap, cell, pad.as_str()]),
                Align::Right => text.extend([gap, pad.as_str(), cell]),
            }
        }
        text.truncate(start + text[start..].trim_end().len());
        text.push('\n');
    }

    /// The same as a Markdown table.
    pub fn to_markdown(&self) -> String {
        let row = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
        let mut text = row(self.columns.iter().map(|(name, _)| escape(name)).collect());
        let rule = |(_, align): &(String, Align)| match align {
            Align::Left => ":--".to_string(),
            Align::Right => "--:".to_string(),
        };
        text.push_str(&row(self.columns.iter().map(rule).collect()));
        for cells in &self.rows {
            text.push_str(&row(cells.iter().map(|cell| escape(cell)).collect()));
        }
        text
    }
}

/// A cell is one line, and a bar in it does not end it.
fn escape(cell: &str) -> String {
    cell.replace('\\', "\\\\").replace('|', "\\|").replace(['\n', '\r'], " ")
}
