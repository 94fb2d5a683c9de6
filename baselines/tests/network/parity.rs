//! The networks at full width against the released code, with weights from a generator both sides share.

use std::collections::HashMap;
use std::sync::Arc;

use candle_core::{DType, Device, Tensor, Var};
use candle_nn::VarBuilder;
use candle_wsss::ops::{self, Conv2dSpec, Corners};
use candle_wsss::regularizer::hsc::{HscConfig, HscHeads};
use candle_wsss::testing::assert_close;
use candle_wsss::{Baseline, ClassLayout, Mode, View, ViewOutput};
use candle_wsss_baselines::backbone::{Backbone, BackboneConfig};
use candle_wsss_baselines::config::BaselineConfig;
use candle_wsss_baselines::eps::EpsConfig;
use candle_wsss_baselines::seam::{PcmConfig, SeamConfig, background_to_last, pcm};

use crate::fixture::Fixture;
use crate::support::generator::{Generator, parse};
use crate::support::{self, background_last, spatial_mean};

/// Largest errors of tensors and of scalars in a precision.
fn tolerances(dtype: DType) -> (f64, f64) {
    if dtype == DType::F64 { (support::TENSOR, support::SCALAR) } else { (2e-5, 1e-5) }
}

fn builder(vars: &HashMap<String, Var>, dtype: DType) -> VarBuilder<'static> {
    let tensors = vars.iter().map(|(name, var)| (name.clone(), var.as_tensor().clone())).collect();
    VarBuilder::from_tensors(tensors, dtype, &Device::Cpu)
}

/// A case: the network with the generated weights, as variables under the reference's names.
struct Case {
    f: Fixture,
    model: Box<dyn Baseline>,
    /// The network's, on the same weights.
    trunk: Arc<dyn Backbone>,
    vars: HashMap<String, Var>,
    is_background_first: bool,
    dtype: DType,
    tensor: f64,
    scalar: f64,
}

impl Case {
    fn new(f: Fixture, config: &BaselineConfig, is_background_first: bool, dtype: DType) -> Self {
        let mut vars = HashMap::new();
        let mut classes = 0;
        for entry in f.json["parameters"].as_array().unwrap() {
            let mut parts = entry.as_str().unwrap().split(' ');
            let (name, shape, kind) = (parts.next().unwrap(), parts.next().unwrap(), parts.next().unwrap());
            let dims: Vec<usize> = shape.split('x').map(|dim| dim.parse().unwrap()).collect();
            let generator = Generator { rules: &f.json["generator"] };
            let mut tensor = generator.tensor(name, generator.draw_of(name, kind, &dims), &dims);
            if name == "fc8.weight" {
                classes = dims[0];
                if is_background_first {
                    tensor = background_to_last(&tensor, 0).unwrap();
                }
            }
            vars.insert(name.to_string(), Var::from_tensor(&tensor.to_dtype(dtype).unwrap()).unwrap());
        }
        let vb = builder(&vars, dtype);
        let layout = ClassLayout::new(classes - 1).unwrap();
        let model = config.build(layout, vb.clone()).unwrap();
        let trunk = BackboneConfig::default().build(vb).unwrap();
        let (tensor, scalar) = tolerances(dtype);
        Self { f, model, trunk, vars, is_background_first, dtype, tensor, scalar }
    }

    /// The projections of HSC, on the same weights.
    fn heads(&self) -> HscHeads {
        let rows = |name: &str| self.vars[name].dim(0).unwrap();
        let config = HscConfig {
            pixel_dim: rows("proj_fc.weight"),
            region_dim: rows("extra_F.3.weight"),
            ..HscConfig::default()
        };
        HscHeads::new(self.model.spec().feature_dim, &config, &builder(&self.vars, self.dtype)).unwrap()
    }

    fn image(&self, input: &str) -> Tensor {
        let about = &self.f.json["inputs"][input];
        let dims: Vec<usize> =
            about["shape"].as_array().unwrap().iter().map(|dim| dim.as_u64().unwrap() as usize).collect();
        let generator = Generator { rules: &self.f.json["generator"] };
        let image = generator.tensor("input", parse(generator.rule("input"), 1), &dims);
        let got = image.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        for (got, want) in got.iter().zip(about["first4"].as_array().unwrap()) {
            assert_eq!(f64::from(*got), want.as_f64().unwrap(), "{}: input {input}", self.f.name);
        }
        image.to_dtype(self.dtype).unwrap()
    }

    fn ours(&self, name: &str) -> Tensor {
        let stored = self.f.tensor(name);
        if self.is_background_first { background_last(&stored, 0) } else { stored }
    }

