use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use candle_wsss_baselines::data::Prefetch;
use candle_wsss_baselines::{Error, Result};

#[test]
fn values_come_in_order() {
    for threads in [0, 1, 2, 5, 50] {
        // The first are the slowest.
        let slow = |i: usize| {
            std::thread::sleep(std::time::Duration::from_micros((20 - i as u64) * 100));
            Ok(i)
        };
        let values: Vec<usize> = Prefetch::new(3..20, threads, slow).map(Result::unwrap).collect();
        assert_eq!(values, (3..20).collect::<Vec<_>>(), "{threads} threads");
    }
}

#[test]
fn errors_and_panics_stay_in_their_place() {
    for threads in [0, 3] {
        let values: Vec<String> = Prefetch::new(0..6, threads, |i| match i {
            2 => Err(Error::Config("no".to_string())),
            4 => panic!("index {i} is cursed"),
            _ => Ok(i),
        })
        .map(|value| value.map_or_else(|err| err.to_string(), |i| i.to_string()))
        .collect();
        assert_eq!(values, ["0", "1", "no", "3", "data of step 4: panicked: index 4 is cursed", "5"]);
    }
}

#[test]
fn no_more_than_the_threads_are_made_ahead_and_dropping_ends_them() {
    let made = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&made);
    let mut values = Prefetch::new(0..1000, 3, move |i| {
        counter.fetch_add(1, Ordering::SeqCst);
        Ok(i)
    });
    for _ in 0..5 {
        values.next().unwrap().unwrap();
    }
    assert_eq!(values.size_hint(), (995, Some(995)));
    drop(values);
    // Workers are joined, so the count is final: those fetched, and one more a thread at most twice.
    assert!(made.load(Ordering::SeqCst) <= 5 + 2 * 3, "{}", made.load(Ordering::SeqCst));
}
