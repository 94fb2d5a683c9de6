//! The network of RCA at full width against the released code: this baseline and RCA's own layers on one set of
//! weights, from a generator both sides share.
//!
//! In float64, as the reference: in float32 some of the millions of rectifications and pools here are so close to their
//! edge that they fall on its other side, and the gradient of the image shows each.

use std::collections::HashMap;

use candle_core::{DType, Device, Storage, Tensor, Var};
use candle_nn::VarBuilder;
use candle_wsss::regularizer::rca::{RcaConfig, RcaHeads, Regions, region_contrast, update_memory};
use candle_wsss::{Baseline, ClassQueue, ImageLabels, Mode, ReplaySampler, View, ViewOutput};
use candle_wsss_baselines::oaa::{Oaa, OaaConfig};

use crate::fixture::Fixture;
use crate::support::generator::{Generator, parse};
use crate::support::{SCALAR, TENSOR, labels, spatial_mean};

/// A case: the network with the generated weights, as variables under the reference's names.
struct Case {
    f: Fixture,
    labels: ImageLabels,
    model: Oaa,
    heads: RcaHeads,
    config: RcaConfig,
    vars: HashMap<String, Var>,
    /// Buffers whose name and number end in the class: `queue` and `cluter`.
    buffers: HashMap<String, Vec<Tensor>>,
}

impl Case {
    fn new(f: Fixture) -> Self {
        let labels = labels(&f);
        let generator = Generator { rules: &f.json["generator"] };
        let (mut vars, mut buffers) = (HashMap::new(), HashMap::<String, Vec<Tensor>>::new());
        for entry in f.json["parameters"].as_array().unwrap() {
            let mut parts = entry.as_str().unwrap().split(' ');
            let (name, shape, kind) = (parts.next().unwrap(), parts.next().unwrap(), parts.next().unwrap());
            let dims: Vec<usize> = shape.split('x').map(|dim| dim.parse().unwrap()).collect();
            if kind == "buffer" {
                let stem = name.trim_end_matches(|c: char| c.is_ascii_digit());
                let draw = parse(generator.rule(&format!("{stem}{{i}}")), 1);
                let rows = buffers.entry(stem.to_string()).or_default();
                assert_eq!(name, format!("{stem}{}", rows.len()));
                rows.push(generator.tensor(name, draw, &dims).to_dtype(DType::F64).unwrap());
            } else {
                let tensor = generator.tensor(name, generator.draw_of(name, kind, &dims), &dims);
                vars.insert(name.to_string(), variable(&tensor));
            }
        }
        let tensors = vars.iter().map(|(name, var): (&String, &Var)| (name.clone(), var.as_tensor().clone())).collect();
        let vb = VarBuilder::from_tensors(tensors, DType::F64, &Device::Cpu);
        let rows = |stem: &str| buffers[stem][0].dim(0).unwrap();
        let config = RcaConfig { memory_length: rows("queue"), clusters: rows("cluter"), ..RcaConfig::default() };
        let model = Oaa::new(OaaConfig::under_rca(), labels.layout(), vb.clone()).unwrap();
        let heads = RcaHeads::new(model.spec(), &config, &vb).unwrap();
        Self { labels, model, heads, config, vars, buffers, f }
    }

    fn image(&self) -> Var {
        let (name, about) = self.f.json["inputs"].as_object().unwrap().iter().next().unwrap();
        let dims: Vec<usize> =
            about["shape"].as_array().unwrap().iter().map(|dim| dim.as_u64().unwrap() as usize).collect();
        let generator = Generator { rules: &self.f.json["generator"] };
        let rule = generator.rule("input").split(" with ").next().unwrap();
        let image = generator.tensor("input", parse(rule, 1), &dims);
        let got = image.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        for (got, want) in got.iter().zip(about["first4"].as_array().unwrap()) {
            assert_eq!(f64::from(*got), want.as_f64().unwrap(), "{}: input {name}", self.f.name);
        }
        variable(&image)
    }

