use std::sync::Arc;

use candle_core::{Device, Tensor};
use candle_wsss::Normalization;
use candle_wsss_baselines::Result;
use candle_wsss_baselines::data::{
    Batch, Dataset, Filter, ImageSet, Jitter, Loader, LoaderConfig, PassOrder, Resampling, ResizeMode, TargetView,
    resize,
};

use super::scratch::Scratch;

fn config() -> LoaderConfig {
    LoaderConfig {
        batch_size: 2,
        long_side: [18, 30],
        crop: 21,
        target_view: TargetView::Scale(0.5),
        saliency: true,
        ..LoaderConfig::default()
    }
}

fn images(scratch: &Scratch) -> Arc<ImageSet> {
    Dataset::open_images(scratch.root(), "train").unwrap()
}

fn loader(scratch: &Scratch, config: LoaderConfig, seed: u64) -> Result<Loader> {
    Loader::new(images(scratch), config, seed, &Device::Cpu)
}

fn bits(tensor: &Tensor) -> Vec<u32> {
    tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap().into_iter().map(f32::to_bits).collect()
}

fn content(batch: &Batch) -> (Vec<String>, Vec<Vec<u32>>) {
    let mut tensors = vec![bits(batch.labels.multi_hot())];
    for view in [&batch.views.source, &batch.views.target] {
        tensors.push(bits(view.image()));
        tensors.extend(view.saliency().map(bits));
    }
    (batch.names.clone(), tensors)
}

#[test]
fn a_batch_is_a_function_of_seed_and_step() {
    let scratch = Scratch::new(5);
    let (first, second) = (loader(&scratch, config(), 7).unwrap(), loader(&scratch, config(), 7).unwrap());
    let backwards: Vec<_> = (0..6).rev().map(|step| content(&second.batch(step).unwrap())).collect();
    for (step, expected) in backwards.into_iter().rev().enumerate() {
        assert_eq!(content(&first.batch(step).unwrap()), expected, "step {step}");
    }
    let other = loader(&scratch, config(), 8).unwrap();
    assert_ne!(content(&first.batch(0).unwrap()), content(&other.batch(0).unwrap()));
}

#[test]
fn streams_are_batches_whatever_the_threads() {
    let scratch = Scratch::new(5);
    for prefetch in [0, 1, 3, 16] {
        let loader = loader(&scratch, LoaderConfig { prefetch, ..config() }, 7).unwrap();
        // A resumed run starts in the middle.
        for range in [0..5, 3..6, 4..4] {
            let streamed: Vec<_> = loader.stream(range.clone()).map(|batch| content(&batch.unwrap())).collect();
            let expected: Vec<_> = range.map(|step| content(&loader.batch(step).unwrap())).collect();
            assert_eq!(streamed, expected, "{prefetch} threads");
        }
    }
}

#[test]
fn no_number_of_threads_changes_a_byte() {
    let scratch = Scratch::new(5);
    let make = |prefetch: usize| loader(&scratch, LoaderConfig { prefetch, ..config() }, 7).unwrap();
    let expected: Vec<_> = make(0).stream(0..5).map(|batch| content(&batch.unwrap())).collect();
    for prefetch in [0, 1, 3, 8] {
        for threads in [1, 3] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let all = || make(prefetch).stream(0..5).map(|batch| content(&batch.unwrap())).collect::<Vec<_>>();
            assert_eq!(pool.install(all), expected, "{prefetch} made ahead, pool of {threads}");
            // A resumed run asks for the rest only, of a loader of its own.
            let rest = || make(prefetch).stream(2..5).map(|batch| content(&batch.unwrap())).collect::<Vec<_>>();
            assert_eq!(pool.install(rest), expected[2..], "{prefetch} made ahead, pool of {threads}, from step 2");
        }
    }
}

#[test]
fn without_shuffling_epochs_have_the_order_of_the_list() {
    let scratch = Scratch::new(5);
    let loader = loader(&scratch, LoaderConfig { shuffle: false, ..config() }, 7).unwrap();
    let names: Vec<_> = loader.stream(0..4).flat_map(|batch| batch.unwrap().names).collect();
    assert_eq!(names, ["a0", "a1", "a2", "a3", "a0", "a1", "a2", "a3"], "the incomplete batch is left out");
    // The draws of an image are not those of its last epoch.
    assert_ne!(content(&loader.batch(0).unwrap()), content(&loader.batch(2).unwrap()));
}

