//! Contrast, total, aggregation and memory against golden vectors: values, intermediates, gradients, states.

use std::collections::HashMap;

use candle_core::{DType, Device, Tensor, Var};
use candle_nn::VarBuilder;
use candle_wsss::ops::{soft_margin, unit};
use candle_wsss::regularizer::rca::{
    FineHead, MixUp, RcaConfig, RcaHeads, RegionContrast, Regions, region_contrast, update_memory,
};
use candle_wsss::testing::{assert_close, randn};
use candle_wsss::{BaselineSpec, ClassLayout, ClassQueue, ImageLabels, LossTerms, ReplaySampler, SeededSampler};

use super::inputs::{full, numbers};
use crate::common::fixture::Fixture;

const SCALAR: f64 = 1e-9;
const TENSOR: f64 = 2e-7;

fn image_labels(case: &Fixture) -> ImageLabels {
    let multi_hot = case.tensor("label");
    let layout = ClassLayout::new(multi_hot.dim(1).unwrap()).unwrap();
    ImageLabels::from_multi_hot(&multi_hot, layout).unwrap()
}

fn config(case: &Fixture) -> RcaConfig {
    assert_eq!(case.constant("beta_alpha"), case.constant("beta_beta"));
    RcaConfig {
        temperature: case.constant("temperature"),
        clamp_min: case.constant("clamp_min"),
        mixup: MixUp::Beta(case.constant("beta_alpha")),
        ..RcaConfig::default()
    }
}

fn indices(case: &Fixture, name: &str) -> Vec<usize> {
    numbers(&case.tensor(name)).into_iter().map(|index| index as usize).collect()
}

// Own regions, and those they are mixed with.
fn pairs(case: &Fixture) -> Vec<[(usize, usize); 2]> {
    let [images, classes, partners, partner_classes] =
        ["pair_image", "pair_class", "mix_image", "mix_class"].map(|name| indices(case, name));
    (0..images.len()).map(|p| [(images[p], classes[p]), (partners[p], partner_classes[p])]).collect()
}

fn recorded(case: &Fixture, labels: &ImageLabels) -> ReplaySampler {
    let shares = numbers(&case.raw("lam"));
    pairs(case).iter().zip(shares).fold(ReplaySampler::new(), |tape, ([own, partner], share)| {
        let scope = format!("mix/{}/{}", own.0, own.1);
        let choice = labels.of_image(partner.0).iter().position(|class| *class == partner.1).unwrap();
        tape.record_distinct(&scope, vec![partner.0])
            .record_distinct(&scope, vec![choice])
            .record_numbers(&scope, vec![share])
    })
}

fn contrast(case: &Fixture, mid: &Tensor, coarse: &Tensor, slots: &Tensor) -> RegionContrast {
    let labels = image_labels(case);
    assert_eq!(labels.layout().num_foreground(), case.count("classes"));
    assert_eq!(slots.dim(1).unwrap(), case.count("queue_len"));
    let regions = Regions::new(coarse, &labels).unwrap();
    let (queue, tape) = (full(slots), recorded(case, &labels));
    region_contrast(mid, &regions, &labels, &queue, &config(case), &tape).unwrap().unwrap()
}

fn check_intermediates(case: &Fixture, got: &RegionContrast, slots: &Tensor) {
    let regions = Regions::new(&case.tensor("map_coarse"), &image_labels(case)).unwrap();
    let want = pairs(case);
    assert_eq!(got.pairs.iter().map(|pair| [pair.own, pair.partner]).collect::<Vec<_>>(), want);
    assert_eq!(got.pairs.iter().map(|pair| pair.share).collect::<Vec<_>>(), numbers(&case.raw("lam")));
    for (name, which) in [("mask_count", 0), ("mask_count_mix", 1)] {
        let counts: Vec<f64> = want.iter().map(|pair| regions.count(pair[which].0, pair[which].1)).collect();
        assert_eq!(counts, numbers(&case.tensor(name)), "{}: {name}", case.name);
    }
    case.check("pair_embedding", &got.embeddings, TENSOR);
    case.check("pair_loss_own", &got.own, TENSOR);
    case.check("pair_loss_mix", &got.partner, TENSOR);
    let dim = slots.dim(2).unwrap();
    let rows = unit(&slots.reshape(((), dim)).unwrap(), 1, 1e-12).unwrap();
    let cosines = unit(&got.embeddings, 1, 1e-12).unwrap().matmul(&rows.t().unwrap()).unwrap();
    case.check("pair_max_logit", &(cosines.max(1).unwrap() / case.constant("temperature")).unwrap(), TENSOR);
}