    /// `(classes, rows, channels)`.
    fn buffer(&self, stem: &str) -> Tensor {
        Tensor::stack(&self.buffers[stem], 0).unwrap()
    }

    fn queue(&self) -> ClassQueue {
        let (slots, classes) = (self.buffer("queue"), self.buffers["queue"].len());
        let start = self.f.json["generator"]["queue_ptr"].as_u64().unwrap() as u32;
        ClassQueue::from_parts(&slots, vec![start; classes], vec![self.config.memory_length as u32; classes]).unwrap()
    }

    /// Compares the first channels, as many as are stored, and the mean of every one.
    fn check_features(&self, name: &str, got: &Tensor) {
        self.f.check(&format!("{name}_channel_mean"), &spatial_mean(got), TENSOR);
        let prefix = format!("{name}_ch0_");
        let stored = self.f.json["tensors"].as_object().unwrap().keys().find(|key| key.starts_with(&prefix)).unwrap();
        let channels = stored[prefix.len()..].parse().unwrap();
        self.f.check(stored, &got.narrow(1, 0, channels).unwrap(), TENSOR);
    }

    /// The draws of the reference in its order: for each region a permutation of the images, of which it takes the
    /// entry of its own image; one of that image's labels, of which it takes the first; and a share.
    fn recorded(&self) -> ReplaySampler {
        let draws = &self.f.json["random_choices"];
        let mut permutations = draws["randperm_calls_in_order"].as_array().unwrap().iter();
        let mut next = |entry: usize| permutations.next().unwrap()[entry].as_u64().unwrap() as usize;
        let mut shares = draws["beta_draws_in_order"].as_array().unwrap().iter().map(|share| share.as_f64().unwrap());
        let mut tape = ReplaySampler::new();
        for image in 0..self.labels.len() {
            for class in self.labels.of_image(image) {
                let scope = format!("mix/{image}/{class}");
                tape = tape
                    .record_distinct(&scope, vec![next(image)])
                    .record_distinct(&scope, vec![next(0)])
                    .record_numbers(&scope, vec![shares.next().unwrap()]);
            }
        }
        tape
    }

    /// Compares the gradient of the image, where stored, and of every parameter; none but the listed ones may have one.
    fn check_gradients(&self, name: &str, scalar: &Tensor, image: &Var) {
        let grads = scalar.backward().unwrap();
        let stored = format!("grad_{name}__input");
        if self.f.has(&stored) {
            self.f.check(&stored, grads.get(image).unwrap(), TENSOR);
        }
        let listed = self.f.json["parameter_gradients"][name].as_array().unwrap();
        for entry in listed {
            let parameter = entry["name"].as_str().unwrap();
            let grad = grads.get(&self.vars[parameter]).unwrap_or_else(|| panic!("{parameter} gets no gradient"));
            let (l2, largest) = over(grad, |grad| {
                let l2 = grad.iter().map(|g| g * g).sum::<f64>().sqrt();
                (l2, grad.iter().fold(0f64, |largest, g| largest.max(g.abs())))
            });
            let want = entry["l2"].as_f64().unwrap();
            assert!((l2 - want).abs() <= SCALAR * want, "{name}, {parameter}: norm {l2} against {want}");
            let first = over(grad, |grad| grad[..grad.len().min(8)].to_vec());
            for (index, (got, want)) in first.iter().zip(entry["first8"].as_array().unwrap()).enumerate() {
                let want = want.as_f64().unwrap();
                let error = (got - want).abs() / largest;
                assert!(
                    error <= TENSOR,
                    "{name}, {parameter}[{index}]: {got} against {want}, {error:.1e} of the largest"
                );
            }
        }
        let reached = self.vars.values().filter(|var| grads.get(var).is_some()).count();
        assert_eq!(reached, listed.len(), "{name}");
    }

