//! A folder of seeds: shards, resuming, threads, what is missing.

use std::path::Path;

use candle_wsss_baselines::crf::CrfConfig;
use candle_wsss_baselines::data::{ImageSet, read_mask};
use candle_wsss_baselines::run::{CRF_MANIFEST, CrfJob, CrfOutcome, Interrupt, Progress, Shard, seed_mask_path};
use candle_wsss_baselines::{Error, Result};

use crate::cli::workbench::{assert_same_files, copy_all, data, files, folder, trained};

fn images() -> ImageSet {
    ImageSet::open(data(), "train").unwrap()
}

fn job<'a>(images: &'a ImageSet, seeds: &'a Path, out: &'a Path) -> CrfJob<'a> {
    let config = CrfConfig::seam(4.0);
    CrfJob { seeds, images, split: "train", config, out, jobs: None, shard: None, resume: false }
}

fn run(job: &CrfJob<'_>) -> Result<CrfOutcome> {
    job.run(&Progress::hidden(), &Interrupt::new())
}

#[test]
fn threads_and_shards_change_no_byte() {
    let (place, images, seeds) = (folder(), images(), &trained().seeds);
    let (whole, shared) = (place.path().join("whole"), place.path().join("shared"));
    let outcome = run(&CrfJob { jobs: Some(1), ..job(&images, seeds, &whole) }).unwrap();
    assert_eq!((outcome.made, outcome.kept), (images.len(), 0));
    let mut pixels = 0;
    for index in 0..images.len() {
        let (mask, image) =
            (read_mask(seed_mask_path(&whole, images.name(index))).unwrap(), images.image(index).unwrap());
        assert_eq!((mask.width, mask.height), (image.width() as usize, image.height() as usize));
        assert!(mask.classes().iter().all(|class| images.labels(index).contains(class)));
        pixels += mask.data.len() as u64;
    }
    assert_eq!(outcome.pixels.values().sum::<u64>(), pixels);
    for index in 1..=3 {
        let shard = Shard::new(index, 3);
        run(&CrfJob { jobs: Some(3), shard, ..job(&images, seeds, &shared) }).unwrap();
    }
    assert_same_files(&whole, &shared, |_| true);
    let again = CrfJob { shard: Shard::new(2, 3), ..job(&images, seeds, &shared) };
    assert!(matches!(run(&again), Err(Error::OutputExists(_))));
}

#[test]
fn resumed_and_refused() {
    let (place, images, seeds) = (folder(), images(), &trained().seeds);
    let (out, other) = (place.path().join("out"), place.path().join("other"));
    run(&job(&images, seeds, &out)).unwrap();
    copy_all(&out, &other);
    std::fs::remove_file(seed_mask_path(&out, images.name(1))).unwrap();
    assert!(matches!(run(&job(&images, seeds, &out)), Err(Error::OutputExists(_))));
    let outcome = run(&CrfJob { resume: true, ..job(&images, seeds, &out) }).unwrap();
    assert_eq!((outcome.made, outcome.kept), (1, images.len() - 1));
    assert_same_files(&out, &other, |_| true);
    let changed = CrfJob { resume: true, config: CrfConfig::seam(24.0), ..job(&images, seeds, &out) };
    let message = run(&changed).unwrap_err().to_string();
    assert!(message.contains("`crf.background.power.alpha` is 4.0, now it is 24.0"), "{message}");
    std::fs::write(out.join(CRF_MANIFEST), "{}").unwrap();
    assert!(matches!(run(&CrfJob { resume: true, ..job(&images, seeds, &out) }), Err(Error::Data { .. })));
}

#[test]
fn what_is_missing_is_named_and_nothing_is_made() {
    let (place, images) = (folder(), images());
    let (seeds, out) = (place.path().join("seeds"), place.path().join("out"));
    copy_all(&trained().seeds, &seeds);
    let array = seeds.join("arrays").join(format!("{}.safetensors", images.name(2)));
    let whole = std::fs::read(&array).unwrap();
    std::fs::remove_file(&array).unwrap();
    let message = run(&job(&images, &seeds, &out)).unwrap_err().to_string();
    assert!(message.contains(images.name(2)) && !out.exists(), "{message}");
    std::fs::write(&array, &whole[..whole.len() / 2]).unwrap();
    let message = run(&job(&images, &seeds, &out)).unwrap_err().to_string();
    assert!(message.contains(images.name(2)), "{message}");
    std::fs::write(&array, &whole).unwrap();

    let interrupt = Interrupt::new();
    interrupt.ask();
    let fresh = place.path().join("fresh");
    let stopped = job(&images, &seeds, &fresh).run(&Progress::hidden(), &interrupt);
    assert!(matches!(stopped, Err(Error::Interrupted(_))) && !fresh.exists(), "{:?}", files(&fresh).keys());

    // Seeds of another image: the sizes tell.
    let other = place.path().join("sizes");
    let small = candle_wsss_baselines::infer::SeedMaps::new(vec![], 2, 2, vec![]).unwrap();
    let precision = candle_wsss_baselines::infer::Precision::Half;
    candle_wsss_baselines::infer::write_seeds(&array, &small, precision).unwrap();
    let message = run(&job(&images, &seeds, &other)).unwrap_err().to_string();
    assert!(message.contains(images.name(2)) && message.contains("got 2 x 2"), "{message}");
}
