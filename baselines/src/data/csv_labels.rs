//! Image-level labels in a CSV.
//!
//! ```text
//! id,cat,dog            image,labels           image,labels,split
//! a,1,0                 a.jpg,cat              a,cat,train
//! b,1,1                 b.jpg,cat dog          b,cat|dog,val
//! ```
//!
//! The first column names the image, with or without extension. A column `labels` holds the names of its classes,
//! apart by spaces, `;`, `|` or, in quotes, commas; without such a column every other one but `split` is a class of 0
//! and 1.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use csv::{ReaderBuilder, StringRecord};

use crate::data::classes::{BACKGROUND_NAME, CLASSES_FILE, expect_count};
use crate::data::image_folder::without_extension;
use crate::data::text::{is_plain, read_text};
use crate::error::{Error, Result};

/// Columns that hold names of classes.
const NAME_COLUMNS: [&str; 4] = ["labels", "label", "classes", "class"];
const SPLIT_COLUMN: &str = "split";
/// What may stand between columns; the header shows which does.
const DELIMITERS: [char; 3] = [',', ';', '\t'];
/// What may stand between names of classes, beside spaces.
const SEPARATORS: [char; 3] = [';', '|', ','];

/// Which classes labels are about.
#[derive(Clone, Copy)]
pub(super) struct KnownClasses<'a> {
    /// Those of `classes.txt`; a header must have the same.
    pub(super) listed: Option<&'a [String]>,
    /// Those names mean where neither file nor header says.
    pub(super) usual: Option<&'a [String]>,
}

/// A CSV as far as it can be read.
pub(super) struct CsvLabels {
    /// Classes the labels are indices of.
    pub(super) class_names: Vec<String>,
    /// Its images in their order, each once.
    pub(super) rows: Vec<Row>,
    /// Whether it says which split an image belongs to.
    pub(super) has_splits: bool,
    /// Rows that make no sense.
    pub(super) problems: Vec<Error>,
}

/// An image of a CSV.
pub(super) struct Row {
    pub(super) name: String,
    /// Ascending.
    pub(super) labels: Vec<usize>,
    /// Empty where there is no such column.
    pub(super) split: String,
}

/// Reads a CSV of image-level labels.
///
/// # Errors
/// When it is missing, no text, has no rows, or its header makes no sense; what is wrong with single rows is returned
/// beside those that are right.
pub(super) fn read_csv_labels(path: &Path, known: KnownClasses<'_>) -> Result<CsvLabels> {
    let text = read_text(path, "a CSV of image-level labels")?;
    let header = text.lines().next().unwrap_or_default();
    let delimiter = DELIMITERS.into_iter().find(|delimiter| header.contains(*delimiter)).unwrap_or(',');
    let mut reader = ReaderBuilder::new().flexible(true).delimiter(delimiter as u8).from_reader(text.as_bytes());
    let malformed = |err: csv::Error| Error::data(path, format!("malformed CSV: {err}"));
    let header: Vec<String> = reader.headers().map_err(malformed)?.iter().map(|name| name.trim().to_string()).collect();
    let records: Vec<StringRecord> = reader.into_records().collect::<Result<_, _>>().map_err(malformed)?;
    if records.is_empty() {
        return Err(Error::data(path, "expected a header and a row for each image, there is no row"));
    }
    let columns = Columns::new(path, &header, known, &records)?;
    let mut table = CsvLabels {
        class_names: columns.class_names.clone(),
        rows: Vec::new(),
        has_splits: columns.split.is_some(),
        problems: Vec::new(),
    };
    let mut first = BTreeMap::new();
    for record in &records {
        let line = record.position().map_or(0, |start| line_of(&text, start));
        let row = columns.row(record).and_then(|row| match first.insert(row.name.clone(), line) {
            Some(before) => Err(format!("`{}` is there already, on line {before}", row.name)),
            None => Ok(row),
        });
        match row {
            Ok(row) => table.rows.push(row),
            Err(reason) => table.problems.push(Error::data(path, format!("line {line}: {reason}"))),
        }
    }
    Ok(table)
}

// Blank lines before a record are its own to the reader.
fn line_of(text: &str, start: &csv::Position) -> usize {
    let rest = usize::try_from(start.byte()).ok().and_then(|byte| text.as_bytes().get(byte..)).unwrap_or_default();
    let blank = rest.iter().take_while(|byte| b"\r\n".contains(byte)).filter(|byte| **byte == b'\n').count();
    usize::try_from(start.line()).unwrap_or(usize::MAX).saturating_add(blank)
}

/// What the columns mean.
struct Columns {
    len: usize,
    class_names: Vec<String>,
    split: Option<usize>,
    form: Form,
}

enum Form {
    /// Column and class of each column of 0 and 1.
    Values(Vec<(usize, usize)>),
    /// The column with names.
    Names(usize),
}

