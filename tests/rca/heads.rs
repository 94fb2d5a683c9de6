//! The layers: their definition written out, gradients, names, shapes.

use std::collections::{BTreeSet, HashMap};

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use candle_wsss::regularizer::rca::{
    Attention, EmbeddingNorm, FineHead, MemorySpace, ProjectionGroup, RcaConfig, RcaHeads,
};
use candle_wsss::testing::{assert_close, gradient_error, randn};
use candle_wsss::{BaselineSpec, ClassLayout, ParameterGroup, ParameterStore};

use super::inputs::numbers;

fn spec(foreground: usize) -> BaselineSpec {
    BaselineSpec { layout: ClassLayout::new(foreground).unwrap(), feature_dim: 5, stride: 8 }
}

fn small() -> RcaConfig {
    RcaConfig { head: FineHead::PerClass { hidden: Some(3), layers: 2 }, clusters: 2, ..RcaConfig::default() }
}

fn heads(config: &RcaConfig) -> (RcaHeads, ParameterStore) {
    let store = ParameterStore::new();
    let vb = store.var_builder(1, DType::F64, &Device::Cpu);
    (RcaHeads::new(&spec(3), config, &vb).unwrap(), store)
}

fn names(config: &RcaConfig) -> Vec<String> {
    heads(config).1.named_vars().into_iter().map(|(name, _)| name).collect()
}

// Of a parameter, as a matrix or a vector.
fn parameter(store: &ParameterStore, name: &str) -> Tensor {
    store.get(name).unwrap().as_tensor().detach()
}

#[test]
fn names_are_those_of_the_released_code() {
    let both = |layer: &str| ["bias", "weight"].map(|part| format!("{layer}.{part}"));
    let mut want: BTreeSet<String> = ["Q", "K", "V", "aggre", "concat_project", "extra_F.0", "extra_F.1", "extra_F.3"]
        .into_iter()
        .flat_map(both)
        .collect();
    want.extend(["extra_F.1.running_mean", "extra_F.1.running_var"].map(str::to_string));
    let shared: Vec<String> = ["extra_convs.0", "extra_convs.2"].into_iter().flat_map(both).collect();
    let stacks: Vec<String> = (0..3)
        .flat_map(|class| [0, 2, 4].map(|at| format!("extra_convs{class}.{at}")))
        .flat_map(|l| both(&l))
        .collect();
    let with =
        |more: &[String]| want.iter().chain(more).cloned().collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>();
    assert_eq!(names(&small()), with(&stacks));
    let head = FineHead::Shared { hidden: None, layers: 1 };
    assert_eq!(names(&RcaConfig { head, ..small() }), with(&shared));
    let default = names(&RcaConfig::default());
    assert!(default.contains(&"extra_convs2.6.weight".to_string()) && default.len() == want.len() + 3 * 8);
}

#[test]
fn aggregation_is_the_definition_written_out() {
    for attention in [Attention::ScaledProduct, Attention::SoftMax] {
        let (heads, store) = heads(&small());
        let (x, centroids) = (randn(2, &[2, 5, 3, 2]).unwrap(), randn(3, &[3, 2, 5]).unwrap());
        let got = heads.aggregate(&x, &centroids, attention).unwrap();
        let matrix = |name: &str| {
            let weight = parameter(&store, &format!("{name}.weight"));
            let rows = weight.dim(0).unwrap();
            (weight.reshape((rows, ())).unwrap(), parameter(&store, &format!("{name}.bias")))
        };
        let linear = |name: &str, rows: &Tensor| {
            let (weight, bias) = matrix(name);
            rows.matmul(&weight.t().unwrap()).unwrap().broadcast_add(&bias).unwrap()
        };
        let pixels = x.permute((0, 2, 3, 1)).unwrap().reshape((12, 5)).unwrap();
        let rows = centroids.reshape((6, 5)).unwrap();
        let products = linear("Q", &pixels).matmul(&linear("K", &rows).t().unwrap()).unwrap();
        let similarity = match attention {
            Attention::ScaledProduct => (products * 1.5).unwrap(),
            Attention::SoftMax => {
                let logits = (products / 5f64.sqrt()).unwrap().exp().unwrap();
                logits.broadcast_div(&logits.sum_keepdim(1).unwrap()).unwrap()
            }
        };
        let context = linear("aggre", &similarity.matmul(&linear("V", &rows)).unwrap());
        let features = linear("concat_project", &Tensor::cat(&[&pixels, &context], 1).unwrap());
        let map =
            |rows: &Tensor| rows.reshape((2, 3, 2, ())).unwrap().permute((0, 3, 1, 2)).unwrap().contiguous().unwrap();
        assert_close("similarity", &got.similarity, &map(&similarity), 1e-12).unwrap();
        assert_close("context", &got.context, &map(&context), 1e-12).unwrap();
        assert_close("features", &got.features, &map(&features), 1e-12).unwrap();
    }
}

