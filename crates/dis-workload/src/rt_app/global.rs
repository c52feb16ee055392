//! The `global` section.

use dis_core::api::Duration;

use super::json::{Node, Value};
use super::policy::Policy;
use super::values::integer;
use crate::text::{Context, did_you_mean, shorten};

/// What the `global` section says about tasks.
#[derive(Default)]
pub(super) struct Global {
    pub duration: Option<Duration>,
    pub default_policy: Policy,
}

/// Keys without an effect here, and why.
const IGNORED: [(&str, &str); 12] = [
    ("calibration", "DIS calibrates `run` on the machine itself"),
    ("pi_enabled", "mutexes of DIS always hand on the urgency of those who wait"),
    ("lock_pages", "DIS does not lock pages in memory"),
    ("logdir", "DIS writes no log files; use the report or the trace"),
    ("log_basename", "DIS writes no log files; use the report or the trace"),
    ("log_size", "DIS writes no log files; use the report or the trace"),
    ("ftrace", "DIS writes its own trace, when asked on the command line"),
    ("gnuplot", "DIS writes no plots"),
    ("io_device", "DIS has no I/O step"),
    ("mem_buffer_size", "DIS has no memory step"),
    ("cumulative_slack", "DIS reports response times and deadline misses instead of slack"),
    ("frag", "rt-app itself no longer uses it"),
];

const READ: [&str; 2] = ["duration", "default_policy"];

impl Global {
    pub fn read(&mut self, cx: &mut Context<'_>, node: &Node<'_>) {
        let Value::Object(members) = &node.value else {
            return cx.problem(node.at, "global", format!("is {}; it must be an object", node.value.kind()));
        };
        for member in members {
            let (key, path) = (member.key.as_ref(), format!("global.{}", shorten(&member.key)));
            match key {
                "duration" => match integer(cx, &member.value, &path, -1, i64::from(i32::MAX)) {
                    Some(seconds @ 1..) => self.duration = Some(Duration::from_secs(seconds as u64)),
                    Some(_) => self.duration = None,
                    None => {}
                },
                "default_policy" => {
                    if let Some(policy) = Policy::read(cx, &member.value, &path) {
                        self.default_policy = policy;
                    }
                }
                _ => match IGNORED.iter().find(|(name, _)| *name == key) {
                    Some((_, why)) => cx.note(member.at, path, format!("ignored: {why}")),
                    None => {
                        let hint = did_you_mean(key, READ.into_iter().chain(IGNORED.map(|(name, _)| name)));
                        cx.note(member.at, path, format!("ignored: not a key of rt-app's format{hint}"));
                    }
                },
            }
        }
    }
}
