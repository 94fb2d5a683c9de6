//! Passes over images with a network: what lands in the folder.

use std::path::Path;

use candle_core::{Device, Tensor};
use candle_wsss::{Mode, Normalization, View};
use candle_wsss_baselines::Error;
use candle_wsss_baselines::accumulate::{AttentionInfo, AttentionMap, attention_path, read_attention};
use candle_wsss_baselines::config::RunConfig;
use candle_wsss_baselines::data::{Dataset, ImageSet};
use candle_wsss_baselines::run::{
    AccumulationPass, Interrupt, Network, Progress, SeedFolder, accumulate, build, seeds_from_attention,
};

use super::training::oaa;
use crate::cli::workbench::{assert_same_files, data, files, folder};

const FIRST: AccumulationPass = AccumulationPass { epoch: 1, is_last: false };
const LAST: AccumulationPass = AccumulationPass { epoch: 2, is_last: true };

fn network(config: &RunConfig, images: &ImageSet, seed: u64) -> Network {
    let model = build(config, &[], images.layout(), seed, &Device::Cpu).unwrap();
    model.for_inference(config, &[], images.layout()).unwrap()
}

fn pass(
    model: &Network,
    images: &ImageSet,
    config: &RunConfig,
    pass: AccumulationPass,
    folder: &Path,
) -> Result<(), Error> {
    accumulate(model, images, config, pass, folder, &Progress::hidden(), &Interrupt::new())
}

// An image as the network takes it, by definition.
fn input(images: &ImageSet, index: usize) -> View {
    let image = images.image(index).unwrap();
    let (width, height) = (image.width() as usize, image.height() as usize);
    let Normalization { mean, std } = Normalization::IMAGENET;
    let mut values = Vec::new();
    for channel in 0..3 {
        let value = |p: &image::Rgb<u8>| ((f64::from(p.0[channel]) / 255.0 - mean[channel]) / std[channel]) as f32;
        values.extend(image.pixels().map(value));
    }
    View::new(Tensor::from_vec(values, (1, 3, height, width), &Device::Cpu).unwrap()).unwrap()
}

// The maps of all foreground classes of an image, in 8 bits.
fn bits(model: &Network, view: &View) -> Vec<AttentionMap> {
    let maps = model.baseline().forward(view, Mode::Eval).unwrap().cam.squeeze(0).unwrap();
    let (classes, height, width) = maps.dims3().unwrap();
    let class = |class: usize| maps.get(class).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
    (0..classes - 1).map(|c| AttentionMap::from_activation(&class(c), width, height).unwrap()).collect()
}

fn pngs(folder: &Path) -> usize {
    files(folder).keys().filter(|name| name.ends_with(".png")).count()
}

#[test]
fn the_maximum_over_passes() {
    let images = Dataset::open_images(data(), "train").unwrap();
    let config = oaa(&[]);
    let (one, other) = (network(&config, &images, 1), network(&config, &images, 2));
    let place = folder();
    let attention = place.path().join("attention");
    pass(&one, &images, &config, FIRST, &attention).unwrap();
    let after_one = files(&attention);
    pass(&other, &images, &config, LAST, &attention).unwrap();
    assert_eq!(AttentionInfo::expect(&attention).unwrap(), AttentionInfo { epochs: 3, filled: true });
    let mut num_labels = 0;
    for index in 0..images.len() {
        let view = input(&images, index);
        let (first, second) = (bits(&one, &view), bits(&other, &view));
        for &class in images.labels(index) {
            let mut want = first[class].clone();
            want.merge(&second[class]).unwrap();
            let got = read_attention(&attention_path(&attention, images.name(index), class)).unwrap();
            assert_eq!(got, want, "{}", images.name(index));
            num_labels += 1;
        }
    }
    assert_eq!(pngs(&attention), num_labels);
    let done = files(&attention);
    assert!(after_one != done, "the second pass changed nothing");

    // Both are there: nothing is run again, and nothing changes where it is.
    pass(&one, &images, &config, FIRST, &attention).unwrap();
    std::fs::remove_file(attention.join("accumulated.json")).unwrap();
    for (model, which) in [(&one, FIRST), (&other, LAST)] {
        pass(model, &images, &config, which, &attention).unwrap();
    }
    assert!(files(&attention) == done, "a pass done twice is not a pass done once");
}

