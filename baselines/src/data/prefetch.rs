//! Values made ahead on threads, handed out in order.

use std::any::Any;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

use crate::error::{Error, Result};

type Produce<T> = Arc<dyn Fn(usize) -> Result<T> + Send + Sync>;

/// An iterator over `produce(i)` for a range of `i`, in order, with some values made ahead.
///
/// Thread `k` of `n` makes every `n`-th value and holds one until it is fetched, so at most `n` are in memory and which
/// thread makes which value never depends on timing. A panic in `produce` is an `Err` in its place.
pub struct Prefetch<T> {
    produce: Produce<T>,
    left: Range<usize>,
    taken: usize,
    lanes: Vec<Receiver<Result<T>>>,
    workers: Vec<JoinHandle<()>>,
}

impl<T> std::fmt::Debug for Prefetch<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Prefetch").field("left", &self.left).field("threads", &self.workers.len()).finish()
    }
}

impl<T: Send + 'static> Prefetch<T> {
    /// Starts `threads` threads; with 0, values are made when asked for.
    pub fn new(
        range: Range<usize>,
        threads: usize,
        produce: impl Fn(usize) -> Result<T> + Send + Sync + 'static,
    ) -> Self {
        let mut this =
            Self { produce: Arc::new(produce), left: range.clone(), taken: 0, lanes: Vec::new(), workers: Vec::new() };
        let threads = threads.min(range.len());
        for lane in 0..threads {
            let (sender, receiver) = sync_channel(0);
            let produce = Arc::clone(&this.produce);
            let mine = range.clone().skip(lane).step_by(threads);
            let spawned =
                thread::Builder::new().name(format!("prefetch-{lane}")).spawn(move || work(mine, &produce, &sender));
            if let Ok(worker) = spawned {
                this.lanes.push(receiver);
                this.workers.push(worker);
            } else {
                // A system without threads to spare still gets its values, later.
                this.stop();
                break;
            }
        }
        this
    }
}

impl<T> Prefetch<T> {
    /// Closes the lanes, upon which every worker ends after the value it is at.
    fn stop(&mut self) {
        self.lanes.clear();
        for worker in self.workers.drain(..) {
            // Panics were caught inside.
            let _ = worker.join();
        }
    }
}

impl<T> Iterator for Prefetch<T> {
    type Item = Result<T>;

    fn next(&mut self) -> Option<Self::Item> {
        let index = self.left.next()?;
        if self.lanes.is_empty() {
            return Some(guarded(&self.produce, index));
        }
        let lane = self.taken % self.lanes.len();
        self.taken += 1;
        Some(self.lanes[lane].recv().unwrap_or_else(|_| Err(failed(index, "its thread ended"))))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.left.size_hint()
    }
}

impl<T> Drop for Prefetch<T> {
    fn drop(&mut self) {
        self.stop();
    }
}

fn work<T>(mine: impl Iterator<Item = usize>, produce: &Produce<T>, sender: &SyncSender<Result<T>>) {
    for index in mine {
        if sender.send(guarded(produce, index)).is_err() {
            return;
        }
    }
}

fn guarded<T>(produce: &Produce<T>, index: usize) -> Result<T> {
    catch_unwind(AssertUnwindSafe(|| produce(index))).unwrap_or_else(|panic| Err(failed(index, &message(&*panic))))
}

fn failed(index: usize, reason: &str) -> Error {
    candle_wsss::Error::value(format!("data of step {index}"), reason).into()
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("panicked: {}", text.unwrap_or("no message"))
}