impl Columns {
    fn new(path: &Path, header: &[String], known: KnownClasses<'_>, records: &[StringRecord]) -> Result<Self> {
        let find = |names: &[&str]| {
            (1..header.len()).find(|at| names.iter().any(|name| header[*at].eq_ignore_ascii_case(name)))
        };
        let split = find(&[SPLIT_COLUMN]);
        let (form, class_names) = match find(&NAME_COLUMNS) {
            Some(column) => {
                if let Some(other) = (1..header.len()).find(|at| *at != column && Some(*at) != split) {
                    let reason = format!(
                        "line 1: expected the columns image, {} and perhaps {SPLIT_COLUMN}; got `{}` as well",
                        header[column], header[other]
                    );
                    return Err(Error::data(path, reason));
                }
                let of = |record: &StringRecord| record.get(column).unwrap_or_default().to_string();
                let cells: Vec<String> = records.iter().map(of).collect();
                let spaces = !cells.iter().any(|cell| cell.contains(SEPARATORS));
                let class_names = known.listed.or(known.usual).map_or_else(|| names_in(&cells, spaces), <[_]>::to_vec);
                (Form::Names(column), class_names)
            }
            None => value_columns(path, header, split, known.listed)?,
        };
        expect_count(path, &class_names, "a column each or names in the column of labels")?;
        Ok(Self { len: header.len(), class_names, split, form })
    }

    fn row(&self, record: &StringRecord) -> Result<Row, String> {
        if record.len() != self.len {
            return Err(format!("expected {} values as in the header, got {}", self.len, record.len()));
        }
        let cell = |at: usize| record.get(at).unwrap_or_default().trim();
        let name = without_extension(cell(0));
        if !is_plain(name) {
            return Err(format!("expected the name of an image without its folder, got `{}`", cell(0).escape_debug()));
        }
        let labels = match &self.form {
            Form::Values(columns) => self.of_values(columns, cell)?,
            Form::Names(column) => self.of_names(cell(*column))?,
        };
        let split = self.split.map_or("", cell).to_string();
        Ok(Row { name: name.to_string(), labels, split })
    }

    fn of_values<'a>(&self, columns: &[(usize, usize)], cell: impl Fn(usize) -> &'a str) -> Result<Vec<usize>, String> {
        let mut labels = Vec::new();
        for &(column, class) in columns {
            match cell(column) {
                "0" | "0.0" => {}
                "1" | "1.0" => labels.push(class),
                other => return Err(format!("expected 0 or 1 for `{}`, got `{other}`", self.class_names[class])),
            }
        }
        labels.sort_unstable();
        Ok(labels)
    }

    fn of_names(&self, cell: &str) -> Result<Vec<usize>, String> {
        let class_of = |name: &str| self.class_names.iter().position(|known| known == name);
        let mut labels = BTreeSet::new();
        for piece in cell.split(SEPARATORS).map(str::trim).filter(|piece| !piece.is_empty()) {
            // A name may have spaces itself.
            if let Some(class) = class_of(piece) {
                labels.insert(class);
                continue;
            }
            for word in piece.split_whitespace() {
                labels.insert(
                    class_of(word)
                        .ok_or_else(|| format!("unknown class `{word}`; known: {}", self.class_names.join(", ")))?,
                );
            }
        }
        Ok(labels.into_iter().collect())
    }
}

fn names_in(cells: &[String], spaces: bool) -> Vec<String> {
    let apart = |c: char| SEPARATORS.contains(&c) || (spaces && c.is_whitespace());
    let names: BTreeSet<&str> = cells.iter().flat_map(|cell| cell.split(apart)).map(str::trim).collect();
    names.into_iter().filter(|name| !name.is_empty()).map(str::to_string).collect()
}

fn value_columns(
    path: &Path,
    header: &[String],
    split: Option<usize>,
    listed: Option<&[String]>,
) -> Result<(Form, Vec<String>)> {
    let is_class = |at: &usize| Some(*at) != split && header[*at] != BACKGROUND_NAME;
    let columns: Vec<usize> = (1..header.len()).filter(is_class).collect();
    let own: Vec<String> = columns.iter().map(|at| header[*at].clone()).collect();
    let bad = |reason: String| Err(Error::data(path, format!("line 1: {reason}")));
    if let Some(at) = columns.iter().find(|at| header[**at].is_empty()) {
        return bad(format!("expected the name of a class, column {} has none", at + 1));
    }
    if let Some(twice) = (0..own.len()).find(|at| own[..*at].contains(&own[*at])) {
        return bad(format!("class `{}` is there twice", own[twice]));
    }
    let class_names = listed.map_or_else(|| own.clone(), <[_]>::to_vec);
    if let Some(unknown) = own.iter().find(|name| !class_names.contains(name)) {
        return bad(format!("class `{unknown}` is not in {CLASSES_FILE}: {}", class_names.join(", ")));
    }
    if let Some(missing) = class_names.iter().find(|name| !own.contains(name)) {
        return bad(format!("class `{missing}` of {CLASSES_FILE} has no column; there are: {}", own.join(", ")));
    }
    let class_of = |name: &String| class_names.iter().position(|known| known == name).unwrap_or_default();
    Ok((Form::Values(columns.iter().map(|at| (*at, class_of(&header[*at]))).collect()), class_names))
}
