//! Counters of one queue, and of all.

use core::ops::{Index, IndexMut};

use crate::api::Duration;
use crate::intent::QueueType;

/// The counters of each class's queue; index it by [`QueueType`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct QueueStats {
    /// Fixed priorities.
    pub system: QueueStat,
    /// Deadlines.
    pub realtime: QueueStat,
    /// Target latencies.
    pub interactive: QueueStat,
    /// Fair shares.
    pub batch: QueueStat,
    /// Whatever is left over.
    pub background: QueueStat,
}

impl QueueStats {
    /// Each class with its counters, highest class first.
    pub fn iter(&self) -> impl Iterator<Item = (QueueType, &QueueStat)> {
        QueueType::ALL.into_iter().map(|class| (class, &self[class]))
    }

    /// Adds what another CPU has counted.
    pub fn merge(&mut self, other: &QueueStats) {
        QueueType::ALL.into_iter().for_each(|class| self[class].merge(&other[class]));
    }
}

impl Index<QueueType> for QueueStats {
    type Output = QueueStat;

    fn index(&self, class: QueueType) -> &QueueStat {
        match class {
            QueueType::System => &self.system,
            QueueType::Realtime => &self.realtime,
            QueueType::Interactive => &self.interactive,
            QueueType::Batch => &self.batch,
            QueueType::Background => &self.background,
        }
    }
}

impl IndexMut<QueueType> for QueueStats {
    fn index_mut(&mut self, class: QueueType) -> &mut QueueStat {
        match class {
            QueueType::System => &mut self.system,
            QueueType::Realtime => &mut self.realtime,
            QueueType::Interactive => &mut self.interactive,
            QueueType::Batch => &mut self.batch,
            QueueType::Background => &mut self.background,
        }
    }
}

/// The counters of one queue. Always `length == enqueued - dequeued`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct QueueStat {
    /// Tasks in the queue.
    pub length: u32,
    /// The most there have been.
    pub max_length: u32,
    /// Tasks put into the queue.
    pub enqueued: u64,
    /// Tasks taken out of it, to run or to go elsewhere.
    pub dequeued: u64,
    /// How long those waited on average, ns: the exact mean, rounded down.
    pub avg_wait_time: u64,
    /// How long they waited together, ns; 128 bits, as 100,000 tasks wait 64 bits of nanoseconds in two days.
    total_wait: u128,
}

impl QueueStat {
    /// Counts a task put into the queue.
    #[inline(always)]
    pub fn record_enqueue(&mut self) {
        self.length += 1;
        self.max_length = self.max_length.max(self.length);
        self.enqueued += 1;
    }

    /// Counts a task taken out of the queue, after it had `waited` there.
    #[inline(always)]
    pub fn record_dequeue(&mut self, waited: Duration) {
        self.count_dequeue(waited);
        self.update_average();
    }

    /// The same without the average, for who divides only when somebody [reads](Self::averaged) it.
    #[inline(always)]
    pub(crate) fn count_dequeue(&mut self, waited: Duration) {
        self.length = self.length.saturating_sub(1);
        self.dequeued += 1;
        self.total_wait += u128::from(waited.as_nanos());
    }

    /// Counts a task put into the queue, and another one taken out of it after it had `waited` there.
    #[inline(always)]
    pub(crate) fn count_exchange(&mut self, waited: Duration) {
        self.max_length = self.max_length.max(self.length + 1);
        self.enqueued += 1;
        self.dequeued += 1;
        self.total_wait += u128::from(waited.as_nanos());
    }

    /// A copy with the average.
    pub(crate) fn averaged(mut self) -> Self {
        self.update_average();
        self
    }

    /// How long all tasks taken out waited together, ns.
    pub fn total_wait(&self) -> u128 {
        self.total_wait
    }

