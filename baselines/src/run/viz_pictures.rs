//! Pictures of seeds: contact sheets for the page, overlays as files.

use std::collections::BTreeSet;
use std::path::Path;

use candle_wsss::Error as CoreError;
use image::{ImageFormat, RgbImage};
use rayon::prelude::*;

use crate::data::{color_map, write_atomic};
use crate::error::{Error, Result};
use crate::infer::SeedMaps;
use crate::report::{Gallery, GalleryRow, Layer, Pen, PictureFormat, draw_labels, extremes, side_for, spaced};
use crate::run::viz::{Looked, Overlays, Seen, SourceKind, VizOptions, another_size};
use crate::run::{Interrupt, Progress};

/// Folder of overlays inside the folder of the page.
pub const OVERLAYS_FOLDER: &str = "overlays";

/// The contact sheets, and the images they show.
pub(crate) fn galleries(options: &VizOptions<'_>, looked: &[Looked]) -> Result<(Vec<Gallery>, BTreeSet<usize>)> {
    let chosen: Vec<Choice> = choices(options, looked).into_iter().filter(|choice| !choice.images.is_empty()).collect();
    let columns = columns(options, looked);
    let pictures = columns.len() * chosen.iter().map(|choice| choice.images.len()).sum::<usize>();
    let side = side_for(pictures);
    let shown = chosen.iter().flat_map(|choice| choice.images.iter().copied()).collect();
    let gallery = |choice: Choice| -> Result<Gallery> {
        let rows: Vec<Result<GalleryRow>> =
            choice.images.par_iter().map(|index| row(options, looked, *index, side)).collect();
        let rows = rows.into_iter().collect::<Result<_>>()?;
        Ok(Gallery { title: choice.title, note: choice.note, columns: columns.clone(), rows })
    };
    Ok((chosen.into_iter().map(gallery).collect::<Result<_>>()?, shown))
}

/// Images of a contact sheet.
struct Choice {
    title: String,
    note: String,
    images: Vec<usize>,
}

fn choices(options: &VizOptions<'_>, looked: &[Looked]) -> Vec<Choice> {
    let choice = |title: &str, note: &str, images| Choice { title: title.to_string(), note: note.to_string(), images };
    let across =
        choice("A look across", "Images evenly spaced in the list.", spaced(options.dataset.len(), options.rows));
    let (Some(first), Some(last)) = (looked.first(), looked.last()) else { return vec![across] };
    let of = if looked.len() > 1 { format!(" of {}", first.source.name) } else { String::new() };
    if !options.dataset.has_masks() {
        let shares: Vec<Option<f64>> = first.foreground.iter().copied().map(Some).collect();
        let (least, most) = extremes(&shares, options.rows);
        let note = "By the share of pixels that is foreground.";
        let titles = [format!("Least foreground{of}"), format!("Most foreground{of}")];
        return vec![choice(&titles[0], note, least), choice(&titles[1], note, most), across];
    }
    let (worst, best) = extremes(&first.image_ious, options.rows);
    let note = "By mean IoU of the classes an image or its seeds have, at the background score shown.";
    let titles = [format!("Worst images{of}"), format!("Best images{of}")];
    let mut all = vec![choice(&titles[0], note, worst), choice(&titles[1], note, best)];
    if looked.len() > 1 {
        let gain = |(own, other): (&Option<f64>, &Option<f64>)| Some((*own)? - (*other)?);
        let gains: Vec<Option<f64>> = last.image_ious.iter().zip(&first.image_ious).map(gain).collect();
        let (losses, gains) = extremes(&gains, options.rows);
        let title = |word: &str| format!("Where {} {word} most over {}", last.source.name, first.source.name);
        all.push(choice(&title("gains"), note, gains));
        all.push(choice(&title("loses"), note, losses));
    }
    all.push(across);
    all
}

fn columns(options: &VizOptions<'_>, looked: &[Looked]) -> Vec<String> {
    let mut columns = vec!["image".to_string()];
    if options.dataset.has_masks() {
        columns.push("ground truth".to_string());
    }
    for of in looked {
        match of.source.kind {
            SourceKind::Seeds => {
                columns.push(format!("{} at {}", of.source.name, of.score));
                columns.push(format!("{}, scores", of.source.name));
            }
            SourceKind::Masks => columns.push(of.source.name.clone()),
        }
    }
    columns
}

