//! Carries what the runtime records into the trace, in the order of time.

use dis_core::api::TaskId;
use dis_runtime::{Runtime, TraceReader};

use super::TraceFile;
use super::event::Happened;
use crate::host::dis::Dis;
use dis_workload::interp::Round;

/// Events that the runtime keeps for each CPU until they are fetched: 2 MiB. They are fetched every 20 ms.
pub const KEPT: usize = 65_536;
/// CPUs are read one after the other, so for so long an event may be followed by one of another CPU that was earlier.
const HOLD_NS: u64 = 10_000_000;

/// Fetches events of one round.
#[derive(Debug, Default)]
pub struct Feed {
    reader: TraceReader,
    pending: Vec<Happened>,
    ids: Vec<TaskId>,
}

impl Feed {
    /// For tasks with these ids, in the workload's order.
    pub fn new(ids: Vec<TaskId>) -> Feed {
        Feed { ids, ..Feed::default() }
    }

    /// Fetches what there is and writes what is old enough, or all of it up to the `end`.
    pub fn pump(&mut self, runtime: &Runtime, round: &Round<Dis>, file: &mut TraceFile, end: Option<u64>) {
        // Before the events, so each miss is there when the stay in which it happened is written.
        for (task, at) in round.take_misses() {
            if let Some(id) = self.ids.get(task) {
                file.miss(*id, at);
            }
        }
        let ripe = end.unwrap_or_else(|| runtime.now().as_nanos().saturating_sub(HOLD_NS));
        self.pending.extend(runtime.trace(&mut self.reader).into_iter().map(Happened::from));
        self.pending.sort_by_key(|event| event.at);
        let count = self.pending.partition_point(|event| event.at <= ripe);
        file.happened(&self.pending[..count]);
        self.pending.drain(..count);
    }

    /// Ends the round in the file.
    pub fn finish(mut self, runtime: &Runtime, round: &Round<Dis>, file: &mut TraceFile, end: u64) {
        self.pump(runtime, round, file, Some(end));
        file.dropped(self.reader.lost());
        file.end(end);
    }
}
