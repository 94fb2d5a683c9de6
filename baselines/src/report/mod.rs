//! Self-contained pages: methods side by side (the same numbers as text, Markdown and JSON), seeds, a training; the
//! pictures in them; and event files for TensorBoard.

mod cautions;
mod chart;
mod color_scale;
mod confusion;
mod csv;
mod curves;
mod events;
mod gallery;
mod html;
mod matrix;
mod methods;
mod model;
mod number;
mod overlay;
mod picture;
mod protocol;
mod seeds_page;
mod sheet;
mod summary;
mod table;
mod training_page;
mod write;

pub use events::EventFile;
pub use gallery::{Layer, Pen, extremes, spaced};
pub use model::{
    BaselineProtocol, Gallery, GalleryRow, LeftOut, LossCurve, Method, OmittedCount, Panel, Protocol, Repeat, Report,
    ReportClass,
};
pub use number::{Number, ScoreRule};
pub use overlay::{draw_heat, draw_labels};
pub(crate) use picture::side_for;
pub use picture::{Picture, PictureFormat};
pub use seeds_page::{SeedsPage, SeedsSource};
pub use summary::MethodSummary;
pub use table::{Align, Table};
pub use training_page::TrainingPage;
