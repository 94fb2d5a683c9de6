//! SEAM's losses of two views and their gradients by the maps, from low-resolution maps and composed of tensor
//! operations on enlarged ones: `cargo bench --bench seam_losses`.
//!
//! On one thread; both forms run in turns in one process. Maps are random, labels have two classes an image.

#![allow(clippy::print_stdout, reason = "a bench prints what it measured")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use candle_core::{DType, Device, Tensor, Var};
use candle_wsss::{ClassLayout, ImageLabels, Objective, Pair, Result, Sampler, SeededSampler};
use candle_wsss_baselines::seam::SeamLossConfig;
use candle_wsss_baselines::seam::loss::{self, ViewMaps};

/// As the program: with glibc's allocator elementwise work is several times slower.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Settings the program makes for itself, because they can only be made before a process starts.
const SETTINGS: [(&str, &str); 3] =
    [("CANDLE_NUM_THREADS", "1"), ("RAYON_NUM_THREADS", "1"), ("MIMALLOC_PURGE_DELAY", "-1")];

/// Time for one case.
const BUDGET: Duration = Duration::from_secs(6);
const MOST_ROUNDS: usize = 100;

struct Case {
    name: &'static str,
    images: usize,
    foreground: usize,
    /// Sides of the maps, then of the images, of both views.
    maps: [usize; 2],
    sizes: [usize; 2],
}

const CASES: [Case; 3] = [
    Case { name: "embedded data: batch 8, crops 96 and 64", images: 8, foreground: 6, maps: [12, 8], sizes: [96, 64] },
    Case { name: "VOC: batch 2, crops 448 and 134", images: 2, foreground: 20, maps: [56, 17], sizes: [448, 134] },
    Case { name: "VOC: batch 8, crops 448 and 134", images: 8, foreground: 20, maps: [56, 17], sizes: [448, 134] },
];

fn main() -> Result<()> {
    if SETTINGS.iter().any(|(name, _)| std::env::var_os(name).is_none()) {
        let failed = |err: std::io::Error| candle_wsss::Error::value("bench process", err.to_string());
        let path = std::env::current_exe().map_err(failed)?;
        let status = std::process::Command::new(path).envs(SETTINGS).status().map_err(failed)?;
        std::process::exit(status.code().unwrap_or(1));
    }
    println!("| ms, one thread, forward + backward | fused | composed | ratio |\n|:--|--:|--:|--:|");
    for case in CASES {
        let [fused, composed] = case.measure()?.map(|time| time.as_secs_f64() * 1e3);
        println!("| {} | {fused:.2} | {composed:.1} | {:.1} |", case.name, composed / fused);
    }
    Ok(())
}

type Form = fn(&Pair<ViewMaps>, Pair<(usize, usize)>, &ImageLabels, &SeamLossConfig) -> Result<Objective>;

impl Case {
    fn measure(&self) -> Result<[Duration; 2]> {
        let vars = [0, 0, 1, 1].iter().enumerate().map(|(i, view)| self.map(i, self.maps[*view]));
        let vars = vars.collect::<Result<Vec<Var>>>()?;
        let forms: [Form; 2] = [loss::objective_at, loss::composed_objective];
        let mut times = [Vec::new(), Vec::new()];
        let start = Instant::now();
        for round in 0..MOST_ROUNDS {
            for (form, times) in forms.iter().zip(&mut times) {
                let clock = Instant::now();
                self.step(&vars, *form)?;
                if round > 0 {
                    times.push(clock.elapsed());
                }
            }
            if round > 0 && start.elapsed() > BUDGET {
                break;
            }
        }
        Ok(times.map(|mut times| {
            times.sort_unstable();
            times[times.len() / 2]
        }))
    }

    fn map(&self, index: usize, side: usize) -> Result<Var> {
        let dims = [self.images, self.foreground + 1, side, side];
        let values = SeededSampler::new(0).child(&index.to_string()).normal(dims.iter().product())?;
        Ok(Var::from_tensor(&Tensor::from_vec(values, &dims, &Device::Cpu)?.to_dtype(DType::F32)?)?)
    }

    fn step(&self, vars: &[Var], form: Form) -> Result<()> {
        let layout = ClassLayout::new(self.foreground)?;
        let present = (0..self.images).map(|image| vec![image % self.foreground, (image + 2) % self.foreground]);
        let labels = ImageLabels::new(present.collect(), layout, DType::F32, &Device::Cpu)?;
        let logits = Tensor::zeros((self.images, self.foreground), DType::F32, &Device::Cpu)?;
        let view = |cam: &Var, refined: &Var| ViewMaps {
            logits: logits.clone(),
            cam: cam.as_tensor().clone(),
            refined: refined.as_tensor().clone(),
        };
        let maps = Pair::new(view(&vars[0], &vars[1]), view(&vars[2], &vars[3]));
        let sizes = Pair::new(self.sizes[0], self.sizes[1]).map(|side| (side, side));
        let objective = form(&maps, sizes, &labels, &SeamLossConfig::default())?;
        if let Some(total) = objective.terms.total()? {
            black_box(total.backward()?);
        }
        Ok(())
    }
}
