//! The tests that are compared.

use dis_core::admission::global::{self, GlobalTest};
use dis_core::admission::{Admission, Request, SporadicTask};
use dis_core::api::TaskId;

/// A schedulability test under a name.
#[derive(Debug)]
pub struct Method {
    /// The name as `--tests` takes it and as columns are headed.
    pub name: &'static str,
    /// What it is, for help and legends.
    pub about: &'static str,
    /// Whether it accepts these tasks on so many CPUs.
    pub accepts: fn(&[SporadicTask], usize) -> bool,
}

/// All, in the order of columns.
pub const METHODS: &[Method] = &[
    Method {
        name: "partitioned",
        about: "partitioned EDF: first-fit decreasing, processor demand (QPA) on each CPU",
        accepts: |tasks, cpus| fits(tasks, Admission::dedicated(cpus).with_max_splits(0)),
    },
    Method {
        name: "c=d",
        about: "the same, with C=D splitting of up to cpus - 1 tasks",
        accepts: |tasks, cpus| fits(tasks, Admission::dedicated(cpus)),
    },
    Method {
        name: "partitioned-bound",
        about: "partitioned EDF by first fit: utilisation bound of López et al. (deadline = period)",
        accepts: partitioned_bound,
    },
    Method { name: "gfb", about: "global EDF: density, Goossens, Funk and Baruah", accepts: global::gfb },
    Method { name: "bcl", about: "global EDF: interference, Bertogna, Cirinei and Lipari", accepts: global::bcl },
    Method {
        name: "rta",
        about: "global EDF: response times, Bertogna and Cirinei",
        accepts: |t, m| GlobalTest::Rta.accepts(t, m),
    },
    Method { name: "global", about: "global EDF: gfb, bcl or rta, as they complement each other", accepts: any_global },
];

/// Whether all tasks have a place on this machine.
fn fits(tasks: &[SporadicTask], mut machine: Admission) -> bool {
    let ids = (0..).map(|slot| TaskId::from_parts(slot, 1));
    let requests: Vec<_> = ids.zip(tasks.iter().copied().map(Request::realtime)).collect();
    machine.plan(&requests).iter().all(Result::is_ok)
}

/// Whether the utilisation is at most (βm + 1) / (β + 1), where β is the number of tasks of the greatest utilisation that fit one
/// CPU. First fit in any order then finds a partition (López, Díaz and García, "Utilization Bounds for EDF Scheduling on
/// Real-Time Multiprocessor Systems", Real-Time Systems 28, 2004). For deadlines equal to periods; others are rejected.
///
/// O(n). Utilisations count in whole parts per billion, rounded up.
fn partitioned_bound(tasks: &[SporadicTask], cpus: usize) -> bool {
    const ONE: u128 = 1_000_000_000;
    let utilisations = || tasks.iter().map(|task| u128::from(task.utilisation_ppb()));
    let (Some(greatest), sum) = (utilisations().max(), utilisations().sum::<u128>()) else { return true };
    if greatest > ONE || tasks.iter().any(|task| task.deadline < task.period || !task.jitter.is_zero()) {
        return false;
    }
    let beta = ONE / greatest;
    sum * (beta + 1) <= (beta * cpus as u128 + 1) * ONE
}

fn any_global(tasks: &[SporadicTask], cpus: usize) -> bool {
    GlobalTest::ALL.into_iter().any(|test| test.accepts(tasks, cpus))
}

#[cfg(test)]
mod tests {
    use super::*;
    use dis_core::api::Duration;

    fn task(wcet: u64, period: u64) -> SporadicTask {
        SporadicTask::implicit(Duration::from_nanos(wcet), Duration::from_nanos(period))
    }

    #[test]
    fn the_utilisation_bound_of_first_fit() {
        // β = 1 on 2 CPUs: (2 + 1) / 2; three tasks just above one half do not fit two CPUs.
        assert!(partitioned_bound(&[task(51, 100), task(51, 100), task(48, 100)], 2));
        assert!(!partitioned_bound(&[task(51, 100), task(51, 100), task(49, 100)], 2));
        // β = 2: (4 + 1) / 3.
        assert!(partitioned_bound(&[task(1, 3); 5], 2) == (5 * 333_333_334 * 3 <= 5_000_000_000_u64));
        assert!(partitioned_bound(&[task(33, 100); 5], 2));
        assert!(!partitioned_bound(&[SporadicTask { deadline: Duration::from_nanos(99), ..task(1, 100) }], 2));
    }
}