    /// Adds what another CPU has counted; see [`SchedulerStats::merge`](super::SchedulerStats::merge).
    pub fn merge(&mut self, other: &QueueStat) {
        self.length += other.length;
        self.max_length += other.max_length;
        self.enqueued += other.enqueued;
        self.dequeued += other.dequeued;
        self.total_wait += other.total_wait;
        self.update_average();
    }

    /// The mean of samples, rounded down. A mean of means would weigh idle samples like busy ones, so the average
    /// wait is that of all tasks in all samples.
    pub(super) fn mean(samples: impl Iterator<Item = QueueStat>) -> QueueStat {
        let (mut count, mut sums) = (0, [0u128; 5]);
        for sample in samples {
            count += 1;
            sums[0] += u128::from(sample.length);
            sums[1] += u128::from(sample.max_length);
            sums[2] += u128::from(sample.enqueued);
            sums[3] += u128::from(sample.dequeued);
            sums[4] += sample.total_wait;
        }
        let count = u128::max(count, 1);
        // Means of 32 and of 64 bits fit 32 and 64 bits.
        let mut mean = QueueStat {
            length: (sums[0] / count) as u32,
            max_length: (sums[1] / count) as u32,
            enqueued: (sums[2] / count) as u64,
            dequeued: (sums[3] / count) as u64,
            avg_wait_time: 0,
            total_wait: sums[4] / count,
        };
        mean.avg_wait_time = sums[4].checked_div(sums[3]).unwrap_or(0) as u64;
        mean
    }

    fn update_average(&mut self) {
        self.avg_wait_time = match (u64::try_from(self.total_wait), self.dequeued) {
            (_, 0) => 0,
            (Ok(total), dequeued) => total / dequeued,
            // A mean of 64-bit numbers.
            (Err(_), dequeued) => (self.total_wait / u128::from(dequeued)) as u64,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_average_wait_is_exact_and_does_not_drift() {
        let mut stat = QueueStat::default();
        for waited in [1, 2, 2, 2, 2, 2, 2] {
            stat.record_enqueue();
            stat.record_dequeue(Duration::from_nanos(waited));
        }
        assert_eq!((stat.total_wait(), stat.avg_wait_time), (13, 1), "13 / 7");
        stat.record_enqueue();
        stat.record_dequeue(Duration::from_nanos(3));
        assert_eq!(stat.avg_wait_time, 2, "16 / 8");
    }

    #[test]
    fn counters_agree() {
        let mut stat = QueueStat::default();
        (0..3).for_each(|_| stat.record_enqueue());
        (0..2).for_each(|_| stat.record_dequeue(Duration::ZERO));
        stat.record_enqueue();
        assert_eq!((stat.length, stat.max_length, stat.enqueued, stat.dequeued), (2, 3, 4, 2));
    }

    #[test]
    fn waits_beyond_64_bits_are_averaged() {
        let mut stat = QueueStat::default();
        (0..3).for_each(|_| stat.record_dequeue(Duration::MAX));
        assert_eq!(stat.avg_wait_time, u64::MAX);
    }

    #[test]
    fn merged_averages_weigh_tasks_not_cpus() {
        let (mut one, mut two) = (QueueStat::default(), QueueStat::default());
        one.record_dequeue(Duration::from_nanos(10));
        (0..3).for_each(|_| two.record_dequeue(Duration::from_nanos(2)));
        one.merge(&two);
        assert_eq!((one.dequeued, one.avg_wait_time), (4, 4));
    }

    #[test]
    fn each_class_has_its_own_row() {
        let mut stats = QueueStats::default();
        for (count, class) in (1..).zip(QueueType::ALL) {
            (0..count).for_each(|_| stats[class].record_enqueue());
        }
        let lengths = [&stats.system, &stats.realtime, &stats.interactive, &stats.batch, &stats.background];
        assert_eq!(lengths.map(|stat| stat.length), [1, 2, 3, 4, 5]);
        assert!(stats.iter().zip(1..).all(|((_, stat), count)| stat.length == count));
    }
}