#[test]
fn which_maps_are_kept() {
    let images = Dataset::open_images(data(), "train").unwrap();
    let model = network(&oaa(&[]), &images, 1);
    let num_labels: usize = (0..images.len()).map(|index| images.labels(index).len()).sum();
    let place = folder();
    let kept = |name: &str, which, settings: &[&str]| {
        let attention = place.path().join(name);
        pass(&model, &images, &oaa(settings), which, &attention).unwrap();
        pngs(&attention)
    };
    let sure = "accumulate.acceptance.probability=1.0";
    assert_eq!(kept("none", FIRST, &[sure]), 0);
    assert_eq!(kept("none", LAST, &[sure, "accumulate.fill=false"]), 0);
    assert_eq!(kept("none", LAST, &[sure]), num_labels);
    let ranked = kept("ranked", FIRST, &["accumulate.acceptance=ranked"]);
    assert!(ranked > 0 && ranked < num_labels, "{ranked} of {num_labels}");

    // A class without a map has no seeds, once that is allowed.
    let seeds = place.path().join("seeds");
    let out = SeedFolder { path: &seeds, background_score: 0.3, resume: false };
    let make = || {
        let attention = place.path().join("ranked");
        seeds_from_attention(&attention, &images, &out, &Progress::hidden(), &Interrupt::new())
    };
    make().unwrap();
    assert_eq!(pngs(&seeds), images.len());
    AttentionInfo { epochs: 2, filled: true }.write(&place.path().join("ranked")).unwrap();
    let message = make().unwrap_err().to_string();
    assert!(message.contains("ranked/train_0") && message.contains("there is no such file"), "{message}");
}

#[test]
fn threads_and_interruptions_do_not_show() {
    let images = Dataset::open_images(data(), "train").unwrap();
    let config = oaa(&["accumulate.input.squashed=40"]);
    let model = network(&config, &images, 1);
    let place = folder();
    let run = |name: &str, threads: usize| {
        let attention = place.path().join(name);
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| pass(&model, &images, &config, FIRST, &attention)).unwrap();
        attention
    };
    let one = run("one", 1);
    assert_same_files(&one, &run("three", 3), |_| true);

    let stopped = place.path().join("stopped");
    let interrupt = Interrupt::new();
    interrupt.ask();
    let outcome = accumulate(&model, &images, &config, FIRST, &stopped, &Progress::hidden(), &interrupt);
    assert!(matches!(outcome, Err(Error::Interrupted(_))));
    assert_eq!(AttentionInfo::read(&stopped).unwrap(), None);
    assert_same_files(&one, &run("stopped", 2), |_| true);
}

#[test]
fn what_does_not_fit() {
    let images = Dataset::open_images(data(), "train").unwrap();
    let config = oaa(&[]);
    let model = network(&config, &images, 1);
    let place = folder();
    let attention = place.path();
    pass(&model, &images, &config, FIRST, attention).unwrap();
    let before = files(attention);
    // Another size of the maps, out of another configuration.
    let message = pass(&model, &images, &oaa(&["accumulate.input.squashed=8"]), LAST, attention).unwrap_err();
    let message = message.to_string();
    assert!(message.contains("train_0") && message.contains("expected 1 x 1 (width x height), got"), "{message}");
    // A map that is none.
    let path = attention_path(attention, images.name(0), images.labels(0)[0]);
    std::fs::write(&path, "no image").unwrap();
    let err = pass(&model, &images, &config, LAST, attention).unwrap_err();
    assert!(err.to_string().starts_with(&path.display().to_string()), "{err}");
    assert_eq!(err.exit_code(), 3);
    assert_eq!(files(attention).len(), before.len());
}