#[test]
fn each_class_has_its_own_stack() {
    let (heads, store) = heads(&small());
    let x = randn(4, &[2, 5, 4, 3]).unwrap();
    let got = heads.fine(&x).unwrap();
    let conv = |name: &str, x: &Tensor, padding: usize| {
        let bias = parameter(&store, &format!("{name}.bias")).reshape((1, (), 1, 1)).unwrap();
        let weight = parameter(&store, &format!("{name}.weight"));
        x.conv2d(&weight, padding, 1, 1, 1).unwrap().broadcast_add(&bias).unwrap()
    };
    for class in 0..3 {
        let hidden = conv(&format!("extra_convs{class}.0"), &x, 1).relu().unwrap();
        let hidden = conv(&format!("extra_convs{class}.2"), &hidden, 1).relu().unwrap();
        let map = conv(&format!("extra_convs{class}.4"), &hidden, 0);
        assert_close("fine map", &got.narrow(1, class, 1).unwrap(), &map, 1e-12).unwrap();
    }
}

// Gradient of everything with respect to the features and to one tensor of each layer.
#[test]
fn gradient_is_the_numeric_one() {
    for attention in [Attention::ScaledProduct, Attention::SoftMax] {
        let config = RcaConfig { attention, ..small() };
        let (_, store) = heads(&config);
        let moving = [
            "Q.weight",
            "K.weight",
            "K.bias",
            "V.weight",
            "aggre.bias",
            "concat_project.weight",
            "extra_F.0.weight",
            "extra_F.1.weight",
            "extra_F.1.bias",
            "extra_F.3.bias",
            "extra_convs1.2.weight",
            "extra_convs2.4.bias",
        ];
        let mut inputs = vec![randn(5, &[2, 5, 3, 3]).unwrap()];
        inputs.extend(moving.map(|name| parameter(&store, name)));
        let centroids = randn(6, &[3, 2, 5]).unwrap();
        let error = gradient_error(&inputs, 12, |inputs| {
            let mut tensors: HashMap<String, Tensor> =
                store.named_vars().into_iter().map(|(name, var)| (name, var.as_tensor().detach())).collect();
            tensors.extend(moving.iter().zip(&inputs[1..]).map(|(name, value)| (name.to_string(), value.clone())));
            let heads = RcaHeads::new(&spec(3), &config, &VarBuilder::from_tensors(tensors, DType::F64, &Device::Cpu))?;
            let fine = heads.fine(&heads.aggregate(&inputs[0], &centroids, attention)?.features)?;
            let embedded =
                (heads.embed(&inputs[0])?.sqr()?.sum_all()? + heads.embed_in_training(&inputs[0])?.sum_all()?)?;
            Ok((fine.sqr()?.sum_all()? + embedded)?)
        });
        assert!(error.unwrap() < 1e-6);
    }
}