    fn check_contrast(&self, regions: &Regions, features: &Tensor, image: &Var) {
        let embeddings = self.heads.embed(features).unwrap();
        self.check_features("mid", &embeddings);
        let (queue, tape) = (self.queue(), self.recorded());
        let contrast = region_contrast(&embeddings, regions, &self.labels, &queue, &self.config, &tape).unwrap();
        let contrast = contrast.unwrap();
        let shares: Vec<f64> = contrast.pairs.iter().map(|pair| pair.share).collect();
        assert_eq!(shares, self.f.tensor("lam").to_vec1::<f64>().unwrap());
        self.f.check_scalar("loss_cl", &contrast.value, SCALAR);
        self.check_gradients("loss_cl", &contrast.value, image);
    }

    fn check_queue(&self, regions: &Regions, output: &ViewOutput, fine_logits: &Tensor) {
        let probabilities = candle_nn::ops::sigmoid(&fine_logits.detach()).unwrap();
        let (before, map) = (self.queue(), &output.features);
        let after = update_memory(map, regions, &probabilities, &self.labels, &before, &self.config).unwrap();
        let pointers: Vec<f64> = after.pointer().iter().map(|pointer| f64::from(*pointer)).collect();
        assert_eq!(pointers, self.f.tensor("queue_ptr_after").to_vec1::<f64>().unwrap());
        let classes: Vec<u32> = self.labels.in_batch().iter().map(|class| *class as u32).collect();
        let first = after.slots().narrow(1, 0, 1).unwrap().squeeze(1).unwrap().contiguous().unwrap();
        let first = first.index_select(&Tensor::new(classes, &Device::Cpu).unwrap(), 0).unwrap();
        self.f.check("queue_row0_after", &first, TENSOR);
    }
}

/// Float32 as it is to float64, without a copy on the way: the weights are a gigabyte.
fn variable(tensor: &Tensor) -> Var {
    let (storage, _) = tensor.storage_and_layout();
    let Storage::Cpu(storage) = &*storage else { panic!("not on the CPU") };
    let values: Vec<f64> = storage.as_slice::<f32>().unwrap().iter().map(|value| f64::from(*value)).collect();
    Var::from_vec(values, tensor.dims(), &Device::Cpu).unwrap()
}

/// What `f` makes of the values of a whole, contiguous tensor, where they lie.
fn over<T>(tensor: &Tensor, f: impl FnOnce(&[f64]) -> T) -> T {
    let tensor = tensor.contiguous().unwrap();
    let (storage, layout) = tensor.storage_and_layout();
    let (start, end) = layout.contiguous_offsets().unwrap();
    let Storage::Cpu(storage) = &*storage else { panic!("not on the CPU") };
    f(&storage.as_slice::<f64>().unwrap()[start..end])
}

fn mean_square(map: &Tensor) -> Tensor {
    map.sqr().unwrap().mean_all().unwrap()
}

#[test]
fn released_network() {
    for f in Fixture::with_prefix("net_rca") {
        let case = Case::new(f);
        let image = case.image();
        let output = case.model.forward(&View::new(image.as_tensor().clone()).unwrap(), Mode::Eval).unwrap();
        case.check_features("feat", &output.features);
        let coarse = output.cam.narrow(1, 0, case.labels.layout().num_foreground()).unwrap();
        case.f.check("map_coarse", &coarse, TENSOR);
        case.f.check("xss", &output.logits, TENSOR);

        let aggregated = case.heads.aggregate(&output.features, &case.buffer("cluter"), case.config.attention).unwrap();
        case.check_features("query_agg", &aggregated.context);
        case.check_features("x_agg", &aggregated.features);
        let fine = case.heads.fine(&aggregated.features).unwrap();
        let fine_logits = spatial_mean(&fine);
        case.f.check("map", &fine, TENSOR);
        case.f.check("xs", &fine_logits, TENSOR);

        for (name, map) in [("S_map", &fine), ("S_map_coarse", &coarse)] {
            let scalar = mean_square(map);
            case.f.check_scalar(name, &scalar, SCALAR);
            case.check_gradients(name, &scalar, &image);
        }
        let regions = Regions::new(&coarse.detach(), &case.labels).unwrap();
        case.check_contrast(&regions, &output.features, &image);
        case.check_queue(&regions, &output, &fine_logits);
    }
}
