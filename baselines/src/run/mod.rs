//! Runs: a configuration put to work, in a folder of its own.

mod attention;
mod build;
mod compare;
mod crf;
mod device;
mod evaluation;
mod events;
mod folder;
mod in_turn;
mod interrupt;
mod job;
mod manifest;
mod network;
mod pictures;
mod plan;
mod pretrain;
mod progress;
mod protocol;
mod refinement;
mod report;
mod seed_job;
mod seed_manifest;
mod seeds;
mod shard;
mod training_log;
mod training_page;
mod viz;
mod viz_pictures;

pub use attention::{
    ATTENTION_FOLDER, AccumulationPass, accumulate, attention_folder, attention_seeds_of, seeds_from_attention,
};
pub use build::{Model, build, from_checkpoint};
pub use compare::{CompareOptions, compare};
pub use crf::{CrfJob, CrfOutcome};
pub use device::ComputeDevice;
pub use evaluation::{Evaluated, LabelMapScores, evaluation, expect_seeds, label_map_evaluation, score_label_maps};
pub use events::{EVENTS_FOLDER, events_path};
pub(crate) use folder::discard_unstarted;
pub use folder::{CONFIG_FILE, REPORT_FILE, create_folder, open_folder, settle_config};
pub use in_turn::SpareThreads;
pub use interrupt::Interrupt;
pub use job::{CHECKPOINT_FILE, METRICS_FILE, Pace, StepRecord, TrainJob, TrainOutcome, read_history};
pub use network::Network;
pub use plan::check_plan;
pub use pretrain::{PretrainSummary, expect_writable, pretrain};
pub use progress::Progress;
pub use report::CompareOutcome;
pub use seed_job::{
    CRF_MANIFEST, SEED_ARRAYS, SEED_MANIFEST, SEED_MASKS, SEED_PNG, SeedFolder, SeedJob, SeedOutputs, array_path,
    png_path, seed_mask_path,
};
pub use seed_manifest::{SeedManifest, SeedOrigin};
pub use seeds::{SeedScores, infer_seeds_of, score_seeds};
pub use shard::Shard;
pub use training_page::training_page;
pub use viz::{Overlays, SourceKind, VizOptions, VizSource, viz};
pub use viz_pictures::OVERLAYS_FOLDER;