    fn check_maps(&self, name: &str, got: &Tensor) {
        assert_close(&format!("{}: {name}", self.f.name), got, &self.ours(name), self.tensor).unwrap();
    }

    /// Runs the network on an input and compares everything that both networks have.
    fn forward(&self, input: &str, image: &Tensor) -> ViewOutput {
        let view = View::new(image.clone()).unwrap();
        let taps = self.trunk.forward(&image.detach(), None).unwrap();
        for (name, map) in [("conv4", &taps.low), ("conv5", &taps.high), ("conv6", &taps.last)] {
            self.f.check(&format!("{input}_{name}_channel_mean"), &spatial_mean(map), self.tensor);
        }
        let output = self.model.forward(&view, Mode::Eval).unwrap();
        output.check(self.model.spec()).unwrap();
        assert_close("features", &output.features, &taps.last, 0.0).unwrap();
        self.check_maps(&format!("{input}_cam_low"), &output.cam);
        if let Some(refined) = &output.refined_cam {
            let epsilon = PcmConfig::default().epsilon;
            let seeds = pcm::normalized_seeds(&output.cam, self.model.spec().layout, epsilon).unwrap();
            self.check_maps(&format!("{input}_cam_d_norm"), &seeds);
            self.check_maps(&format!("{input}_cam_rv_low"), refined);
        }
        output
    }

    /// Compares the first channels, as many as are stored: their number ends the name.
    fn check_channels(&self, prefix: &str, got: &Tensor) {
        let tensors = self.f.json["tensors"].as_object().unwrap();
        let name = tensors.keys().find(|name| name.starts_with(prefix)).unwrap();
        let channels = name[prefix.len()..].parse().unwrap();
        self.f.check(name, &got.narrow(1, 0, channels).unwrap(), self.tensor);
    }

    /// The released code returns means of the background's map as well.
    fn check_logits(&self, name: &str, output: &ViewOutput) {
        let means = spatial_mean(&output.cam);
        self.f.check(name, &means, self.tensor);
        let foreground = means.narrow(1, 0, self.model.spec().layout.num_foreground()).unwrap();
        assert_close(name, &output.logits, &foreground, self.tensor).unwrap();
    }

    fn check_scalar(&self, name: &str, output: &Tensor) -> Tensor {
        let scalar = output.sqr().unwrap().mean_all().unwrap();
        self.f.check_scalar(name, &scalar, self.scalar);
        scalar
    }

    /// Compares the gradient of the image, where stored, and of every parameter; none but the listed ones may have one.
    fn check_gradients(&self, name: &str, scalar: &Tensor, image: &Var) {
        let grads = scalar.backward().unwrap();
        let stored = format!("a_grad_{name}__input");
        if self.f.has(&stored) {
            self.f.check(&stored, grads.get(image).unwrap(), self.tensor);
        }
        let listed = self.f.json["parameter_gradients"][name].as_array().unwrap();
        let mut seen = 0;
        for entry in listed {
            let parameter = entry["name"].as_str().unwrap();
            let grad = grads.get(&self.vars[parameter]).unwrap_or_else(|| panic!("{parameter} gets no gradient"));
            let mut grad = grad.to_dtype(DType::F64).unwrap();
            if parameter == "fc8.weight" && self.is_background_first {
                let last = grad.dim(0).unwrap() - 1;
                grad = Tensor::cat(&[grad.narrow(0, last, 1).unwrap(), grad.narrow(0, 0, last).unwrap()], 0).unwrap();
            }
            let grad = grad.flatten_all().unwrap().to_vec1::<f64>().unwrap();
            let l2 = grad.iter().map(|g| g * g).sum::<f64>().sqrt();
            let want = entry["l2"].as_f64().unwrap();
            assert!((l2 - want).abs() <= self.scalar * want, "{name}, {parameter}: norm {l2} against {want}");
            let largest = grad.iter().fold(0f64, |largest, g| largest.max(g.abs()));
            for (index, (got, want)) in grad.iter().zip(entry["first8"].as_array().unwrap()).enumerate() {
                let want = want.as_f64().unwrap();
                let error = (got - want).abs() / largest;
                assert!(
                    error <= self.tensor,
                    "{name}, {parameter}[{index}]: {got} against {want}, {error:.1e} of the largest"
                );
            }
            seen += 1;
        }
        let reached = self.vars.values().filter(|var| grads.get(var).is_some()).count();
        assert_eq!((seen, reached), (listed.len(), listed.len()), "{name}");
    }
}

fn every_fifth(maps: &Tensor) -> Tensor {
    let mut out = maps.clone();
    for dim in [2, 3] {
        let picks = Tensor::arange_step(0u32, out.dim(dim).unwrap() as u32, 5, &Device::Cpu).unwrap();
        out = out.index_select(&picks, dim).unwrap();
    }
    out
}

