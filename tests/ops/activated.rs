use candle_core::{DType, Tensor, Var};
use candle_wsss::ops::{Conv2dSpec, affine_relu, affine_relu_conv2d, conv2d};
use candle_wsss::testing::{assert_close, gradient_error, is_emulated, randn};

use super::{ramp, values};

/// Sizes of a case: input, weight, geometry.
type Case = ([usize; 4], [usize; 4], Conv2dSpec);

fn spec(stride: usize, padding: usize, dilation: usize, groups: usize) -> Conv2dSpec {
    Conv2dSpec { stride, padding, dilation, groups }
}

fn cases() -> Vec<Case> {
    vec![
        ([2, 3, 9, 11], [5, 3, 3, 3], spec(1, 1, 1, 1)),
        ([5, 4, 12, 12], [100, 4, 3, 3], spec(1, 4, 4, 1)),
        ([3, 6, 7, 8], [4, 3, 3, 3], spec(2, 1, 1, 2)),
        ([1, 100, 5, 5], [7, 100, 1, 1], spec(1, 0, 1, 1)),
        ([4, 2, 1, 1], [3, 2, 1, 1], spec(1, 0, 1, 1)),
        ([2, 60, 8, 8], [12, 60, 3, 3], spec(1, 2, 2, 1)),
        ([3, 5, 6, 7], [101, 5, 1, 1], spec(2, 0, 1, 1)),
    ]
}

/// Input, scale, shift, weight, and what is added; some scales are 0 when there is one for each image.
fn inputs((x, weight, spec): &Case, each: bool, dtype: DType) -> [Tensor; 5] {
    let (x, weight) = (randn(1, x).unwrap(), randn(2, weight).unwrap());
    let (n, channels, _, _) = x.dims4().unwrap();
    let dims = if each { vec![n, channels] } else { vec![channels] };
    let kept = (ramp(&dims).ge(1.0).unwrap().to_dtype(DType::F64).unwrap() * 1.25).unwrap();
    let [scale, shift] = [3, 4].map(|seed| randn(seed, &dims).unwrap());
    let [scale, shift] = [scale, shift].map(|t| if each { (t * &kept).unwrap() } else { t });
    let added = randn(5, conv2d(&x, &weight, *spec).unwrap().dims()).unwrap();
    [x, scale, shift, weight, added].map(|t| t.to_dtype(dtype).unwrap())
}

/// One operation after the other.
fn composed(t: &[Tensor; 5], spec: Conv2dSpec, with_sum: bool) -> Tensor {
    let [x, scale, shift, weight, added] = t;
    let (n, c, h, w) = x.dims4().unwrap();
    let all = |t: &Tensor| t.broadcast_as((n, c)).unwrap().flatten_all().unwrap();
    let flat = affine_relu(&x.reshape((1, n * c, h, w)).unwrap(), &all(scale), &all(shift)).unwrap();
    let y = conv2d(&flat.reshape((n, c, h, w)).unwrap(), weight, spec).unwrap();
    if with_sum { (y + added).unwrap() } else { y }
}

fn fused(t: &[Tensor; 5], spec: Conv2dSpec, with_sum: bool) -> Tensor {
    let [x, scale, shift, weight, added] = t;
    affine_relu_conv2d(x, [scale, shift], weight, spec, with_sum.then_some(added)).unwrap()
}

type Form = fn(&[Tensor; 5], Conv2dSpec, bool) -> Tensor;

/// Result and the gradients of input, weight and what is added, those there are.
fn all(form: Form, t: &[Tensor; 5], spec: Conv2dSpec, with_sum: bool) -> Vec<Tensor> {
    let [x, scale, shift, weight, added] = t;
    let [x, weight, added] = [x, weight, added].map(|t| Var::from_tensor(t).unwrap());
    let variables = [&x, &weight, &added].map(|v| v.as_tensor().clone());
    let [tx, tweight, tadded] = variables.clone();
    let y = form(&[tx, scale.clone(), shift.clone(), tweight, tadded], spec, with_sum);
    let r = randn(9, y.dims()).unwrap().to_dtype(y.dtype()).unwrap();
    let grads = (&y * r).unwrap().sum_all().unwrap().backward().unwrap();
    let found = variables.iter().filter_map(|v| grads.get(v).cloned());
    std::iter::once(y.detach()).chain(found).collect()
}

