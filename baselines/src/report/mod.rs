//! Methods side by side: one self-contained page, the same numbers as text, Markdown and JSON, and the pictures in it.

mod cautions;
mod chart;
mod csv;
mod curves;
mod gallery;
mod html;
mod matrix;
mod methods;
mod model;
mod number;
mod overlay;
mod picture;
mod protocol;
mod summary;
mod table;
mod write;

pub use gallery::{Layer, Pen, extremes};
pub use model::{
    BaselineProtocol, Gallery, GalleryRow, LeftOut, LossCurve, Method, OmittedCount, Panel, Protocol, Repeat, Report,
    ReportClass,
};
pub use number::{Number, ScoreRule};
pub use overlay::{draw_heat, draw_labels};
pub use picture::{Picture, PictureFormat};
pub use summary::MethodSummary;
pub use table::{Align, Table};
