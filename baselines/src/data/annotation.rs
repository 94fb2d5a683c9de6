//! VOC's XML annotations: which objects an image has, and where.

use std::fmt::Write as _;
use std::path::Path;

use roxmltree::{Document, Node};

use crate::data::decode::read_file;
use crate::error::{Error, Result};

/// Pixels of a bounding box, first and last included, counted from 1 as VOC does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BoundingBox {
    /// First column.
    pub x_min: usize,
    /// First row.
    pub y_min: usize,
    /// Last column.
    pub x_max: usize,
    /// Last row.
    pub y_max: usize,
}

/// One object of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// Name of its class.
    pub class: String,
    /// Where it is.
    pub bounds: BoundingBox,
    /// Whether the box is smaller than the object, because something covers it or the image ends.
    pub truncated: bool,
}

/// What [`Annotation::write`] puts into a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Annotation {
    /// Name of the image file.
    pub file_name: String,
    /// Where the image comes from.
    pub source: String,
    /// Width of the image, pixels.
    pub width: usize,
    /// Height of the image, pixels.
    pub height: usize,
    /// Its objects.
    pub objects: Vec<Object>,
}

impl Annotation {
    /// The XML text in VOC's form.
    pub fn write(&self) -> String {
        let mut xml = String::new();
        let Self { file_name, source, width, height, objects } = self;
        // Writing to a string cannot fail.
        let _ = write!(
            xml,
            "<annotation>\n\t<folder>JPEGImages</folder>\n\t<filename>{}</filename>\n\t<source>\n\
             \t\t<database>{}</database>\n\t</source>\n\t<size>\n\t\t<width>{width}</width>\n\
             \t\t<height>{height}</height>\n\t\t<depth>3</depth>\n\t</size>\n\t<segmented>1</segmented>\n",
            escape(file_name),
            escape(source),
        );
        for Object { class, bounds, truncated } in objects {
            let BoundingBox { x_min, y_min, x_max, y_max } = bounds;
            let _ = write!(
                xml,
                "\t<object>\n\t\t<name>{}</name>\n\t\t<pose>Unspecified</pose>\n\t\t<truncated>{}</truncated>\n\
                 \t\t<difficult>0</difficult>\n\t\t<bndbox>\n\t\t\t<xmin>{x_min}</xmin>\n\t\t\t<ymin>{y_min}</ymin>\n\
                 \t\t\t<xmax>{x_max}</xmax>\n\t\t\t<ymax>{y_max}</ymax>\n\t\t</bndbox>\n\t</object>\n",
                escape(class),
                u8::from(*truncated),
            );
        }
        xml.push_str("</annotation>\n");
        xml
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// The image-level labels of an annotation file: the classes of its objects, ascending, each once.
///
/// As in the released code of all four papers an object marked difficult or truncated counts as well. Names of parts
/// (head, hand) inside an object do not.
pub(super) fn read_labels(path: &Path, class_names: &[String]) -> Result<Vec<usize>> {
    let bytes = read_file(path, "an annotation with the image's labels")?;
    let text = std::str::from_utf8(&bytes).map_err(|err| Error::data(path, format!("malformed XML: {err}")))?;
    let document = Document::parse(text).map_err(|err| Error::data(path, format!("malformed XML: {err}")))?;
    let root = document.root_element();
    if !root.has_tag_name("annotation") {
        let reason = format!("expected the XML element `annotation`, got `{}`", root.tag_name().name());
        return Err(Error::data(path, reason));
    }
    let mut labels = Vec::new();
    for object in root.children().filter(|node| node.has_tag_name("object")) {
        labels.push(class_of(path, &document, object, class_names)?);
    }
    labels.sort_unstable();
    labels.dedup();
    Ok(labels)
}

fn class_of(path: &Path, document: &Document<'_>, object: Node<'_, '_>, class_names: &[String]) -> Result<usize> {
    let name = object.children().find(|node| node.has_tag_name("name")).and_then(|node| node.text()).map(str::trim);
    let line = document.text_pos_at(object.range().start).row;
    let Some(name) = name.filter(|name| !name.is_empty()) else {
        return Err(Error::data(path, format!("line {line}: the object has no `name`")));
    };
    class_names.iter().position(|known| known == name).ok_or_else(|| {
        Error::data(path, format!("line {line}: unknown class `{name}`; known: {}", class_names.join(", ")))
    })
}