fn enlarged(maps: &Tensor, image: &Tensor) -> Tensor {
    let (_, _, h, w) = image.dims4().unwrap();
    ops::resize_bilinear(maps, (h, w), Corners::Aligned).unwrap()
}

fn seam_config() -> BaselineConfig {
    BaselineConfig::Seam(SeamConfig::default())
}

impl Case {
    /// Runs SEAM's network and compares its maps as the released code returns them: at the size of the image.
    fn forward_enlarged(&self, input: &str, image: &Tensor) -> (ViewOutput, [Tensor; 2]) {
        let output = self.forward(input, image);
        let maps = [enlarged(&output.cam, image), enlarged(output.seed_cam(), image)];
        for (name, map) in ["cam", "cam_rv"].iter().zip(&maps) {
            self.check_maps(&format!("{input}_{name}_sub5"), &every_fifth(map));
        }
        (output, maps)
    }

    /// Compares scalars, and on the first input their gradients.
    fn check_scalars(&self, input: &str, image: &Var, outputs: &[(&str, &Tensor)]) {
        for (name, output) in outputs {
            let scalar = self.check_scalar(&format!("{input}_{name}"), output);
            // In float32 a rectification among millions may choose otherwise, which shows in gradients.
            if input == "a" && self.dtype == DType::F64 {
                self.check_gradients(name, &scalar, image);
            }
        }
    }
}

#[test]
fn seam() {
    for dtype in [DType::F64, DType::F32] {
        seam_in(dtype);
    }
}

fn seam_in(dtype: DType) {
    for f in Fixture::with_prefix("net_seam") {
        let case = Case::new(f, &seam_config(), true, dtype);
        for input in ["a", "b"] {
            let image = Var::from_tensor(&case.image(input)).unwrap();
            let (_, [cam, refined]) = case.forward_enlarged(input, &image);
            case.check_scalars(input, &image, &[("S_cam", &cam), ("S_cam_rv", &refined)]);
        }
    }
}

// PPC projects the features of SEAM's network.
#[test]
fn ppc() {
    for f in Fixture::with_prefix("net_ppc") {
        let case = Case::new(f, &seam_config(), true, DType::F64);
        let projection = case.vars["fc_proj.weight"].as_tensor();
        for input in ["a", "b"] {
            let image = Var::from_tensor(&case.image(input)).unwrap();
            let (output, [cam, refined]) = case.forward_enlarged(input, &image);
            let projected = ops::conv2d(&output.features, projection, Conv2dSpec::default()).unwrap();
            let projected = ops::relu(&projected).unwrap();
            case.f.check(&format!("{input}_f_proj"), &projected, case.tensor);
            let outputs = [("S_cam", &cam), ("S_cam_rv", &refined), ("S_f_proj", &projected)];
            case.check_scalars(input, &image, &outputs);
        }
    }
}

// EPS returns its maps as they are, and has the background last.
#[test]
fn eps() {
    for f in Fixture::with_prefix("net_eps") {
        let case = Case::new(f, &BaselineConfig::Eps(EpsConfig::default()), false, DType::F64);
        for input in ["a", "b"] {
            let image = Var::from_tensor(&case.image(input)).unwrap();
            let output = case.forward(input, &image);
            assert!(output.refined_cam.is_none());
            case.check_logits(&format!("{input}_pred"), &output);
            case.check_scalars(input, &image, &[("S_cam", &output.cam)]);
        }
    }
}

// HSC stands on EPS with SEAM's module.
#[test]
fn hsc() {
    for f in Fixture::with_prefix("net_hsc") {
        let case = Case::new(f, &BaselineConfig::Eps(EpsConfig::with_pcm()), false, DType::F64);
        let heads = case.heads();
        for input in ["a", "b"] {
            let image = Var::from_tensor(&case.image(input)).unwrap();
            let output = case.forward(input, &image);
            case.check_logits(&format!("{input}_pred"), &output);
            case.f.check(&format!("{input}_pred_rv"), &spatial_mean(output.seed_cam()), case.tensor);
            let maps = heads.forward(&output.features).unwrap();
            case.f.check(&format!("{input}_f_map_1"), &maps.pixel, case.tensor);
            case.f.check(&format!("{input}_f_map_2_channel_mean"), &spatial_mean(&maps.region), case.tensor);
            case.check_channels(&format!("{input}_f_map_2_ch0_"), &maps.region);
            let outputs = [
                ("S_cam", &output.cam),
                ("S_cam_rv", output.seed_cam()),
                ("S_f_map_1", &maps.pixel),
                ("S_f_map_2", &maps.region),
            ];
            case.check_scalars(input, &image, &outputs);
        }
    }
}