fn row(options: &VizOptions<'_>, looked: &[Looked], index: usize, side: u32) -> Result<GalleryRow> {
    let dataset = options.dataset;
    let image = dataset.image(index)?;
    let truth = dataset.has_masks().then(|| dataset.mask(index)).transpose()?;
    let seen = looked.iter().map(|of| read(options, of, index, &image)).collect::<Result<Vec<Seen>>>()?;
    let labels: Vec<Vec<u8>> = seen.iter().zip(looked).map(|(seen, of)| seen.labels(of.score)).collect();
    // One class in a row, to be compared; that of the first seeds, where the others have it.
    let seeds = seen.iter().zip(looked).find(|(_, of)| of.source.kind == SourceKind::Seeds);
    let first = seeds.and_then(|(seen, _)| strongest(&seen.maps));
    let heat_of = |maps: &SeedMaps| first.filter(|class| maps.classes().contains(class)).or_else(|| strongest(maps));
    let blank = vec![0f32; image.width() as usize * image.height() as usize];
    let mut layers = vec![Layer::Image];
    layers.extend(truth.iter().map(|mask| Layer::Labels { labels: &mask.data, mean_iou: None }));
    let mut captions = Vec::new();
    for ((of, seen), labels) in looked.iter().zip(&seen).zip(&labels) {
        let mean_iou = of.image_ious.get(index).copied().flatten();
        layers.push(Layer::Labels { labels, mean_iou });
        if of.source.kind == SourceKind::Seeds {
            let class = heat_of(&seen.maps);
            let name = class.and_then(|class| dataset.class_names().get(class)).map_or("no class", String::as_str);
            captions.push((layers.len(), name));
            layers.push(Layer::Heat(class.and_then(|class| seen.maps.map(class)).unwrap_or(&blank)));
        }
    }
    // Those an image is labelled with first; seeds of other tools may have others.
    let own = dataset.labels(index).iter().map(|class| class + 1);
    let mut classes: Vec<usize> = own.chain(seen.iter().flat_map(|s| s.maps.classes().iter().map(|c| c + 1))).collect();
    let mut known = BTreeSet::new();
    classes.retain(|class| known.insert(*class));
    let palette = color_map();
    let pen = Pen { palette: &palette, max_side: side, format: PictureFormat::Jpeg };
    let mut row = GalleryRow::draw(dataset.name(index), &classes, &image, &layers, pen)?;
    captions.into_iter().for_each(|(panel, name)| row.set_caption(panel, name));
    Ok(row)
}

fn read(options: &VizOptions<'_>, of: &Looked, index: usize, image: &RgbImage) -> Result<Seen> {
    let seen = of.source.read(options.dataset, index)?;
    let (expected, got) = ((image.width() as usize, image.height() as usize), (seen.maps.width(), seen.maps.height()));
    if expected == got {
        return Ok(seen);
    }
    Err(another_size(&of.source.path(options.dataset.name(index)), expected, got))
}

/// The class with the largest sum of scores, the lowest of equal ones; `None` without classes.
fn strongest(maps: &SeedMaps) -> Option<usize> {
    let mut best: Option<(usize, f64)> = None;
    for &class in maps.classes() {
        let sum: f64 = maps.map(class).unwrap_or_default().iter().map(|score| f64::from(*score)).sum();
        if best.is_none_or(|(_, most)| sum > most) {
            best = Some((class, sum));
        }
    }
    best.map(|(class, _)| class)
}

/// Writes `overlays/NAME.png` (`overlays/SOURCE/NAME.png` with several sources) at the images' size.
pub(crate) fn write_overlays(
    options: &VizOptions<'_>,
    looked: &[Looked],
    shown: &BTreeSet<usize>,
    folder: &Path,
    progress: &Progress,
    interrupt: &Interrupt,
) -> Result<()> {
    let images: Vec<usize> = match options.overlays {
        Overlays::None => return Ok(()),
        Overlays::Shown => shown.iter().copied().collect(),
        Overlays::All => (0..options.dataset.len()).collect(),
    };
    let palette = color_map();
    let place = |of: &Looked| {
        let all = folder.join(OVERLAYS_FOLDER);
        if looked.len() > 1 { all.join(&of.source.name) } else { all }
    };
    for of in looked {
        std::fs::create_dir_all(place(of)).map_err(Error::io(place(of)))?;
    }
    let bar = progress.bar(OVERLAYS_FOLDER, images.len());
    let written = images.par_iter().map(|&index| {
        if interrupt.asked() {
            return Err(Error::Interrupted(format!("; overlays drawn by then are in {}", folder.display())));
        }
        let image = options.dataset.image(index)?;
        for of in looked {
            let labels = read(options, of, index, &image)?.labels(of.score);
            let drawn = draw_labels(&image, &labels, &palette)?;
            write_png(&place(of).join(format!("{}.png", options.dataset.name(index))), &drawn)?;
        }
        bar.inc(1);
        Ok(())
    });
    let written: Vec<Result<()>> = written.collect();
    bar.finish_and_clear();
    // The first bad one in the list's order, whatever the threads do.
    written.into_iter().collect()
}

fn write_png(path: &Path, image: &RgbImage) -> Result<()> {
    let mut bytes = Vec::new();
    let encoded = image.write_to(&mut std::io::Cursor::new(&mut bytes), ImageFormat::Png);
    encoded.map_err(|err| CoreError::value("overlay", err.to_string()))?;
    write_atomic(path, |out| out.write_all(&bytes))
}
