//! Calls where a CPU has no room for one more task: with this feature it has for 64.
#![cfg(feature = "shuttle")]

mod model;

use dis_core::api::{BlockReason, CpuMask, SchedError, TaskId, TaskSpec, Timestamp};
use dis_core::executor::{Executor, Leave};
use dis_core::intent::Intent;
use dis_core::scheduler::Config;
use model::{NOW, Spin};

const UNTIL: Timestamp = Timestamp::from_nanos(1_000);

/// A task that runs on `cpu`, where none does.
fn begin(x: &Executor<u32, Spin>, cpu: usize) -> TaskId {
    let intent = Intent::batch().with_affinity(CpuMask::single(cpu));
    let (id, _) = x.spawn(NOW, None, TaskSpec::new("", intent, 0)).unwrap();
    x.schedule(cpu, NOW, Leave::Ask).unwrap();
    x.switched(cpu);
    id
}

#[test]
fn a_server_for_which_there_is_no_room_keeps_its_time_out() {
    let model = || {
        let x: Executor<u32, Spin> = Executor::new(Config::new(2)).unwrap();
        let server = begin(&x, 0);
        x.schedule(0, NOW, Leave::Block(BlockReason::Receive, Some(UNTIL))).unwrap();
        x.switched(0);
        let _ = x.set_affinity(NOW, server, CpuMask::ALL).unwrap();
        begin(&x, 1);
        let spec = || TaskSpec::new("", Intent::batch().with_affinity(CpuMask::single(1)), 0);
        let full = (0..).find_map(|_| x.spawn(NOW, None, spec()).err());
        assert_eq!(full, Some(SchedError::ResourceExhausted));
        assert_eq!(x.call(1, server, None, || NOW).map(|_| ()), Err(SchedError::ResourceExhausted));
        assert_eq!((x.cpu_of(server), x.wake_time(server)), (Ok(0), Some(UNTIL)));
        let decision = x.schedule(0, UNTIL, Leave::Ask).unwrap();
        assert_eq!(decision.next.map(|next| next.id), Some(server));
    };
    shuttle::check_random(model, 1);
}
