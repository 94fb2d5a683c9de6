//! Pictures of the report: seeds beside each other on single images.

use rayon::prelude::*;

use crate::config::EvalConfig;
use crate::data::color_map;
use crate::error::Result;
use crate::eval::AbsentClass;
use crate::infer;
use crate::report::{Gallery, GalleryRow, Layer, Pen, PictureFormat, extremes, side_for, spaced};
use crate::run::compare::CompareOptions;
use crate::run::report::{Comparison, Unit};
use crate::run::seeds::array_path;

/// Images per gallery, of one baseline and of each of several.
const GALLERY_ROWS: [usize; 2] = [6, 4];

/// Galleries of every baseline: images across the split, those its last method is worst and best on, and those it gains
/// and loses most on.
pub(crate) fn galleries(options: &CompareOptions<'_>, comparison: &Comparison<'_>) -> Result<Vec<Gallery>> {
    let plan = comparison.plan;
    let several = plan.columns.len() > 1;
    let mut chosen = Vec::new();
    for (index, column) in plan.columns.iter().enumerate() {
        // Pictures show the first repeat of every method.
        let cells = (0..plan.cells.len()).filter(|cell| plan.cells[*cell].column == index);
        let shown: Vec<&Unit> = cells.filter_map(|cell| comparison.of_cell(cell).first().copied()).collect();
        let of = if several { format!(", {}", column.name) } else { String::new() };
        let baseline = Shown { options, eval: &column.config.eval, units: shown };
        let choices = baseline.choices(GALLERY_ROWS[usize::from(several)], &of);
        chosen.extend(choices.into_iter().map(|choice| (baseline.clone(), choice)));
    }
    let pictures = chosen.iter().map(|(of, choice)| (of.units.len() + 2) * choice.images.len()).sum();
    let side = side_for(pictures);
    chosen.into_iter().map(|(of, choice)| of.gallery(choice, side)).collect()
}

/// Images of a gallery.
struct Choice {
    title: String,
    note: &'static str,
    images: Vec<usize>,
}

/// Trainings beside each other, one per method of a baseline.
#[derive(Clone)]
struct Shown<'a> {
    options: &'a CompareOptions<'a>,
    eval: &'a EvalConfig,
    units: Vec<&'a Unit>,
}

impl Shown<'_> {
    fn choices(&self, rows: usize, of: &str) -> Vec<Choice> {
        let (Some(first), Some(last)) = (self.units.first(), self.units.last()) else { return Vec::new() };
        let images = 0..self.options.dataset.len();
        let mut choices = vec![Choice {
            title: format!("A look across the split{of}"),
            note: "Images evenly spaced in the list.",
            images: spaced(images.len(), rows),
        }];
        let ious: Vec<Option<f64>> = images.clone().map(|image| self.image_iou(last, image)).collect();
        let (worst, best) = extremes(&ious, rows);
        for (word, images) in [("Worst", worst), ("Best", best)] {
            let note = "By mean IoU of the classes an image or its seeds have, at the method's best score.";
            choices.push(Choice { title: format!("{word} images of {}", last.title), note, images });
        }
        if self.units.len() > 1 {
            let gain = |image: usize| Some(ious[image]? - self.image_iou(first, image)?);
            let (losses, gains) = extremes(&images.map(gain).collect::<Vec<_>>(), rows);
            for (word, images) in [("gains most", gains), ("loses most", losses)] {
                let note = "By mean IoU of the classes an image or its seeds have, each method at its best score.";
                let title = format!("Where {} {word} over {}", last.title, first.title);
                choices.push(Choice { title, note, images });
            }
        }
        choices.retain(|choice| !choice.images.is_empty());
        choices
    }

    // Over the classes the image or its seeds have, whatever the convention for whole splits.
    fn image_iou(&self, unit: &Unit, image: usize) -> Option<f64> {
        let index = unit.scores.curve.best(self.eval.absent_class)?.index;
        unit.scores.images.get(image)?.class_counts(index)?.mean_iou(AbsentClass::Skipped)
    }

    fn gallery(&self, choice: Choice, side: u32) -> Result<Gallery> {
        let mut columns = vec!["image".to_string(), "ground truth".to_string()];
        columns.extend(self.units.iter().map(|unit| unit.title.clone()));
        let rows: Vec<Result<GalleryRow>> = choice.images.par_iter().map(|image| self.row(*image, side)).collect();
        let rows = rows.into_iter().collect::<Result<_>>()?;
        Ok(Gallery { title: choice.title, note: choice.note.to_string(), columns, rows })
    }

    fn row(&self, index: usize, side: u32) -> Result<GalleryRow> {
        let dataset = &self.options.dataset;
        let image = dataset.image(index)?;
        let mask = dataset.mask(index)?;
        let mut labels = Vec::new();
        for unit in &self.units {
            let maps = infer::read_seeds(&array_path(&unit.seeds, dataset.name(index)))?;
            let best = unit.scores.curve.best(self.eval.absent_class);
            let score = best.map_or(self.eval.background_score, |best| best.threshold);
            labels.push((maps.labels(score as f32), self.image_iou(unit, index)));
        }
        let mut layers = vec![Layer::Image, Layer::Labels { labels: &mask.data, mean_iou: None }];
        layers.extend(labels.iter().map(|(labels, mean_iou)| Layer::Labels { labels, mean_iou: *mean_iou }));
        let classes: Vec<usize> = dataset.labels(index).iter().map(|class| class + 1).collect();
        let palette = color_map();
        let pen = Pen { palette: &palette, max_side: side, format: PictureFormat::Jpeg };
        GalleryRow::draw(dataset.name(index), &classes, &image, &layers, pen)
    }
}