#[test]
fn contrast_is_the_reference() {
    for prefix in ["rca_contrast", "rca_total", "rca_edge"] {
        for case in Fixture::with_prefix(prefix) {
            let [mid, coarse, slots] =
                ["mid", "map_coarse", "queue"].map(|name| Var::from_tensor(&case.tensor(name)).unwrap());
            let got = contrast(&case, &mid, &coarse, &slots);
            check_intermediates(&case, &got, &slots);
            case.check_scalar("loss_cl", &got.value, SCALAR);
            let gradients = got.value.backward().unwrap();
            case.check("grad_loss_cl__mid", gradients.get(&mid).unwrap(), TENSOR);
            assert!(gradients.get(&coarse).is_none() && gradients.get(&slots).is_none(), "{}", case.name);
        }
    }
}

#[test]
fn total_is_the_reference() {
    for case in Fixture::with_prefix("rca_total") {
        let contrast_weight = case.constant("contrast_weight");
        let [mid, coarse, map] = ["mid", "map_coarse", "map"].map(|name| Var::from_tensor(&case.tensor(name)).unwrap());
        let labels = case.tensor("label");
        let [fine_logits, coarse_logits] = [&map, &coarse].map(|map| map.mean((2, 3)).unwrap());
        case.check("xs", &fine_logits, TENSOR);
        case.check("xss", &coarse_logits, TENSOR);
        let [fine, classification] = [&fine_logits, &coarse_logits].map(|logits| soft_margin(logits, &labels).unwrap());
        case.check_scalar("loss_fine", &fine, SCALAR);
        case.check_scalar("loss_coarse", &classification, SCALAR);
        let mut terms = LossTerms::default();
        terms.push("fine", RcaConfig::default().fine_weight, fine).unwrap();
        // The baseline's own.
        terms.push("cls", case.constant("coarse_weight"), classification).unwrap();
        case.check_scalar("loss_epoch_lt2", &terms.total().unwrap().unwrap(), SCALAR);
        let contrast = contrast(&case, &mid, &coarse, &case.tensor("queue"));
        terms.push("contrast", contrast_weight, contrast.value).unwrap();
        let total = terms.total().unwrap().unwrap();
        case.check_scalar("loss", &total, SCALAR);
        let gradients = total.backward().unwrap();
        case.check("grad_loss__map", gradients.get(&map).unwrap(), TENSOR);
        case.check("grad_loss__map_coarse", gradients.get(&coarse).unwrap(), TENSOR);
        let of_mid = (gradients.get(&mid).unwrap() / contrast_weight).unwrap();
        case.check("grad_loss_cl__mid", &of_mid, TENSOR);
    }
}

#[test]
fn what_is_undefined_in_the_reference_is_left_out() {
    for case in Fixture::with_prefix("rca_edge") {
        let special = &case.json["reference_special_values"];
        let (mid, coarse, config) = (case.tensor("mid"), case.tensor("map_coarse"), config(&case));
        let (labels, queue) = (image_labels(&case), full(&case.tensor("queue")));
        let value = |mid: &Tensor, coarse: &Tensor, labels: &ImageLabels, seed: u64| {
            let regions = Regions::new(coarse, labels).unwrap();
            let contrast = region_contrast(mid, &regions, labels, &queue, &config, &SeededSampler::new(seed)).unwrap();
            contrast.map(|contrast| contrast.value.to_scalar::<f64>().unwrap())
        };
        let relabelled =
            |present: Vec<Vec<usize>>| ImageLabels::new(present, labels.layout(), DType::F64, &Device::Cpu).unwrap();
        let first = |t: &Tensor| t.narrow(0, 0, 1).unwrap();
        let class = labels.of_image(0)[0];
        let one = relabelled(vec![vec![class]]);
        // Mixed with itself, whatever the share.
        let want = special["one image, one class (mixes with itself)"].as_f64().unwrap();
        let got = value(&first(&mid), &first(&coarse), &one, 0).unwrap();
        assert!((got - want).abs() <= SCALAR * want.abs(), "{}: got {got}, want {want}", case.name);
        let pixel = |t: &Tensor| first(t).narrow(2, 0, 1).unwrap().narrow(3, 0, 1).unwrap().contiguous().unwrap();
        assert_eq!(special["1x1 map, one image, one class"], "nan");
        assert_eq!(value(&pixel(&mid), &pixel(&coarse), &one, 0), None);
        assert!(special.as_object().unwrap().keys().any(|key| key.starts_with("spatially constant")));
        assert_eq!(value(&mid, &coarse.zeros_like().unwrap(), &labels, 0), None);
        assert_eq!(special["no label in any image"], "nan");
        assert_eq!(value(&mid, &coarse, &relabelled(vec![vec![]; labels.len()]), 0), None);
        assert!(special["second image without label (several draws)"].is_array());
        let mut present = vec![vec![]; labels.len()];
        present[0] = vec![class];
        for seed in 0..4 {
            // Only the first image is left, alone or mixed with itself.
            let got = value(&mid, &coarse, &relabelled(present.clone()), seed).unwrap();
            assert!((got - want).abs() <= SCALAR * want.abs(), "{}: got {got}, want {want}", case.name);
        }
    }
}

