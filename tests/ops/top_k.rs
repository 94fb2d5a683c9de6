use candle_wsss::ops::{Order, top_k};
use proptest::prelude::*;

use super::{gradient, ramp, tensor, values};

#[test]
fn equal_elements_come_in_the_order_of_their_index() {
    let x = tensor(&[1.0, 3.0, 3.0, 0.0, -0.0, 3.0], &[6]);
    let top = top_k(&x, 4, Order::Largest).unwrap();
    assert_eq!(values(&top.values), [3.0, 3.0, 3.0, 1.0]);
    assert_eq!(top.indices.to_vec1::<u32>().unwrap(), [1, 2, 5, 0]);
    let top = top_k(&x, 3, Order::Smallest).unwrap();
    assert_eq!(top.indices.to_vec1::<u32>().unwrap(), [3, 4, 0]);
    assert_eq!(gradient(&x, |x| Ok(top_k(x, 3, Order::Smallest)?.values)), [3.0, 0.0, 0.0, 1.0, 2.0, 0.0]);
}

#[test]
fn limits_of_k() {
    let x = ramp(&[2, 3]);
    assert_eq!(top_k(&x, 3, Order::Largest).unwrap().indices.to_vec2::<u32>().unwrap(), [[2, 1, 0], [2, 1, 0]]);
    assert_eq!(top_k(&x, 1, Order::Smallest).unwrap().values.to_vec2::<f64>().unwrap(), [[1.0], [4.0]]);
    assert_eq!(top_k(&x, 0, Order::Smallest).unwrap().indices.dims(), [2, 0]);
    let error = top_k(&x, 4, Order::Largest).unwrap_err().to_string();
    assert!(error.contains("k <= 3") && error.contains("got 4"), "{error}");
}

#[test]
fn nan_is_the_largest() {
    let x = tensor(&[1.0, f64::NAN, 2.0], &[3]);
    assert_eq!(top_k(&x, 2, Order::Largest).unwrap().indices.to_vec1::<u32>().unwrap(), [1, 2]);
    assert_eq!(top_k(&x, 2, Order::Smallest).unwrap().indices.to_vec1::<u32>().unwrap(), [0, 2]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// The head of a stable sort, for rows of a transposed tensor too.
    #[test]
    fn is_the_head_of_a_stable_sort(numbers in prop::collection::vec(-3i32..4, 60), k in 0usize..12, turn: bool, largest: bool) {
        let mut x = tensor(&numbers.iter().map(|&v| f64::from(v)).collect::<Vec<_>>(), &[5, 12]);
        if turn {
            x = tensor(&values(&x), &[12, 5]).t().unwrap();
        }
        let order = if largest { Order::Largest } else { Order::Smallest };
        let top = top_k(&x, k, order).unwrap();
        for (row, row_x) in x.to_vec2::<f64>().unwrap().into_iter().enumerate() {
            let mut want: Vec<usize> = (0..12).collect();
            want.sort_by(|&a, &b| {
                let order = row_x[a].total_cmp(&row_x[b]);
                if largest { order.reverse() } else { order }
            });
            let got: Vec<usize> = top.indices.to_vec2::<u32>().unwrap()[row].iter().map(|&i| i as usize).collect();
            prop_assert_eq!(&got[..], &want[..k]);
            let got: Vec<f64> = want[..k].iter().map(|&i| row_x[i]).collect();
            prop_assert_eq!(&top.values.to_vec2::<f64>().unwrap()[row], &got);
        }
    }
}
