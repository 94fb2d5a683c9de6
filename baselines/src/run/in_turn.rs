//! Work on many images, so many at a time and never more.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::error::{Error, Result};

/// Does `work` for every index, `jobs` at a time, on the threads of the pool it is called in.
///
/// Every job has threads of its own. In one pool a thread that waits for a part of its image would begin another image
/// meanwhile, and nothing would bound how many are in memory at once.
///
/// # Errors
/// The one of the first index that failed; nothing further is begun then.
pub(crate) fn for_each_in_turn(
    indices: &[usize],
    jobs: usize,
    work: impl Fn(usize) -> Result<()> + Sync,
) -> Result<()> {
    let threads = rayon::current_num_threads();
    let jobs = jobs.min(threads).min(indices.len());
    if jobs <= 1 {
        return indices.iter().try_for_each(|index| work(*index));
    }
    let pool = |job: usize| {
        let threads = threads / jobs + usize::from(job < threads % jobs);
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        pool.map_err(|err| Error::Config(format!("thread pool of {threads}: {err}")))
    };
    let pools = (0..jobs).map(pool).collect::<Result<Vec<_>>>()?;
    let (next, failed) = (AtomicUsize::new(0), Mutex::new(None::<(usize, Error)>));
    let run = || {
        while let Some(&index) = indices.get(next.fetch_add(1, Ordering::Relaxed)) {
            let Err(err) = work(index) else { continue };
            // Whoever asks next is told that there is nothing left.
            next.store(indices.len(), Ordering::Relaxed);
            let mut failed = failed.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            if failed.as_ref().is_none_or(|(first, _)| index < *first) {
                *failed = Some((index, err));
            }
        }
    };
    std::thread::scope(|scope| {
        for pool in &pools {
            scope.spawn(|| pool.install(run));
        }
    });
    let failed = failed.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    failed.map_or(Ok(()), |(_, err)| Err(err))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests: a failure here is the message")]
mod tests {
    use std::time::Duration;

    use rayon::prelude::*;

    use super::*;

    fn in_pool<T: Send>(threads: usize, work: impl FnOnce() -> T + Send) -> T {
        rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(work)
    }

    #[test]
    fn never_more_at_a_time_than_asked_for() {
        for (threads, jobs, most) in [(4, 2, 2), (3, 9, 3), (2, 1, 1), (4, 0, 1)] {
            let (running, peak, done) = (AtomicUsize::new(0), AtomicUsize::new(0), Mutex::new(Vec::new()));
            let work = |index: usize| {
                peak.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                // Waiting inside a pool is when a thread would look for other work.
                (0..8).into_par_iter().for_each(|_| std::thread::sleep(Duration::from_millis(1)));
                running.fetch_sub(1, Ordering::SeqCst);
                done.lock().unwrap().push(index);
                Ok(())
            };
            let indices: Vec<usize> = (5..17).collect();
            in_pool(threads, || for_each_in_turn(&indices, jobs, work)).unwrap();
            assert!(peak.load(Ordering::SeqCst) <= most, "{threads} threads, {jobs} jobs");
            let mut done = done.into_inner().unwrap();
            done.sort_unstable();
            assert_eq!(done, indices);
        }
    }

    #[test]
    fn a_failure_ends_it() {
        let began = AtomicUsize::new(0);
        let work = |index: usize| {
            began.fetch_add(1, Ordering::SeqCst);
            std::thread::sleep(Duration::from_millis(1));
            if index % 2 == 1 { Err(Error::Config(index.to_string())) } else { Ok(()) }
        };
        let indices: Vec<usize> = (0..1000).collect();
        let failed = in_pool(2, || for_each_in_turn(&indices, 2, work)).unwrap_err();
        assert_eq!(failed.to_string(), "1");
        assert!(began.load(Ordering::SeqCst) < 10);
        assert!(for_each_in_turn(&[], 2, work).is_ok());
    }
}