#[test]
fn aggregation_is_the_reference() {
    for case in Fixture::with_prefix("rca_aggregation") {
        let (x, centroids) = (Var::from_tensor(&case.tensor("x")).unwrap(), case.tensor("centroids"));
        let (classes, clusters, dim) = centroids.dims3().unwrap();
        assert_eq!((classes, clusters), (case.count("classes"), case.count("cluter_num")));
        let names = ["Q", "K", "V", "aggre", "concat_project"]
            .iter()
            .flat_map(|layer| ["weight", "bias"].map(|part| format!("{layer}.{part}")));
        let parameters: Vec<(String, Var)> =
            names.map(|name| (name.clone(), Var::from_tensor(&case.tensor(&name)).unwrap())).collect();
        let config = RcaConfig { head: FineHead::Shared { hidden: None, layers: 0 }, ..RcaConfig::default() };
        let spec = BaselineSpec { layout: ClassLayout::new(classes).unwrap(), feature_dim: dim, stride: 8 };
        let heads = RcaHeads::new(&spec, &config, &builder(&spec, &parameters)).unwrap();
        let centroids = Var::from_tensor(&centroids).unwrap();
        let got = heads.aggregate(&x, &centroids, config.attention).unwrap();
        let similarity = got.similarity.flatten_from(2).unwrap().transpose(1, 2).unwrap().contiguous().unwrap();
        case.check("sim", &similarity, TENSOR);
        case.check("query_agg", &got.context, TENSOR);
        case.check("out", &got.features, TENSOR);
        let sum = (&got.features * case.tensor("cotangent")).unwrap().sum_all().unwrap();
        case.check_scalar("S", &sum, SCALAR);
        let gradients = sum.backward().unwrap();
        case.check("grad_S__x", gradients.get(&x).unwrap(), TENSOR);
        for (name, var) in &parameters {
            case.check(&format!("grad_S__{name}"), gradients.get(var).unwrap(), TENSOR);
        }
        assert!(gradients.get(&centroids).is_none());
    }
}

// The rest of the layers, which take no part, are random.
fn builder(spec: &BaselineSpec, parameters: &[(String, Var)]) -> VarBuilder<'static> {
    let (dim, classes) = (spec.feature_dim, spec.layout.num_foreground());
    let mut tensors: HashMap<String, Tensor> =
        parameters.iter().map(|(name, var)| (name.clone(), var.as_tensor().clone())).collect();
    let rest: [(&str, &[usize]); 10] = [
        ("extra_F.0.weight", &[dim, dim, 3, 3]),
        ("extra_F.0.bias", &[dim]),
        ("extra_F.1.weight", &[dim]),
        ("extra_F.1.bias", &[dim]),
        ("extra_F.1.running_mean", &[dim]),
        ("extra_F.1.running_var", &[dim]),
        ("extra_F.3.weight", &[dim, dim, 3, 3]),
        ("extra_F.3.bias", &[dim]),
        ("extra_convs.0.weight", &[classes, dim, 1, 1]),
        ("extra_convs.0.bias", &[classes]),
    ];
    tensors.extend(rest.map(|(name, dims)| (name.to_string(), randn(0, dims).unwrap())));
    VarBuilder::from_tensors(tensors, DType::F64, &Device::Cpu)
}

#[test]
fn memory_is_the_reference() {
    for case in Fixture::with_prefix("rca_queue") {
        let (labels, slots) = (image_labels(&case), case.tensor("queue"));
        let (classes, length, _) = slots.dims3().unwrap();
        assert_eq!(length, case.count("queue_len"));
        let pointer = indices(&case, "queue_ptr").into_iter().map(|slot| slot as u32).collect();
        let queue = ClassQueue::from_parts(&slots, pointer, vec![length as u32; classes]).unwrap();
        let config = RcaConfig {
            memory_momentum: case.constant("momentum"),
            gate: case.constant("prob_gate"),
            ..RcaConfig::default()
        };
        let regions = Regions::new(&case.tensor("map_coarse"), &labels).unwrap();
        let (x, probabilities) = (case.tensor("x"), case.tensor("probs"));
        let next = update_memory(&x, &regions, &probabilities, &labels, &queue, &config).unwrap();
        case.check("queue_after", next.slots(), TENSOR);
        let pointer: Vec<f64> = next.pointer().iter().map(|slot| f64::from(*slot)).collect();
        assert_eq!(pointer, numbers(&case.tensor("queue_ptr_after")), "{}", case.name);
        // What is written is small beside the slots, whose storage in float32 limits it: compared apart.
        let moved = (next.slots() - &slots).unwrap();
        let largest = |tensor: &Tensor| numbers(tensor).into_iter().fold(0f64, |most, x| most.max(x.abs()));
        let limit = TENSOR * largest(&slots) / largest(&moved);
        assert!(limit < 1e-3, "{}: the update drowns in the slots", case.name);
        assert_close(&case.name, &moved, &(case.tensor("queue_after") - &slots).unwrap(), limit).unwrap();
    }
}
