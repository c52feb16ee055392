//! NUMA nodes, as the kernel describes them.
//!
//! Linux gives memory from the node of the CPU that touches it first, so a task that is kept on the CPUs of a node gets its
//! memory there: its stack, and what nobody has used before.

use std::fs;
use std::path::Path;

use dis_core::api::CpuMask;

/// Where the kernel describes them.
pub(crate) const SYSFS: &str = "/sys/devices/system/node";

/// The nodes that are online, with their CPUs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Nodes(Vec<(u32, CpuMask)>);

impl Nodes {
    /// Reads them. A kernel without NUMA describes none: then there is one, with all CPUs.
    pub(crate) fn read(sysfs: &Path) -> Nodes {
        let text = |path: &str| fs::read_to_string(sysfs.join(path)).unwrap_or_default();
        let cpus =
            |node: &u32| (*node, numbers(&text(&format!("node{node}/cpulist"))).map(|cpu| cpu as usize).collect());
        let online: Vec<u32> = numbers(&text("online")).collect();
        Nodes(if online.is_empty() { vec![(0, CpuMask::ALL)] } else { online.iter().map(cpus).collect() })
    }

    /// The CPUs of a node; `None` if it is not online.
    pub(crate) fn cpus(&self, node: u32) -> Option<CpuMask> {
        self.0.iter().find(|(number, _)| *number == node).map(|(_, cpus)| *cpus)
    }

    /// The nodes that are online, those below 256.
    pub(crate) fn online(&self) -> CpuMask {
        self.0.iter().map(|(node, _)| *node as usize).collect()
    }
}

/// The numbers of a list such as `0-2,5`.
fn numbers(list: &str) -> impl Iterator<Item = u32> {
    let range = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        // No machine has more; a longer range is none that the kernel has written.
        Some((first.parse().ok()?, last.parse::<u32>().ok()?.min(4095)))
    };
    list.trim().split(',').filter_map(range).flat_map(|(first, last): (u32, u32)| first..=last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;
    use crate::{Intent, Runtime, SpawnError};

    /// Two nodes with a CPU each, and one with memory only.
    fn fake() -> Scratch {
        let root = Scratch::new();
        for (node, cpus) in [(0, "0\n"), (1, "1\n"), (3, "\n")] {
            fs::create_dir_all(root.join(format!("node{node}"))).unwrap();
            fs::write(root.join(format!("node{node}/cpulist")), cpus).unwrap();
        }
        fs::write(root.join("online"), "0-1,3\n").unwrap();
        root
    }

    #[test]
    fn lists_are_read() {
        assert_eq!(numbers("0-2,5\n").collect::<Vec<_>>(), [0, 1, 2, 5]);
        assert_eq!(numbers("\n").count() + numbers("x,-,1-x").count(), 0);
    }

    #[test]
    fn nodes_are_read() {
        let root = fake();
        let nodes = Nodes::read(&root);
        assert_eq!((nodes.cpus(1), nodes.cpus(2)), (Some(CpuMask::single(1)), None));
        assert_eq!((nodes.cpus(3), nodes.online().to_string()), (Some(CpuMask::EMPTY), "0-1,3".into()));
        assert_eq!(Nodes::read(&root.join("none")).cpus(0), Some(CpuMask::ALL));
    }

    #[test]
    fn a_task_runs_on_its_node() {
        let root = fake();
        let mut builder = Runtime::builder();
        builder.sysfs = root.to_path_buf();
        let rt = builder.build().unwrap();
        for node in [0, 1].into_iter().filter(|node| rt.cpus().contains(&(*node as usize))) {
            // SAFETY: no preconditions.
            let task = || (0..200).map(|_| (crate::yield_now(), unsafe { libc::sched_getcpu() }).1).collect::<Vec<_>>();
            let cpus = rt.spawn_fn(Intent::batch().with_numa_node(node), task).unwrap().join().unwrap();
            assert!(cpus.iter().all(|cpu| *cpu == node as i32), "{node}: {cpus:?}");
        }
        let refused = |intent: Intent| rt.spawn_fn(intent, || ()).unwrap_err();
        let offline = refused(Intent::batch().with_numa_node(2));
        assert_eq!(offline.to_string(), "NUMA node 2 is not online; those online are 0-1,3");
        let empty = SpawnError::NumaNodeWithoutCpu(3);
        assert_eq!(refused(Intent::batch().with_numa_node(3)), empty);
        assert_eq!(empty.to_string(), "NUMA node 3 has no CPU on which the task may run");
        let elsewhere = Intent::batch().with_affinity(CpuMask::single(0)).with_numa_node(1);
        assert_eq!(refused(elsewhere), SpawnError::NumaNodeWithoutCpu(1));
        // Who takes what there is takes that too.
        rt.task(Intent::batch().with_numa_node(2)).best_effort().spawn(|| ()).unwrap().join().unwrap();
        let task = rt.spawn_fn(Intent::batch(), crate::park).unwrap();
        assert!(task.set_intent(&Intent::batch().with_numa_node(2)).is_err());
        assert_eq!(task.set_intent(&Intent::batch().with_numa_node(0)), Ok(()));
        task.unpark();
        task.join().unwrap();
    }
}
