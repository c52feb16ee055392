//! `dis top`.

use std::path::PathBuf;

use clap::Args;
use dis_core::api::Duration;

use super::values;

/// What `--help` begins with.
pub const ABOUT: &str = "\
Watch a process that runs tasks: the load of each CPU and class, queues, and for each task its wake-up latencies, missed \
deadlines, and why it was chosen. Keys sort, filter, change an intent and end a task; the last line has them.

The process records its decisions while it is watched, and stops some seconds after.";

const EXAMPLES: &str = "\
Examples:
  dis run examples/mixed.toml --duration 10min &
  dis top
  dis top --socket /run/user/1000/my.sock --every 250ms

Exit codes:
  0    ended by `q`
  2    bad input, or no terminal
  3    nobody to ask: no such socket, one whose process is gone, another user's, or the connection was lost";

/// Arguments of `dis top`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct TopArgs {
    /// The process's control socket (default: the only one in $XDG_RUNTIME_DIR that answers)
    #[arg(long, value_name = "PATH")]
    pub socket: Option<PathBuf>,

    /// How often to look
    #[arg(long, value_name = "D", default_value = "1s", value_parser = values::duration)]
    pub every: Duration,
}