#[test]
fn the_pipeline_of_rca_keeps_every_image_whole() {
    let scratch = Scratch::new(4);
    let config = LoaderConfig {
        resize: ResizeMode::Square,
        resampling: Resampling { image: Filter::Bilinear, ..Resampling::default() },
        shuffle: false,
        flip: false,
        jitter: None,
        normalization: Normalization { mean: [0.0; 3], std: [1.0 / 255.0; 3] },
        ..config()
    };
    let loader = loader(&scratch, config, 7).unwrap();
    let batch = loader.batch(1).unwrap();
    let image = batch.views.source.image().flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let expected = resize(&images(&scratch).image(2).unwrap(), 21, 21, Filter::Bilinear);
    let green: Vec<u8> = image[21 * 21..2 * 21 * 21].iter().map(|value| value.round() as u8).collect();
    assert_eq!(green, expected.pixels().map(|pixel| pixel[1]).collect::<Vec<_>>());
}

#[test]
fn every_epoch_is_another_permutation_without_its_rest() {
    let scratch = Scratch::new(5);
    let loader = loader(&scratch, config(), 7).unwrap();
    assert_eq!(loader.steps_per_epoch(), 2);
    let mut epochs = Vec::new();
    for epoch in 0..4 {
        let mut names = Vec::new();
        for first in 0..2 {
            let batch = loader.batch(2 * epoch + first).unwrap();
            let progress = batch.progress;
            assert_eq!((progress.step, progress.epoch), (2 * epoch + first, epoch));
            assert_eq!(progress.is_epoch_start, first == 0);
            names.extend(batch.names);
        }
        let mut once = names.clone();
        once.sort();
        once.dedup();
        assert_eq!(once.len(), 4, "an image comes twice in epoch {epoch}");
        epochs.push(names);
    }
    assert!(epochs.iter().any(|names| *names != epochs[0]));
}

#[test]
fn labels_belong_to_their_images() {
    let scratch = Scratch::new(6);
    let (set, loader) = (images(&scratch), loader(&scratch, config(), 3).unwrap());
    for batch in loader.stream(0..6).map(Result::unwrap) {
        for (i, name) in batch.names.iter().enumerate() {
            let index = (0..set.len()).find(|index| set.name(*index) == name).unwrap();
            assert_eq!(batch.labels.of_image(i), set.labels(index));
        }
    }
}

#[test]
fn the_target_view_is_the_source_made_smaller() {
    let scratch = Scratch::new(4);
    for (target_view, side) in [(TargetView::Scale(0.5), 10), (TargetView::Size(7), 7)] {
        let loader = loader(&scratch, LoaderConfig { target_view, ..config() }, 5).unwrap();
        let batch = loader.batch(0).unwrap();
        let (source, target) = (&batch.views.source, &batch.views.target);
        assert_eq!(source.image().dims(), [2, 3, 21, 21]);
        assert_eq!(target.image().dims(), [2, 3, side, side]);
        assert_eq!(target.saliency().unwrap().dims(), [2, 1, side, side]);
        assert_eq!(target.normalization(), loader.config().normalization);
        // Corners are aligned: the corner pixels are the same.
        for (large, small) in [(0, 0), (20, side - 1)] {
            let corner = |x: &Tensor, at: usize| bits(&x.narrow(2, at, 1).unwrap().narrow(3, at, 1).unwrap());
            assert_eq!(corner(source.image(), large), corner(target.image(), small));
            assert_eq!(corner(source.saliency().unwrap(), large), corner(target.saliency().unwrap(), small));
        }
    }
    let default = LoaderConfig::default();
    assert_eq!(default.target_view.side(default.crop), 134, "floor of 0.3 * 448, as in the released code");
}

#[test]
fn saliency_only_when_asked_for() {
    let scratch = Scratch::new(3);
    scratch.remove("saliency/a2.png");
    let without = loader(&scratch, LoaderConfig { saliency: false, ..config() }, 1).unwrap();
    assert!(without.batch(0).unwrap().views.source.saliency().is_none());
    let error = loader(&scratch, config(), 1).unwrap_err();
    let expected = "expected the image's saliency map (`saliency` is on), there is no such file";
    assert_eq!(error.to_string(), format!("{}: {expected}", scratch.path("saliency/a2.png").display()));
    assert_eq!(error.exit_code(), 3);
}