#[test]
fn groups_go_by_name() {
    let groups = |config: &RcaConfig| {
        let heads = heads(config).0;
        [
            "extra_F.1.running_var",
            "extra_F.1.weight",
            "extra_F.0.weight",
            "extra_convs2.4.bias",
            "Q.bias",
            "K.weight",
            "concat_project.weight",
        ]
        .map(|name| heads.parameter_group(name))
    };
    use ParameterGroup::{FromScratch, Frozen, Pretrained};
    assert_eq!(groups(&small()), [Frozen, FromScratch, FromScratch, FromScratch, Pretrained, Pretrained, Pretrained]);
    let projection_group = ProjectionGroup::FromScratch;
    let want = [Frozen, FromScratch, FromScratch, FromScratch, FromScratch, FromScratch, FromScratch];
    assert_eq!(groups(&RcaConfig { projection_group, ..small() }), want);
    let frozen = groups(&RcaConfig { embedding_norm: EmbeddingNorm::Frozen, ..small() });
    assert_eq!(frozen, [Frozen, Frozen, FromScratch, FromScratch, Pretrained, Pretrained, Pretrained]);
}

#[test]
fn embeddings_of_another_width_need_a_memory_of_embeddings() {
    let config = RcaConfig { embedding_dim: Some(4), ..small() };
    let store = ParameterStore::new();
    let vb = store.var_builder(1, DType::F64, &Device::Cpu);
    let message = RcaHeads::new(&spec(3), &config, &vb).unwrap_err().to_string();
    assert!(message.contains("`embedding_dim`: must be 5") && message.contains("is 4"), "{message}");
    let (heads, _) = heads(&RcaConfig { memory_space: MemorySpace::Query, ..config });
    let x = randn(7, &[1, 5, 3, 3]).unwrap();
    assert_eq!(heads.embed(&x).unwrap().dims(), [1, 4, 3, 3]);
    let got = heads.aggregate(&x, &randn(8, &[3, 2, 4]).unwrap(), Attention::SoftMax).unwrap();
    assert_eq!(got.features.dims(), x.dims());
    assert!(heads.aggregate(&x, &randn(8, &[3, 2, 5]).unwrap(), Attention::SoftMax).is_err());
    let narrow = x.narrow(1, 0, 3).unwrap();
    for message in [heads.embed(&narrow).unwrap_err(), heads.fine(&narrow).unwrap_err()] {
        assert!(message.to_string().contains("features: expected shape (N, 5, h, w)"));
    }
}

#[test]
fn soft_max_weights_are_shares() {
    let (heads, _) = heads(&small());
    // Products that would overflow an exponential.
    let x = (randn(9, &[1, 5, 2, 2]).unwrap() * 1e6).unwrap();
    let got = heads.aggregate(&x, &randn(10, &[3, 2, 5]).unwrap(), Attention::SoftMax).unwrap();
    for sum in numbers(&got.similarity.sum(1).unwrap()) {
        assert!((sum - 1.0).abs() < 1e-12);
    }
}

// By the batch: every channel before the `relu` has mean 0 and variance 1, unless its affine part says otherwise.
#[test]
fn embeddings_are_normalised_by_the_batch_or_not_at_all() {
    let x = randn(9, &[2, 5, 3, 3]).unwrap();
    let (frozen, _) = heads(&RcaConfig { embedding_norm: EmbeddingNorm::Frozen, ..small() });
    let (trained, store) = heads(&small());
    let values = |map: Tensor| map.flatten_all().unwrap().to_vec1::<f64>().unwrap();
    assert_eq!(values(frozen.embed_in_training(&x).unwrap()), values(frozen.embed(&x).unwrap()));
    let before = values(trained.embed_in_training(&x).unwrap());
    // A shift and a scale of what goes in change nothing that comes out, but for the epsilon beside the variance.
    let hidden = store.get("extra_F.0.weight").unwrap();
    hidden.set(&(hidden.as_tensor() * 50.0).unwrap()).unwrap();
    let bias = store.get("extra_F.0.bias").unwrap();
    bias.set(&(bias.as_tensor() + 3.0).unwrap()).unwrap();
    for (before, after) in before.iter().zip(values(trained.embed_in_training(&x).unwrap())) {
        assert!((before - after).abs() < 1e-3, "{before} became {after}");
    }
}
