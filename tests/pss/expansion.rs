use candle_core::{DType, Device, Tensor};
use candle_wsss::ClassLayout;
use candle_wsss::ops::{Corners, resize_bilinear};
use candle_wsss::regularizer::pss::{expansion_loss, expansion_target, foreground_maps, scale_attention};
use candle_wsss::testing::{assert_close, gradient_error, randn};

use super::inputs::{labels, max_norm, numbers};

// Maps as a network makes them, normalised: `(n, foreground, 4, 5)`.
fn maps(seed: u64, n: usize, foreground: usize) -> Tensor {
    let cam = randn(seed, &[n, foreground + 1, 4, 5]).unwrap();
    foreground_maps(&cam, ClassLayout::new(foreground).unwrap()).unwrap()
}

fn attention_by_loops(main: &[f64], support: &[&[f64]], temperature: f64) -> Vec<f64> {
    let length = |map: &[f64]| map.iter().map(|v| v * v).sum::<f64>().sqrt().max(1e-12);
    let exponentials: Vec<f64> = support
        .iter()
        .map(|map| {
            let product: f64 = map.iter().zip(main).map(|(a, b)| a * b).sum();
            ((1.0 - product / (length(map) * length(main))) / temperature).exp()
        })
        .collect();
    let sum: f64 = exponentials.iter().sum();
    exponentials.iter().map(|e| e / sum).collect()
}

#[test]
fn the_term_is_that_of_loops() {
    for (foreground, present) in [(3, &[&[0, 2][..], &[1]][..]), (1, &[&[0]]), (5, &[&[4], &[], &[0, 1]])] {
        let n = present.len();
        let support: Vec<Tensor> = (0..4).map(|seed| maps(seed, n, foreground)).collect();
        let main: Vec<Tensor> = (10..13).map(|seed| maps(seed, n, foreground)).collect();
        let attention = scale_attention(&main[1], &support, 0.5).unwrap();
        let target = expansion_target(&support, &attention).unwrap();
        let labels = labels(present, foreground, DType::F64);
        let got = expansion_loss(&main, &target, &labels).unwrap().unwrap().to_scalar::<f64>().unwrap();
        let pixels = 20;
        let flat = |maps: &[Tensor]| maps.iter().map(numbers).collect::<Vec<_>>();
        let (support, main) = (flat(&support), flat(&main));
        let (mut sum, mut count) = (0.0, 0.0);
        for (image, class) in present.iter().enumerate().flat_map(|(i, c)| c.iter().map(move |c| (i, *c))) {
            let of = |map: &Vec<f64>| map[(image * foreground + class) * pixels..][..pixels].to_vec();
            let views: Vec<Vec<f64>> = support.iter().map(of).collect();
            let shares = attention_by_loops(&of(&main[1]), &views.iter().map(Vec::as_slice).collect::<Vec<_>>(), 0.5);
            for main in &main {
                for (pixel, value) in of(main).iter().enumerate() {
                    let target: f64 = views.iter().zip(&shares).map(|(view, share)| view[pixel] * share).sum();
                    sum += (target - value).abs();
                    count += 1.0;
                }
            }
        }
        assert!((got - sum / count).abs() < 1e-10, "{got} {}", sum / count);
    }
}

#[test]
fn foreground_maps_are_normalised_one_by_one() {
    let cam = randn(1, &[2, 4, 3, 3]).unwrap();
    let got = numbers(&foreground_maps(&cam, ClassLayout::new(3).unwrap()).unwrap());
    let cam = numbers(&cam);
    for (image, class) in (0..2).flat_map(|i| (0..3).map(move |c| (i, c))) {
        let want = max_norm(&cam[(image * 4 + class) * 9..][..9]);
        let got = &got[(image * 3 + class) * 9..][..9];
        assert!(got.iter().zip(&want).all(|(a, b)| (a - b).abs() < 1e-12));
    }
}

#[test]
fn equal_scales_share_the_attention_and_the_target_is_their_mean() {
    let main = maps(1, 2, 3);
    for scales in 1..5 {
        let support = vec![main.clone(); scales];
        let attention = scale_attention(&main, &support, 0.5).unwrap();
        assert_eq!(attention.dims(), [scales, 2, 3]);
        assert!(numbers(&attention).iter().all(|a| (a - 1.0 / scales as f64).abs() < 1e-12));
        assert_close("target", &expansion_target(&support, &attention).unwrap(), &main, 1e-12).unwrap();
        let loss = expansion_loss(std::slice::from_ref(&main), &main, &labels(&[&[0], &[1, 2]], 3, DType::F64))
            .unwrap()
            .unwrap();
        assert_eq!(loss.to_scalar::<f64>().unwrap(), 0.0);
    }
    // Different maps that all resemble the main one equally.
    let map = |row: [f64; 3]| Tensor::new(&[[[row]]], &Device::Cpu).unwrap();
    let support = [map([1.0, 0.0, 0.0]), map([0.0, 1.0, 0.0])];
    let attention = scale_attention(&map([0.5, 0.5, 0.0]), &support, 0.1).unwrap();
    let target = expansion_target(&support, &attention).unwrap();
    assert_close("plain mean", &target, &map([0.5, 0.5, 0.0]), 1e-12).unwrap();
}

