//! `dis bench`: wake-up latency while every CPU is kept busy, DIS against plain threads.

mod figures;

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use dis_core::api::Duration;
use dis_core::intent::Intent;
use dis_workload::Workload;
use dis_workload::model::{Objects, Scope, Step, TaskSpec, Timer, TimerId, TimerMode};

use crate::cli::BenchArgs;
use crate::failure::Failure;
use crate::output::progress::Progress;
use crate::output::{JsonOutput, note};
use crate::run::baseline::{self, Baseline};
use crate::run::dis::DisRound;
use crate::run::interrupt::Interrupt;
use crate::run::plan::{Plan, cpu_count};
use crate::run::watch::Watch;
use crate::sys;
use crate::work::Calibration;
use figures::{Figures, Sample};

/// Tasks that never give up the CPU, for each CPU.
const HOGS_PER_CPU: usize = 2;
/// How often the measured task wakes, and how long it computes then.
const PERIOD: Duration = Duration::from_millis(1);
const WORK: Duration = Duration::from_micros(10);
/// Its target latency, µs.
const TARGET_US: u64 = 100;

/// Runs the command.
///
/// # Errors
/// Bad input, or a run that failed.
pub fn run(args: &BenchArgs) -> Result<ExitCode, Failure> {
    let allowed = sys::allowed_cpus();
    let count = cpu_count(None, "", args.cpus, allowed.len(), &mut Vec::new())?;
    let json = JsonOutput::open(args.json.as_ref())?;
    let interrupt =
        Interrupt::listen().map_err(|error| Failure::failed(format!("cannot listen for Ctrl-C: {error}")))?;
    let plan = plan(&allowed[..count]);
    let mut progress = Progress::new(!args.no_progress);
    let length = args.duration.as_nanos();
    let mut figures = Figures::new(count, length);
    let total = length.saturating_mul(args.rounds).saturating_mul(2);
    let mut before = 0;
    'rounds: for round in 0..args.rounds {
        let speed = Calibration::measure().speed;
        for (index, host) in ["linux", Baseline::Eevdf.name()].into_iter().enumerate() {
            let label = format!("{} {}/{}", if index == 0 { "DIS" } else { host }, round + 1, args.rounds);
            let mut watch = Watch { interrupt: &interrupt, progress: &mut progress, label, before, total };
            let outcome = match index {
                0 => DisRound { plan: &plan, speed, length, trace: None }.run(&mut watch)?,
                _ => baseline::run_round(Baseline::Eevdf, &plan, speed, length, &mut watch).map_err(Failure::failed)?,
            };
            if interrupt.has_come() {
                break 'rounds;
            }
            before += length;
            figures.add(host, Sample::of(&outcome, round));
        }
    }
    progress.clear();
    if let Some(code) = interrupt.exit_code() {
        note("stopped by a signal; unfinished rounds are left out");
        show(&figures, json)?;
        return Ok(ExitCode::from(code));
    }
    show(&figures, json)?;
    Ok(ExitCode::SUCCESS)
}

fn show(figures: &Figures, json: JsonOutput) -> Result<(), Failure> {
    let stream = json.stream_for_people();
    stream.write(&figures.text(stream.width()))?;
    json.write(&figures.document())
}

/// One task that wakes every millisecond, and hogs.
fn plan(cpus: &[usize]) -> Plan {
    let timers = vec![Timer { name: "probe/timer".into(), scope: Scope::Instance }];
    let objects = Objects { timers, ..Objects::default() };
    let body = vec![Step::Timer { timer: TimerId(0), period: PERIOD, mode: TimerMode::Relative }, Step::Run(WORK)];
    let probe = TaskSpec::new("probe", Intent::interactive(TARGET_US), body);
    let mut hog = TaskSpec::new("hog", Intent::batch(), vec![Step::Run(Duration::from_millis(50))]);
    hog.instances = HOGS_PER_CPU * cpus.len();
    Plan {
        file: Path::new("bench").display().to_string(),
        workload: Arc::new(Workload { tasks: vec![probe, hog], objects, ..Workload::default() }),
        cpus: cpus.into(),
        duration: None,
        policies: Vec::new(),
        modules: Vec::new(),
        limits: dis_runtime::default_limits(),
        seed: 0,
        fifo: false,
        control: None,
        notes: Vec::new(),
    }
}
