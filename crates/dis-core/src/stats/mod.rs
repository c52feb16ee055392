//! Counters (being written).
use crate::api::Duration;
use crate::intent::QueueType;
#[derive(Debug, Clone, Default)]
pub struct SchedulerStats {
    pub tasks_created: u64,
    pub tasks_exited: u64,
    pub tasks_killed: u64,
    pub context_switches: u64,
    pub voluntary_switches: u64,
    pub involuntary_switches: u64,
    pub deadline_misses: u64,
    pub total_cpu_time: u64,
    pub queue_stats: QueueStats,
}
#[derive(Debug, Clone, Default)]
pub struct QueueStats([QueueStat; 5]);
#[derive(Debug, Clone, Default)]
pub struct QueueStat {
    pub length: u32,
}
impl QueueStat {
    pub fn record_enqueue(&mut self) {}
    pub fn record_dequeue(&mut self, _w: Duration) {}
}
impl core::ops::Index<QueueType> for QueueStats {
    type Output = QueueStat;
    fn index(&self, q: QueueType) -> &QueueStat {
        &self.0[q.rank()]
    }
}
impl core::ops::IndexMut<QueueType> for QueueStats {
    fn index_mut(&mut self, q: QueueType) -> &mut QueueStat {
        &mut self.0[q.rank()]
    }
}
impl SchedulerStats {
    pub fn merge(&mut self, _o: &SchedulerStats) {}
}