#[test]
fn attention_sums_to_one_and_prefers_what_differs() {
    let flat = Tensor::zeros((2, 3, 4, 5), DType::F64, &Device::Cpu).unwrap();
    let main = maps(1, 2, 3);
    for main in [&main, &flat] {
        for support in [vec![maps(2, 2, 3), flat.clone(), maps(3, 2, 3)], vec![flat.clone(), flat.clone()]] {
            for temperature in [1e-3, 0.5, 100.0] {
                let attention = scale_attention(main, &support, temperature).unwrap();
                assert!(numbers(&attention.sum(0).unwrap()).iter().all(|sum| (sum - 1.0).abs() < 1e-12));
            }
        }
    }
    let shares = numbers(&scale_attention(&main, &[main.clone(), maps(2, 2, 3), flat], 0.5).unwrap());
    for pair in 0..6 {
        assert!(shares[6 + pair] > shares[pair], "the one that differs");
        assert_eq!(shares[12 + pair], 0.0, "a flat map says nothing");
    }
}

#[test]
fn absent_classes_contribute_nothing() {
    let present = labels(&[&[1], &[0]], 3, DType::F64);
    let mask = present.multi_hot().unsqueeze(2).unwrap().unsqueeze(3).unwrap();
    let (main, target) = (maps(1, 2, 3), maps(2, 2, 3));
    let loss = |main: &Tensor, target: &Tensor| {
        let loss = expansion_loss(std::slice::from_ref(main), target, &present).unwrap().unwrap();
        loss.to_scalar::<f64>().unwrap()
    };
    let other = (maps(3, 2, 3) + 5.0).unwrap();
    let absent = (1.0 - &mask).unwrap();
    let changed = |map: &Tensor| (map + other.broadcast_mul(&absent).unwrap()).unwrap();
    assert_eq!(loss(&changed(&main), &changed(&target)), loss(&main, &target));
    let var = candle_core::Var::from_tensor(&main).unwrap();
    let value = expansion_loss(&[var.as_tensor().clone()], &target, &present).unwrap().unwrap();
    let gradient = value.backward().unwrap().get(&var).unwrap().broadcast_mul(&absent).unwrap();
    assert!(numbers(&gradient).iter().all(|g| *g == 0.0));
}

#[test]
fn the_gradient_is_that_of_its_differences() {
    let layout = ClassLayout::new(2).unwrap();
    let support: Vec<Tensor> = (0..3).map(|seed| maps(seed, 2, 2)).collect();
    let cams = [randn(11, &[2, 3, 4, 5]).unwrap(), randn(12, &[2, 3, 2, 3]).unwrap()];
    let own = foreground_maps(&cams[0], layout).unwrap();
    let target = expansion_target(&support, &scale_attention(&own, &support, 0.5).unwrap()).unwrap();
    let present = labels(&[&[0], &[0, 1]], 2, DType::F64);
    let error = gradient_error(&cams, 60, |cams| {
        let resized = resize_bilinear(&cams[1], (4, 5), Corners::Aligned)?;
        let main = [foreground_maps(&cams[0], layout)?, foreground_maps(&resized, layout)?];
        Ok(expansion_loss(&main, &target, &present)?.unwrap())
    });
    assert!(error.unwrap() < 1e-6);
}

#[test]
fn against_a_silent_main_network_it_is_the_mean_of_the_target() {
    let target = maps(2, 1, 1);
    let silent = target.zeros_like().unwrap();
    let loss = expansion_loss(&[silent], &target, &labels(&[&[0]], 1, DType::F64)).unwrap().unwrap();
    assert_close("mean", &loss, &target.mean_all().unwrap(), 1e-12).unwrap();
}

#[test]
fn without_a_label_or_a_target_there_is_no_term() {
    let (main, target) = (maps(1, 2, 3), maps(2, 2, 3));
    let none = labels(&[&[], &[]], 3, DType::F64);
    assert!(expansion_loss(std::slice::from_ref(&main), &target, &none).unwrap().is_none());
    let flat = target.zeros_like().unwrap();
    let some = labels(&[&[0], &[1]], 3, DType::F64);
    assert!(expansion_loss(std::slice::from_ref(&main), &flat, &some).unwrap().is_none());
    // One image's target is flat: the mean is that of the other.
    let half = Tensor::cat(&[target.narrow(0, 0, 1).unwrap(), flat.narrow(0, 1, 1).unwrap()], 0).unwrap();
    let both = expansion_loss(std::slice::from_ref(&main), &half, &some).unwrap().unwrap();
    let first = |map: &Tensor| map.narrow(0, 0, 1).unwrap();
    let alone = expansion_loss(&[first(&main)], &first(&target), &labels(&[&[0]], 3, DType::F64)).unwrap().unwrap();
    assert_close("one image", &both, &alone, 1e-12).unwrap();
}

#[test]
fn misfits_are_named() {
    let (main, other) = (maps(1, 2, 3), randn(1, &[2, 3, 4, 4]).unwrap());
    let present = labels(&[&[0], &[1]], 3, DType::F64);
    let attention = scale_attention(&main, std::slice::from_ref(&main), 0.5).unwrap();
    let outcomes = [
        scale_attention(&main, std::slice::from_ref(&other), 0.5).err(),
        scale_attention(&main, std::slice::from_ref(&main), 0.0).err(),
        expansion_target(&[], &attention).err(),
        expansion_target(&[main.clone(), main.clone()], &attention).err(),
        expansion_loss(&[], &main, &present).err(),
        expansion_loss(&[other], &main, &present).err(),
        foreground_maps(&main, ClassLayout::new(3).unwrap()).err(),
    ];
    for outcome in outcomes {
        let message = outcome.unwrap().to_string();
        assert!(["map", "temperature", "attention"].iter().any(|what| message.contains(what)), "{message}");
    }
}
