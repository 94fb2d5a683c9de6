//! Gradients: those of the definition with the prototypes held fixed, and none beyond.

use candle_core::{Tensor, Var};
use candle_wsss::contrast::{cross_entropy_against, prototype_logits};
use candle_wsss::prototype::pixel_rows;
use candle_wsss::regularizer::hsc::AbsentClasses;
use candle_wsss::regularizer::ppc::{
    Candidates, PixelSampling, PositiveRank, PpcConfig, PrototypeMining, evaluate, pixel_weights, prototypes,
    sample_pixels,
};
use candle_wsss::testing::{assert_close, gradient_error, randn};
use candle_wsss::{Error, Pair, Result, SeededSampler, ops};

use super::inputs::{DRAWS, Inputs, numbers, small};

// What does not move with the features.
struct Frozen {
    prototypes: Pair<Tensor>,
    targets: Pair<Tensor>,
}

fn frozen(inputs: &Inputs, config: &PpcConfig) -> Frozen {
    let seeds = inputs.seeds(config);
    let maps = inputs.features.as_ref().zip(seeds.scores.as_ref());
    Frozen {
        prototypes: maps.map(|(map, scores)| prototypes(map, scores, &inputs.labels, config).unwrap()),
        targets: seeds.labels.map(|labels| labels.flatten_all().unwrap()),
    }
}

// The total, composed of the public parts.
fn composed(inputs: &Inputs, fixed: &Frozen, features: &Pair<Tensor>, config: &PpcConfig) -> Result<Tensor> {
    let candidates = Candidates::new(&inputs.labels, config.absent_classes, features.source.device())?;
    let pixels = features.as_ref().try_map(|map| ops::unit(&pixel_rows(map)?, 1, 1e-12))?;
    let cross = |prototypes: Pair<&Tensor>, targets: Pair<&Tensor>| -> Result<Tensor> {
        let parts = pixels.as_ref().zip(prototypes).zip(targets);
        parts
            .try_map(|((pixels, prototypes), targets)| {
                let logits = prototype_logits(pixels, prototypes, config.temperature)?;
                Ok::<_, Error>(candidates.cross_entropy(&logits, targets)?.mean_all()?)
            })?
            .mean()
    };
    let (prototypes, targets) = (fixed.prototypes.as_ref(), fixed.targets.as_ref());
    let scopes = Pair::new("intra/source", "intra/target");
    let within = pixels.as_ref().zip(prototypes).zip(targets).zip(scopes);
    let within = within.try_map(|(((pixels, prototypes), targets), scope)| {
        let logits = prototype_logits(pixels, prototypes, config.temperature)?;
        let losses = candidates.mined_cross_entropy(&logits, targets, config)?.unwrap();
        let hard_fraction = match config.sampling {
            PixelSampling::HardHalf { hard_fraction } => Some(hard_fraction),
            _ => None,
        };
        let classes: Vec<usize> = numbers(targets).into_iter().map(|class| class as usize).collect();
        let own = numbers(&logits.detach().gather(&targets.unsqueeze(1)?, 1)?);
        let samples = sample_pixels(&classes, &own, hard_fraction, &SeededSampler::new(DRAWS), scope)?;
        let weights = pixel_weights(&samples, classes.len(), config.small_classes).unwrap();
        let weights = Tensor::from_vec(weights, classes.len(), losses.device())?;
        Ok::<_, Error>((losses * weights)?.sum_all()?)
    })?;
    let sum = ((cross(prototypes.swapped(), targets)? + cross(prototypes, targets.swapped())?)? + within.mean()?)?;
    Ok((sum * config.weight)?)
}

fn configs() -> [PpcConfig; 4] {
    [
        small(),
        PpcConfig { absent_classes: AbsentClasses::Excluded, ..small() },
        PpcConfig { positive_rank: PositiveRank::Excluded, sampling: PixelSampling::EachClass, ..small() },
        PpcConfig { mining: PrototypeMining::All, ..small() },
    ]
}

#[test]
fn gradient_is_the_numeric_one() {
    for config in configs() {
        let inputs = Inputs::random(2, &[&[0, 2], &[1, 2]]);
        let fixed = frozen(&inputs, &config);
        let features = [inputs.features.source.clone(), inputs.features.target.clone()];
        let error = gradient_error(&features, 80, |x| {
            composed(&inputs, &fixed, &Pair::new(x[0].clone(), x[1].clone()), &config)
        });
        assert!(error.unwrap() < 1e-6);
    }
}

#[test]
fn no_gradient_reaches_prototypes_and_maps() {
    for config in configs() {
        let inputs = Inputs::random(3, &[&[0, 2], &[1]]);
        let fixed = frozen(&inputs, &config);
        let vars = inputs.features.as_ref().map(|map| Var::from_tensor(map).unwrap());
        let cams = inputs.cams.as_ref().map(|map| Var::from_tensor(map).unwrap());
        let features = vars.as_ref().map(|var| var.as_tensor().clone());
        let sampler = SeededSampler::new(DRAWS);
        let maps = cams.as_ref().map(|var| var.as_tensor());
        let got = evaluate(&features, maps, &inputs.labels, &config, &sampler).unwrap();
        let got = got.terms.total().unwrap().unwrap();
        let want = composed(&inputs, &fixed, &features, &config).unwrap();
        assert_close("value", &got, &want, 1e-14).unwrap();
        let (got, want) = (got.backward().unwrap(), want.backward().unwrap());
        for var in [&vars.source, &vars.target] {
            assert_close("gradient", got.get(var).unwrap(), want.get(var).unwrap(), 1e-13).unwrap();
        }
        assert!(got.get(&cams.source).is_none() && got.get(&cams.target).is_none());
    }
}

#[test]
fn a_gradient_arrives_once_for_every_time_a_column_counts() {
    let logits = randn(9, &[3, 4]).unwrap();
    let on_device = |values: Vec<u32>, dims: &[usize]| Tensor::from_vec(values, dims, logits.device()).unwrap();
    let labels = on_device(vec![0, 3, 2], &[3]);
    // Own columns, a column twice, neither.
    let columns = on_device(vec![0, 1, 2, 2, 1, 3], &[3, 2]);
    let error = gradient_error(std::slice::from_ref(&logits), 12, |x| {
        Ok(cross_entropy_against(&x[0], &labels, &columns)?.sqr()?.sum_all()?)
    });
    assert!(error.unwrap() < 1e-7);
}
