//! Pictures of the report: seeds beside each other on single images.

use crate::config::EvalConfig;
use crate::data::color_map;
use crate::error::Result;
use crate::eval::AbsentClass;
use crate::infer;
use crate::report::{Gallery, GalleryRow, Layer, Pen, PictureFormat, extremes};
use crate::run::compare::CompareOptions;
use crate::run::report::{Comparison, Unit};
use crate::run::seeds::array_path;

/// Longest side of a picture in the report, pixels.
const PICTURE_SIDE: u32 = 160;
/// Images per gallery.
const GALLERY_ROWS: usize = 6;

/// Galleries of every baseline: images across the split, and those its last method gains and loses most on.
pub(crate) fn galleries(options: &CompareOptions<'_>, comparison: &Comparison<'_>) -> Result<Vec<Gallery>> {
    let plan = comparison.plan;
    let mut all = Vec::new();
    for (index, column) in plan.columns.iter().enumerate() {
        // Pictures show the first repeat of every method.
        let cells = (0..plan.cells.len()).filter(|cell| plan.cells[*cell].column == index);
        let shown: Vec<&Unit> = cells.filter_map(|cell| comparison.of_cell(cell).first().copied()).collect();
        if !shown.is_empty() {
            let of = if plan.columns.len() > 1 { format!(", {}", column.name) } else { String::new() };
            all.extend(of_baseline(options, &column.config.eval, &shown, &of)?);
        }
    }
    Ok(all)
}

fn of_baseline(options: &CompareOptions<'_>, eval: &EvalConfig, shown: &[&Unit], of: &str) -> Result<Vec<Gallery>> {
    let images = options.dataset.len();
    let spaced: Vec<usize> = (0..GALLERY_ROWS.min(images)).map(|i| i * images / GALLERY_ROWS.min(images)).collect();
    let (title, note) = (format!("A look across the split{of}"), "Images evenly spaced in the list.");
    let mut galleries = vec![gallery(options, eval, shown, title, note.to_string(), &spaced)?];
    if let (Some(first), Some(last)) = (shown.first(), shown.last().filter(|_| shown.len() > 1)) {
        let (losses, gains) = extremes(&gains(options, eval.absent_class, first, last), GALLERY_ROWS);
        for (word, images) in [("gains most", gains), ("loses most", losses)] {
            let title = format!("Where {} {word} over {}", last.title, first.title);
            let note = "By mean IoU of the classes an image or its seeds have, each method at its best score.";
            galleries.push(gallery(options, eval, shown, title, note.to_string(), &images)?);
        }
    }
    Ok(galleries)
}

fn gains(options: &CompareOptions<'_>, absent: AbsentClass, reference: &Unit, candidate: &Unit) -> Vec<Option<f64>> {
    let gain = |image| Some(image_iou(candidate, image, absent)? - image_iou(reference, image, absent)?);
    (0..options.dataset.len()).map(gain).collect()
}

// Over the classes the image or its seeds have, whatever the convention for whole splits.
fn image_iou(unit: &Unit, image: usize, absent: AbsentClass) -> Option<f64> {
    let index = unit.scores.curve.best(absent)?.index;
    unit.scores.images.get(image)?.class_counts(index)?.mean_iou(AbsentClass::Skipped)
}

fn gallery(
    options: &CompareOptions<'_>,
    eval: &EvalConfig,
    shown: &[&Unit],
    title: String,
    note: String,
    images: &[usize],
) -> Result<Gallery> {
    let mut columns = vec!["image".to_string(), "ground truth".to_string()];
    columns.extend(shown.iter().map(|unit| unit.title.clone()));
    let rows = images.iter().map(|image| row(options, eval, shown, *image)).collect::<Result<_>>()?;
    Ok(Gallery { title, note, columns, rows })
}

fn row(options: &CompareOptions<'_>, eval: &EvalConfig, shown: &[&Unit], index: usize) -> Result<GalleryRow> {
    let dataset = &options.dataset;
    let absent = eval.absent_class;
    let palette = color_map();
    let image = dataset.image(index)?;
    let mask = dataset.mask(index)?;
    let mut labels = Vec::new();
    for unit in shown {
        let maps = infer::read_seeds(&array_path(&unit.seeds, dataset.name(index)))?;
        let best = unit.scores.curve.best(absent).map_or(eval.background_score, |best| best.threshold);
        labels.push((maps.labels(best as f32), image_iou(unit, index, absent)));
    }
    let mut layers = vec![Layer::Image, Layer::Labels { labels: &mask.data, mean_iou: None }];
    layers.extend(labels.iter().map(|(labels, mean_iou)| Layer::Labels { labels, mean_iou: *mean_iou }));
    let classes: Vec<usize> = dataset.labels(index).iter().map(|class| class + 1).collect();
    let pen = Pen { palette: &palette, max_side: PICTURE_SIDE, format: PictureFormat::Png };
    GalleryRow::draw(dataset.name(index), &classes, &image, &layers, pen)
}
