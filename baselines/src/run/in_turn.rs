//! Work on many images, so many at a time and never more.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread::Scope;

use crate::error::{Error, Result};

/// Threads that somebody has no use for any more. Who walks over images takes them in, and gives them back at the end.
#[derive(Debug, Default)]
pub struct SpareThreads {
    count: AtomicUsize,
}

impl SpareThreads {
    /// Offers so many threads.
    pub(crate) fn offer(&self, threads: usize) {
        self.count.fetch_add(threads, Ordering::Relaxed);
    }

    fn take(&self, most: usize) -> usize {
        let take = |count: usize| Some(count - count.min(most));
        // Relaxed: nothing but the number is handed over.
        self.count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).map_or(0, |count| count.min(most))
    }
}

/// Does `work` for every index, `jobs` at a time, on the threads of the pool it is called in; and on `spare` threads, an
/// index at a time on each, as soon as there are some.
///
/// Every job has threads of its own. In one pool a thread that waits for a part of its image would begin another image
/// meanwhile, and nothing would bound how many are in memory at once.
///
/// # Errors
/// The one of the first index that failed; nothing further is begun then.
pub(crate) fn for_each_in_turn(
    indices: &[usize],
    jobs: usize,
    spare: &SpareThreads,
    work: impl Fn(usize) -> Result<()> + Sync,
) -> Result<()> {
    let threads = rayon::current_num_threads();
    let jobs = jobs.min(threads).min(indices.len());
    let walk = Walk { indices, next: AtomicUsize::new(0), failed: Mutex::new(None), work, spare };
    let mut borrowed = 0;
    if jobs <= 1 {
        borrowed = std::thread::scope(|scope| walk.go(scope));
    } else {
        let pools = (0..jobs).map(|job| pool_of(threads / jobs + usize::from(job < threads % jobs)));
        let pools = pools.collect::<Result<Vec<_>>>()?;
        std::thread::scope(|scope| {
            let walk = &walk;
            let going: Vec<_> = pools.iter().map(|pool| scope.spawn(move || pool.install(|| walk.go(scope)))).collect();
            for job in going {
                borrowed += job.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            }
        });
    }
    spare.offer(borrowed);
    let failed = walk.failed.into_inner().unwrap_or_else(PoisonError::into_inner);
    failed.map_or(Ok(()), |(_, err)| Err(err))
}

fn pool_of(threads: usize) -> Result<rayon::ThreadPool> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
    pool.map_err(|err| Error::Config(format!("thread pool of {threads}: {err}")))
}

/// What all who walk share.
struct Walk<'a, W> {
    indices: &'a [usize],
    next: AtomicUsize,
    failed: Mutex<Option<(usize, Error)>>,
    work: W,
    spare: &'a SpareThreads,
}

impl<W: Fn(usize) -> Result<()> + Sync> Walk<'_, W> {
    // Takes indices until there are none, and others along; says how many.
    fn go<'scope>(&'scope self, scope: &'scope Scope<'scope, '_>) -> usize {
        let mut along = 0;
        while let Some(&index) = self.indices.get(self.next.fetch_add(1, Ordering::Relaxed)) {
            let left = self.indices.len().saturating_sub(self.next.load(Ordering::Relaxed));
            let more = self.spare.take(left);
            along += more;
            for _ in 0..more {
                scope.spawn(|| {
                    // Without another thread it is done all the same.
                    let Ok(pool) = pool_of(1) else { return };
                    pool.install(|| self.take_indices());
                });
            }
            self.attempt(index);
        }
        along
    }

    fn take_indices(&self) {
        while let Some(&index) = self.indices.get(self.next.fetch_add(1, Ordering::Relaxed)) {
            self.attempt(index);
        }
    }

    fn attempt(&self, index: usize) {
        let Err(err) = (self.work)(index) else { return };
        // Whoever asks next is told that there is nothing left.
        self.next.store(self.indices.len(), Ordering::Relaxed);
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        if failed.as_ref().is_none_or(|(first, _)| index < *first) {
            *failed = Some((index, err));
        }
    }
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
            in_pool(threads, || for_each_in_turn(&indices, jobs, &SpareThreads::default(), work)).unwrap();
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
        let failed = in_pool(2, || for_each_in_turn(&indices, 2, &SpareThreads::default(), work)).unwrap_err();
        assert_eq!(failed.to_string(), "1");
        assert!(began.load(Ordering::SeqCst) < 10);
        assert!(for_each_in_turn(&[], 2, &SpareThreads::default(), work).is_ok());
    }

    #[test]
    fn spare_threads_come_along_and_are_given_back() {
        let spare = SpareThreads::default();
        let (running, peak, done) = (AtomicUsize::new(0), AtomicUsize::new(0), Mutex::new(Vec::new()));
        let indices: Vec<usize> = (0..40).collect();
        let work = |index: usize| {
            if index == 3 {
                spare.offer(2);
            }
            peak.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            std::thread::sleep(Duration::from_millis(2));
            running.fetch_sub(1, Ordering::SeqCst);
            done.lock().unwrap().push(index);
            Ok(())
        };
        in_pool(1, || for_each_in_turn(&indices, 1, &spare, work)).unwrap();
        assert!((2..=3).contains(&peak.load(Ordering::SeqCst)), "{peak:?}");
        let mut done = done.into_inner().unwrap();
        done.sort_unstable();
        assert_eq!(done, indices);
        assert_eq!(spare.take(usize::MAX), 2);
        // More than there are indices stay where they are.
        spare.offer(9);
        for_each_in_turn(&[1, 2], 1, &spare, |_| Ok(())).unwrap();
        assert_eq!(spare.take(usize::MAX), 9);
        assert_eq!(spare.take(5), 0);
    }
}
