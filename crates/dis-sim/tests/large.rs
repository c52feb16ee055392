//! The largest machine: 256 CPUs.

mod common;

use common::{options, periodic, workload};
use dis_sim::{ScheduleKind, Simulation};

/// Two tasks of 40 % a CPU and one more: all CPUs work, and nobody misses.
#[test]
fn all_of_256_cpus_work() {
    let mut text: String = (0..512).map(|n| periodic(&format!("t{n}"), 4, 10, 10)).collect();
    text += &periodic("more", 1, 10, 10);
    let workload = workload(&text);
    let mut simulation = Simulation::new(&workload, &options(256, 100)).unwrap();
    simulation.run().unwrap();
    assert_eq!(simulation.all_misses(), 0);
    assert!((0..513).all(|task| simulation.jobs(task) == 10));
    let schedule = simulation.take_schedule();
    let mut used = [0u32; 256];
    schedule.iter().filter(|event| event.kind == ScheduleKind::Run).for_each(|event| used[event.cpu] += 1);
    assert!(used.iter().all(|&slices| slices >= 20), "{used:?}");
}
