//! Queues, policies and statistics do not allocate once room has been reserved.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use dis_core::api::{Duration, TaskId, Timestamp};
use dis_core::intent::QueueType;
use dis_core::modules::SchedulerRegistry;
use dis_core::policy::{Arrival, Entity, FairPolicy, SchedulingPolicy, TaskKey, VirtualTime};
use dis_core::queues::{DeadlineQueue, FifoQueue, IndexedHeap, PriorityQueue, SchedulerQueues, SleepQueue};
use dis_core::stats::StatsCollector;

const TASKS: u32 = 300;
const CALLS: u32 = 60_000;

/// The system's allocator, counting calls thread by thread.
struct Counting;

thread_local! {
    static CALLS_TO_ALLOCATOR: Cell<u64> = const { Cell::new(0) };
}

fn count() {
    CALLS_TO_ALLOCATOR.set(CALLS_TO_ALLOCATOR.get() + 1);
}

// SAFETY: every call is handed to the system's allocator as it is; counting touches a cell without a destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        count();
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: the caller keeps the contract of `realloc`.
        unsafe { System.realloc(block, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Runs `calls` and checks that they leave the allocator alone.
fn without_allocation(what: &str, calls: impl FnOnce()) {
    let before = CALLS_TO_ALLOCATOR.get();
    calls();
    assert_eq!(CALLS_TO_ALLOCATOR.get() - before, 0, "{what} called the allocator");
}

struct Random(u64);

impl Random {
    fn below(&mut self, n: u32) -> u32 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (((self.0 >> 32) * u64::from(n)) >> 32) as u32
    }

    fn time(&mut self) -> Timestamp {
        Timestamp::from_nanos(self.below(1 << 30).into())
    }
}

fn id(slot: u32) -> TaskId {
    TaskId::from_parts(slot, 1)
}

#[test]
fn the_counter_counts() {
    let before = CALLS_TO_ALLOCATOR.get();
    drop(std::hint::black_box(Box::new(1)));
    assert_eq!(CALLS_TO_ALLOCATOR.get() - before, 2);
}

#[test]
fn queues() {
    let (mut heap, mut fifo) = (IndexedHeap::<u64>::new(), FifoQueue::<TaskKey>::new());
    let (mut levels, mut deadlines, mut sleepers) = (PriorityQueue::new(), DeadlineQueue::new(), SleepQueue::new());
    heap.reserve(TASKS as usize);
    fifo.reserve(TASKS as usize);
    levels.reserve(TASKS as usize);
    deadlines.reserve(TASKS as usize);
    sleepers.reserve(TASKS as usize);
    let mut random = Random(1);
    without_allocation("a queue", || {
        for call in 0..CALLS {
            let (task, level, time) = (random.below(TASKS), random.below(256) as u8, random.time());
            // Keys that mostly ascend and keys at random, by turns.
            let key = u64::from(if call & 0x400 == 0 { call + random.below(4) } else { random.below(CALLS) });
            match random.below(8) {
                0..=3 => {
                    heap.push(TaskKey(task), key);
                    fifo.push_back(TaskKey(task));
                    levels.push_back(id(task), level);
                    deadlines.insert(id(task), time);
                    sleepers.insert(id(task), time);
                }
                4 | 5 => {
                    heap.pop();
                    fifo.pop();
                    levels.pop();
                    deadlines.pop();
                    while sleepers.pop_expired(Timestamp::from_nanos(1 << 26)).is_some() {}
                }
                6 => {
                    heap.remove(TaskKey(task));
                    fifo.remove(TaskKey(task));
                    levels.remove(id(task));
                    deadlines.remove(id(task));
                    sleepers.remove(id(task));
                }
                _ => {
                    heap.update(TaskKey(task), key);
                    levels.update_priority(id(task), level);
                    deadlines.update(id(task), time);
                }
            }
        }
    });
}

#[test]
fn class_queues() {
    let mut queues = SchedulerQueues::new();
    queues.reserve(TASKS as usize);
    let mut random = Random(2);
    without_allocation("SchedulerQueues", || {
        for _ in 0..CALLS {
            let (task, now) = (id(1 + random.below(TASKS - 1)), random.time());
            let _ = match random.below(7) {
                0..=2 => {
                    let class = QueueType::ALL[random.below(5) as usize];
                    queues.enqueue(task, class, random.below(256) as u8, Some(now), now)
                }
                3 => queues.add_sleeper(task, now),
                4 => queues.next(now).map(|_| ()).ok_or(dis_core::api::SchedError::TaskNotFound),
                5 => queues.remove(task, now),
                _ => queues.update_priority(task, random.below(256) as u8),
            };
            if random.below(50) == 0 {
                queues.wake_sleepers(now).for_each(drop);
            }
        }
    });
    assert!(queues.stats().batch.dequeued > 0);
}

/// All that may happen to a task, at random.
fn exercise(policy: &mut dyn SchedulingPolicy) {
    #[derive(Clone, Copy, PartialEq)]
    enum At {
        Away,
        Queued,
        Running,
    }
    let mut random = Random(3);
    let mut tasks: Vec<(Entity, At)> = (0..TASKS)
        .map(|key| {
            let entity = Entity {
                key: TaskKey(key),
                group: 0,
                id: id(key),
                priority: random.below(256) as u8,
                deadline: random.time(),
                slice: Duration::from_nanos(u64::from(random.below(10_000_000)) + 1),
                virt: VirtualTime::default(),
            };
            (entity, At::Away)
        })
        .collect();
    policy.reserve(TASKS as usize);
    let (mut running, mut now, mut served) = (None::<TaskKey>, Timestamp::ZERO, 0);
    without_allocation(policy.name(), || {
        for _ in 0..CALLS {
            now += Duration::from_micros(10);
            let (task, at) = &mut tasks[random.below(TASKS) as usize];
            match (random.below(8), *at) {
                (0..=2, At::Away) => {
                    task.deadline = now + Duration::from_nanos(random.below(1 << 26).into());
                    let why = [Arrival::Spawn, Arrival::Wake, Arrival::Migrate][random.below(3) as usize];
                    policy.on_ready(task, why, now);
                    *at = At::Queued;
                }
                (3, At::Queued) => {
                    assert!(policy.remove(task, now));
                    *at = At::Away;
                }
                (4, At::Queued | At::Running) => policy.update(task, random.below(256) as u8, random.time(), now),
                (5.., _) => {
                    if let Some(key) = running.take() {
                        let (task, at) = &mut tasks[key.index()];
                        policy.on_tick(task, Duration::from_nanos(random.below(8_000_000).into()), now);
                        let why = match random.below(4) {
                            0 => Arrival::Yield,
                            1 => Arrival::Preempt,
                            2 => Arrival::SliceEnd,
                            _ => {
                                policy.on_block(task, now);
                                *at = At::Away;
                                continue;
                            }
                        };
                        policy.on_ready(task, why, now);
                        *at = At::Queued;
                    }
                    running = policy.select(now);
                    if let Some(key) = running {
                        assert!(
                            tasks[key.index()].1 == At::Queued,
                            "{} names a task that is not queued",
                            policy.name()
                        );
                        tasks[key.index()].1 = At::Running;
                        served += 1;
                    }
                }
                _ => {}
            }
            policy.visit(&mut |_| true);
        }
    });
    assert_eq!(policy.len(), tasks.iter().filter(|(_, at)| *at == At::Queued).count());
    assert!(served > CALLS / 8);
}

#[test]
fn policies() {
    let modules = SchedulerRegistry::with_builtins();
    for name in modules.list() {
        exercise(&mut *modules.get(name).expect("it is listed").policy());
    }
    exercise(&mut FairPolicy::new());
}

#[test]
fn statistics() {
    let mut collector = StatsCollector::with_history(8, Duration::from_nanos(10));
    without_allocation("StatsCollector", || {
        for now in 0..1000 {
            collector.record_enqueue(QueueType::Batch);
            collector.record_dequeue(QueueType::Batch, Duration::from_nanos(now));
            collector.sample_if_due(Timestamp::from_nanos(now));
            collector.average();
        }
    });
    assert_eq!(collector.history().len(), 8);
}
