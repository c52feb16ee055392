//! `dis boot`: the scheduler as a kernel of its own, in QEMU.
//!
//! The workload goes in as a boot module, what was measured comes out of the serial line between the text for people
//! ([`console`]); the report is made here.

mod console;
mod feed;
mod image;
mod plan;
mod qemu;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, ExitStatus};
use std::time::{Duration, Instant};

use dis_workload::report::{Record, Report};

use crate::cli::BootArgs;
use crate::failure::Failure;
use crate::output::{JsonOutput, Stream, note, report_text};
use crate::run::interrupt::Interrupt;
use crate::run::plan::place;
use crate::trace::TraceFile;
use console::Console;
use plan::Plan;
use qemu::{Heard, Qemu};

/// How often Ctrl-C and the clock are looked at.
const LOOK: Duration = Duration::from_millis(50);
/// How long the kernel may take to end a workload when it is asked to.
const GRACE: Duration = Duration::from_secs(10);

/// Runs the command.
///
/// # Errors
/// Bad input, no kernel, no QEMU, or a machine that failed.
pub fn run(args: &BootArgs) -> Result<ExitCode, Failure> {
    let plan = Plan::new(args)?;
    let json = JsonOutput::open(args.json.as_ref())?;
    let mut trace = args.trace.as_deref().map(|path| TraceFile::create(path, 0)).transpose()?;
    let interrupt =
        Interrupt::listen().map_err(|error| Failure::failed(format!("cannot listen for Ctrl-C: {error}")))?;
    plan.notes.iter().for_each(|text| note(text));
    let image = image::find(args.image.as_deref())?;
    let module = Module::write(&plan.module)?;
    let stream = json.stream_for_people();
    let mut qemu = Qemu::start(args, &plan, &image, &module.0)?;
    let mut console = Console::default();
    let in_time = attend(&mut qemu, &mut console, &plan, &interrupt, stream, args.quiet)?;
    let (status, errors) = qemu.finish();
    let rest = console.rest();
    if !args.quiet {
        stream.write(&rest)?;
    }
    if let Some((task, why)) = &console.refused {
        let place = plan.workload.tasks.get(*task).map_or_else(|| plan.file.clone(), |task| place(&plan.file, task));
        return Err(Failure::bad_input(format!("{place}: {why}")));
    }
    let complete = console.duration;
    if let (Some(duration), Some(mut file)) = (complete, trace.take()) {
        let start = console.start.map_or(0, |start| start.start);
        file.dropped(console.lost);
        feed::write(&plan, std::mem::take(&mut console.events), start, duration, &mut file);
        console.notes.push(file.finish()?);
    }
    if complete.is_some() && !args.deterministic {
        note(
            "the machine's CPUs are threads that share this machine with other processes, and its time is this one's: misses \
             and latencies are those of both (--deterministic counts instructions instead)",
        );
    }
    if let Some(duration) = complete {
        let report = report(&plan, &mut console, duration);
        if !args.quiet {
            stream.write(&report_text(&report, stream))?;
        }
        console.notes.iter().for_each(|text| note(text));
        json.write(&report)?;
    }
    if let Some(code) = interrupt.exit_code() {
        let what =
            if complete.is_some() { "the report covers the time until then" } else { "the kernel made no report" };
        note(&format!("stopped early by a signal; {what}"));
        return Ok(ExitCode::from(code));
    }
    if !in_time {
        let limit = plan.limit.as_secs_f64();
        return Err(Failure::failed(format!(
            "the machine was still on after {limit} s, and was switched off; --timeout"
        )));
    }
    verdict(status, complete.is_some(), &errors)
}

/// Shows the console until the machine is off. Answers whether it went off in time.
fn attend(
    qemu: &mut Qemu,
    console: &mut Console,
    plan: &Plan,
    interrupt: &Interrupt,
    stream: Stream,
    quiet: bool,
) -> Result<bool, Failure> {
    let begin = Instant::now();
    let mut asked = None;
    loop {
        match qemu.hear(LOOK) {
            Heard::Off => return Ok(true),
            Heard::Nothing => {}
            Heard::Bytes(bytes) => {
                let text = console.hear(&bytes);
                if !quiet {
                    stream.write(&text)?;
                }
            }
        }
        if interrupt.has_come() && asked.is_none() {
            qemu.ask_to_stop();
            asked = Some(Instant::now());
        }
        let patience = asked.is_none_or(|asked| asked.elapsed() < GRACE);
        if !patience || begin.elapsed() >= plan.limit {
            qemu.kill();
            return Ok(!patience);
        }
    }
}

fn report(plan: &Plan, console: &mut Console, duration: u64) -> Report {
    let mut report = Report::new("bare-metal", plan.cpus, duration);
    let mut records: Vec<Option<Record>> = plan.workload.instances().map(|_| None).collect();
    for (task, record) in console.records.drain(..) {
        if let Some(place) = records.get_mut(task) {
            *place = Some(record);
        }
    }
    for (instance, record) in plan.workload.instances().zip(records) {
        let record = record.unwrap_or_default();
        let problem = record.problem.as_ref().map(|problem| format!("{}: {problem}", instance.name()));
        console.notes.extend(problem);
        report.tasks.push(record.report(&instance.name(), &instance.spec.intent.class, duration));
    }
    report.domains = std::mem::take(&mut console.domains);
    report.scheduler = console.scheduler.take();
    report
}

/// How the command ends, by how the machine did.
fn verdict(status: Option<ExitStatus>, complete: bool, errors: &str) -> Result<ExitCode, Failure> {
    let code = status.and_then(|status| status.code());
    let what = match code {
        Some(33) if complete => return Ok(ExitCode::SUCCESS),
        Some(33) => "the kernel ended without a report; is it a kernel of this version of DIS?".to_string(),
        Some(35) => "the kernel itself failed; its last words are above".into(),
        Some(37) => "a self-test of the kernel failed; see above".into(),
        Some(39) => return Err(Failure::bad_input("the kernel cannot use what it was given; see above")),
        Some(41) => "a task of the workload was ended by a fault; see above".into(),
        Some(43) => {
            "a policy of the kernel panicked or faulted, and the machine ended with it; its name is above".into()
        }
        Some(0) => "the machine was reset (a triple fault of the kernel), so there is no report".into(),
        Some(code) => format!("QEMU ended with code {code}"),
        None => "QEMU was killed".into(),
    };
    let errors: String = errors.trim().lines().map(|line| format!("\n{line}")).collect();
    Err(Failure::failed(what + &errors))
}

/// The boot module as a file, which is gone when the machine is.
struct Module(PathBuf);

impl Module {
    fn write(bytes: &[u8]) -> Result<Module, Failure> {
        let name = format!("dis-boot-{}-{:x}.module", std::process::id(), crate::sys::monotonic());
        let path = std::env::temp_dir().join(name);
        let written = std::fs::File::create_new(&path).and_then(|mut file| file.write_all(bytes));
        written
            .map_err(|error| Failure::failed(format!("{}: cannot write the boot module: {error}", path.display())))?;
        Ok(Module(path))
    }
}

impl Drop for Module {
    fn drop(&mut self) {
        // A file in the folder for temporary ones does no harm.
        let _ = std::fs::remove_file(AsRef::<Path>::as_ref(&self.0));
    }
}