#[test]
fn equals_one_operation_after_the_other() {
    for (dtype, tolerance) in [(DType::F64, 1e-13), (DType::F32, 1e-5), (DType::BF16, 0.05), (DType::F16, 0.01)] {
        for case in cases() {
            for (each, with_sum) in [(false, false), (true, true), (false, true), (true, false)] {
                let t = inputs(&case, each, dtype);
                let wide = t.clone().map(|t| t.to_dtype(DType::F64).unwrap());
                let want = all(composed, &wide, case.2, with_sum);
                let got = all(fused, &t, case.2, with_sum);
                assert_eq!(got.len(), 3 + usize::from(with_sum));
                for (i, (got, want)) in got.iter().zip(&want).enumerate() {
                    assert_eq!(got.dtype(), dtype);
                    // Gradients of rounded numbers differ by what their sums are rounded by.
                    let scale = values(want).into_iter().fold(1f64, |most, v| most.max(v.abs()));
                    let what = format!("{case:?} {dtype:?} {each} {with_sum}, tensor {i}");
                    assert_close(&what, &(got / scale).unwrap(), &(want / scale).unwrap(), tolerance).unwrap();
                }
            }
        }
    }
}

#[test]
fn the_same_bits_for_every_number_of_threads() {
    for case in cases() {
        let t = inputs(&case, true, DType::F32);
        let with_threads = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let results = pool.install(|| all(fused, &t, case.2, true));
            results.iter().map(|t| values(t).into_iter().map(f64::to_bits).collect::<Vec<_>>()).collect::<Vec<_>>()
        };
        let one = with_threads(1);
        assert!(one == with_threads(2) && one == with_threads(3), "{case:?}");
    }
}

#[test]
fn gradients_match_differences() {
    let case = ([2, 3, 5, 4], [4, 3, 3, 3], spec(1, 1, 1, 1));
    let inputs = inputs(&case, false, DType::F64);
    // Scale and shift take part, which is the composed form.
    let error = gradient_error(&inputs, 40, |t| {
        let y = affine_relu_conv2d(&t[0], [&t[1], &t[2]], &t[3], case.2, Some(&t[4]))?;
        Ok((y.sqr()? * ramp(y.dims()))?.sum_all()?)
    });
    assert!(error.unwrap() < 1e-6);
    let [_, scale, shift, ..] = inputs.clone();
    let rest = [&inputs[0], &inputs[3], &inputs[4]].map(Tensor::clone);
    let error = gradient_error(&rest, 40, |t| {
        let y = affine_relu_conv2d(&t[0], [&scale, &shift], &t[1], case.2, Some(&t[2]))?;
        Ok((y.sqr()? * ramp(y.dims()))?.sum_all()?)
    });
    assert!(error.unwrap() < 1e-6);
}

#[test]
fn frozen_inputs_get_no_gradient() {
    let case = ([2, 3, 5, 4], [4, 3, 3, 3], spec(1, 1, 1, 1));
    let [x, scale, shift, weight, added] = inputs(&case, false, DType::F64);
    let weight = Var::from_tensor(&weight).unwrap();
    let y = affine_relu_conv2d(&x, [&scale, &shift], weight.as_tensor(), case.2, Some(&added)).unwrap();
    let grads = y.backward().unwrap();
    assert!(grads.get(&weight).is_some());
    for frozen in [&x, &scale, &shift] {
        assert!(grads.get(frozen).is_none());
    }
    // On devices it is candle's addition, which gives both sides a gradient.
    assert!(is_emulated() || grads.get(&added).is_none());
}

#[test]
fn wrong_shapes_are_errors() {
    let case = ([2, 3, 5, 4], [4, 3, 3, 3], spec(1, 1, 1, 1));
    let [x, scale, shift, weight, added] = inputs(&case, false, DType::F64);
    let message = |scale: &Tensor, added: &Tensor| {
        affine_relu_conv2d(&x, [scale, &shift], &weight, case.2, Some(added)).unwrap_err().to_string()
    };
    assert!(message(&ramp(&[4]), &added).contains("affine_relu_conv2d scale"));
    assert!(message(&scale, &ramp(&[2, 4, 5, 5])).contains("affine_relu_conv2d added"));
    assert!(affine_relu_conv2d(&x, [&scale, &shift], &ramp(&[4, 2, 3, 3]), case.2, None).is_err());
}
