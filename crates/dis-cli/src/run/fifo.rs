//! What `--fifo` came to.

use std::fs;

use dis_runtime::OsPolicy;

/// Priority of the worker threads under SCHED_FIFO: above what a desktop uses for sound, below kernel threads.
pub const PRIORITY: i32 = 40;

/// What is to be told of the policy that the workers got.
pub fn texts(policy: OsPolicy) -> Vec<String> {
    let setting = |name| fs::read_to_string(format!("/proc/sys/kernel/sched_rt_{name}_us")).unwrap_or_default();
    match policy {
        OsPolicy::Ordinary => vec!["worker threads run under the ordinary policy".into()],
        OsPolicy::FifoRefused => vec![
            "SCHED_FIFO was not permitted (it needs root or CAP_SYS_NICE); the workers run under the ordinary policy"
                .into(),
        ],
        OsPolicy::Fifo(priority) => {
            let granted = format!("worker threads run under SCHED_FIFO, priority {priority}");
            std::iter::once(granted).chain(throttled(&setting("runtime"), &setting("period"))).collect()
        }
    }
}

/// Whether Linux stops real-time threads that use their CPU too long, by its settings (kernel.sched_rt_runtime_us and
/// _period_us).
fn throttled(runtime: &str, period: &str) -> Option<String> {
    let (runtime, period): (i64, i64) = (runtime.trim().parse().ok()?, period.trim().parse().ok()?);
    if runtime < 0 || runtime >= period {
        return None;
    }
    let (rest, period) = ((period - runtime) as f64 / 1e3, period as f64 / 1e3);
    Some(format!(
        "Linux takes each CPU that SCHED_FIFO threads keep busy away from them for {rest} ms of every {period} ms, so all \
         tasks there pause together and deadlines are missed. `sysctl kernel.sched_rt_runtime_us=-1` ends that (since \
         Linux 6.12 also 0 in /sys/kernel/debug/sched/fair_server/cpu*/runtime), but then a task that never blocks \
         keeps everything else from its CPU, your shell included: leave a CPU free with --cpus"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn throttling_is_told_with_the_remedy() {
        let text = throttled("950000\n", "1000000\n").unwrap();
        assert!(text.contains("for 50 ms of every 1000 ms") && text.contains("sched_rt_runtime_us=-1"), "{text}");
        assert!(text.contains("leave a CPU free"), "{text}");
        for (runtime, period) in [("-1", "1000000"), ("1000000", "1000000"), ("", "")] {
            assert_eq!(throttled(runtime, period), None, "{runtime} of {period}");
        }
    }

    #[test]
    fn a_refusal_names_what_is_needed() {
        assert!(texts(OsPolicy::FifoRefused)[0].contains("CAP_SYS_NICE"));
        assert!(texts(OsPolicy::Fifo(7))[0].contains("SCHED_FIFO, priority 7"));
    }
}