#[test]
fn a_bad_image_is_an_error_in_its_place() {
    let scratch = Scratch::new(4);
    let loader = loader(&scratch, LoaderConfig { prefetch: 2, ..config() }, 1).unwrap();
    let good = loader.batch(0).unwrap();
    scratch.text(&format!("JPEGImages/{}.png", good.names[1]), "gone bad");
    let streamed: Vec<Result<Batch>> = loader.stream(0..2).collect();
    let error = streamed[0].as_ref().unwrap_err().to_string();
    assert!(error.contains(&format!("{}.png: expected a JPEG or PNG image", good.names[1])), "{error}");
    assert!(streamed[1].is_ok());
}

#[test]
fn too_few_images_for_a_batch() {
    let scratch = Scratch::new(3);
    let error = loader(&scratch, LoaderConfig { batch_size: 4, ..config() }, 1).unwrap_err();
    assert_eq!(error.to_string(), "config field `batch_size`: a batch takes 4 images, the split has 3 in all");
    assert_eq!(error.exit_code(), 2);
    assert_eq!(loader(&scratch, LoaderConfig { batch_size: 3, ..config() }, 1).unwrap().steps_per_epoch(), 1);
}

#[test]
fn settings_out_of_range_are_named() {
    let check = |config: LoaderConfig, message: &str| {
        assert_eq!(config.validate().unwrap_err().to_string(), format!("config field {message}"));
    };
    let default = LoaderConfig::default;
    default().validate().unwrap();
    check(LoaderConfig { batch_size: 0, ..default() }, "`batch_size`: must be at least 1, is 0");
    check(
        LoaderConfig { long_side: [9, 8], ..default() },
        "`long_side`: must be two sides, the smaller first, at least 1; is [9, 8]",
    );
    check(LoaderConfig { crop: 0, ..default() }, "`crop`: must be at least 1, is 0");
    check(
        LoaderConfig { target_view: TargetView::Scale(-0.3), ..default() },
        "`target_view.scale`: must be positive, is -0.3",
    );
    check(
        LoaderConfig { target_view: TargetView::Scale(0.001), ..default() },
        "`target_view`: leaves no pixel of a crop of 448: Scale(0.001)",
    );
    let jitter = Some(Jitter { brightness: -1.0, ..Jitter::default() });
    check(LoaderConfig { jitter, ..default() }, "`jitter.brightness`: must be 0 or more, is -1");
    let mut config = default();
    config.normalization.std[1] = 0.0;
    check(config, "`normalization.std`: must be positive, is [0.229, 0.0, 0.225]");
}

#[test]
fn settings_come_back_from_toml() {
    for config in [
        LoaderConfig::default(),
        LoaderConfig { jitter: None, target_view: TargetView::Size(96), ..LoaderConfig::default() },
        LoaderConfig { jitter: Some(Jitter { hue: 0.0, ..Jitter::default() }), ..LoaderConfig::default() },
    ] {
        let text = toml::to_string(&config).unwrap();
        assert_eq!(toml::from_str::<LoaderConfig>(&text).unwrap(), config, "{text}");
    }
    assert_eq!(toml::from_str::<LoaderConfig>("").unwrap(), LoaderConfig::default());
    let text = "resize = 'square'\nshuffle = false\nresampling = { image = 'bilinear', pass_order = 'pillow13' }";
    let rca: LoaderConfig = toml::from_str(text).unwrap();
    assert_eq!((rca.resize, rca.shuffle), (ResizeMode::Square, false));
    let pass_order = PassOrder::Pillow13;
    assert_eq!(rca.resampling, Resampling { image: Filter::Bilinear, saliency: Filter::Bicubic, pass_order });
    let some: LoaderConfig = toml::from_str("crop = 96\njitter = { hue = 0.2 }\ntarget_view = { size = 32 }").unwrap();
    assert_eq!((some.crop, some.target_view), (96, TargetView::Size(32)));
    assert_eq!(some.jitter, Some(Jitter { hue: 0.2, ..Jitter::default() }));
    for (text, part) in [
        ("crops = 96", "unknown field `crops`"),
        ("jitter = { huge = 1.0 }", "unknown field `huge`"),
        ("jitter = 3", "expected `false` or a table with brightness"),
    ] {
        let error = toml::from_str::<LoaderConfig>(text).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }
}
