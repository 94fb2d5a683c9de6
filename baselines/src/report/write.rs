//! The report in its other forms, and as files.

use std::path::Path;

use candle_wsss::Error;
use serde::Serialize;

use crate::data::write_atomic;
use crate::error::Result;
use crate::report::model::Report;
use crate::report::summary::MethodSummary;

/// What the JSON file holds: the data, and the numbers made of it.
#[derive(Serialize)]
struct Document<'a> {
    summary: Vec<MethodSummary>,
    cautions: Vec<String>,
    report: &'a Report,
}

impl Report {
    /// Protocol and methods as aligned text for a terminal, and classes if wanted.
    ///
    /// # Errors
    /// When the parts of the report do not fit each other.
    pub fn to_text(&self, per_class: bool) -> Result<String> {
        let mut text = format!("{}\n{}\n{}\n\n", self.title, self.protocol.line(), self.protocol.rules());
        text.push_str(&self.matrix_text()?);
        match self.numbers_table() {
            Some(numbers) => text.push_str(&numbers.to_text()),
            None => text.push_str(&self.methods_text()?),
        }
        if let Some(note) = self.numbers_note() {
            text.push_str(&format!("\n{note}\n"));
        }
        if self.groups().len() < 2 && !self.left_out.is_empty() {
            text.push_str(&format!("\n{}", self.left_out_table().to_text()));
        }
        if per_class {
            let of_methods = || self.groups().iter().map(|group| self.classes_table_of(&group.methods)).collect();
            let tables: Vec<_> = self.class_numbers_table().map_or_else(of_methods, |table| vec![table]);
            for table in tables {
                text.push_str(&format!("\n{}", table.to_text()));
            }
        }
        let omitted = self.omitted_table();
        if !omitted.rows().is_empty() {
            text.push_str("\nTerms left out\n");
            text.push_str(&omitted.to_text());
        }
        for caution in self.cautions()? {
            text.push_str(&format!("\nNote: {caution}"));
        }
        text.push('\n');
        Ok(text)
    }

    /// The same in Markdown, to be pasted into an issue.
    ///
    /// # Errors
    /// When the parts of the report do not fit each other.
    pub fn to_markdown(&self) -> Result<String> {
        let mut text = format!("## {}\n\n{}\n{}\n\n", self.title, self.protocol.line(), self.protocol.rules());
        for (title, table) in self.matrices(None)? {
            text.push_str(&format!("### {title}\n\n{}\n", table.to_markdown()));
        }
        text.push_str(&self.methods_table()?.to_markdown());
        text.push('\n');
        if !self.left_out.is_empty() {
            text.push_str(&format!("{}\n", self.left_out_table().to_markdown()));
        }
        for group in self.groups() {
            text.push_str(&format!("{}\n", self.classes_table_of(&group.methods).to_markdown()));
        }
        for caution in self.cautions()? {
            text.push_str(&format!("- {caution}\n"));
        }
        Ok(text)
    }

    /// All data without the pictures, and the summary made of it, as indented JSON.
    ///
    /// # Errors
    /// When the parts of the report do not fit each other.
    pub fn to_json(&self) -> Result<String> {
        let document = Document { summary: self.summaries()?, cautions: self.cautions()?, report: self };
        let json = serde_json::to_string_pretty(&document);
        Ok(json.map_err(|err| Error::value("report", err.to_string()))? + "\n")
    }

    /// Writes [`Self::to_html`] to a file: all of it or nothing.
    ///
    /// # Errors
    /// When the report is inconsistent, or the file cannot be written.
    pub fn write_html(&self, path: &Path) -> Result<()> {
        let page = self.to_html()?;
        write_atomic(path, |file| file.write_all(page.as_bytes()))
    }

    /// Writes [`Self::to_json`] to a file: all of it or nothing.
    ///
    /// # Errors
    /// When the report is inconsistent, or the file cannot be written.
    pub fn write_json(&self, path: &Path) -> Result<()> {
        let json = self.to_json()?;
        write_atomic(path, |file| file.write_all(json.as_bytes()))
    }
}
