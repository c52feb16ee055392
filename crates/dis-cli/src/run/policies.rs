//! The policies that were chosen on the command line, and the modules that were loaded for them.

use std::path::{Path, PathBuf};

use dis_core::api::SchedError;
use dis_core::intent::QueueType;
use dis_core::modules::{SchedulerModule, SchedulerRegistry};
use dis_module::{Faults, LoadError};
use dis_runtime::ModuleChange;
use dis_sim::study::Study;

use crate::cli::{PolicyChoice, list};
use crate::failure::Failure;
use crate::module;

/// Replacements that are told one by one.
const MOST_CHANGES: usize = 20;

/// The modules of a run.
#[derive(Debug)]
pub struct Chosen {
    /// The built-in ones and the loaded ones; those that were chosen are active.
    pub modules: SchedulerRegistry,
    /// What the loaded ones do wrong.
    pub faults: Vec<Faults>,
}

/// Makes a module of a file.
type Load = fn(&Path) -> Result<(Box<dyn SchedulerModule>, Faults), LoadError>;

impl Chosen {
    /// Loads the files and makes the choices, for a runtime.
    ///
    /// # Errors
    /// Bad input: a file that is no module or cannot be set up, two modules of a name, a name that none has, a class that the
    /// module cannot serve, or two policies for a class.
    pub fn new(files: &[PathBuf], choices: &[PolicyChoice]) -> Result<Chosen, Failure> {
        Self::loaded(files, choices, module::load_native)
    }

    fn loaded(files: &[PathBuf], choices: &[PolicyChoice], load: Load) -> Result<Chosen, Failure> {
        let mut modules = SchedulerRegistry::with_builtins();
        let mut faults = Vec::new();
        for file in files {
            let (module, told) = load(file).map_err(|error| Failure::bad_input(format!("--module {error}")))?;
            modules.register(module).map_err(|error| {
                let why = match error {
                    SchedError::TaskExists => format!("there is a module '{}' already", told.name()),
                    error => format!("the module '{}' cannot be set up: {error}", told.name()),
                };
                Failure::bad_input(format!("--module {}: {why}", file.display()))
            })?;
            faults.push(told);
        }
        for (index, choice) in choices.iter().enumerate() {
            let PolicyChoice { class, name } = *choice;
            let bad = |why: String| Err(Failure::bad_input(format!("--policy {class}={name}: {why}")));
            if let Some(before) = choices[..index].iter().find(|before| before.class == class) {
                return bad(format!(
                    "class {class} has a policy already, by --policy {class}={}; give one a class",
                    before.name
                ));
            }
            let names = list(&modules.list());
            match modules.set_active(class, name) {
                Ok(()) => {}
                Err(SchedError::TaskNotFound) if Study::from_name(name).is_some() => {
                    return bad(format!(
                        "`{name}` is for study, in `dis sim` and `dis check` alone (names here: {names})"
                    ));
                }
                Err(SchedError::TaskNotFound) => {
                    let study = match class {
                        QueueType::Realtime => {
                            "; for study, in `dis sim` and `dis check`: rm, dm, llf, global-edf, pd2 or dp-wrap"
                        }
                        _ => "",
                    };
                    return bad(format!(
                        "`{name}` is no policy (names: {names}{study}); where there is --module FILE, that adds one"
                    ));
                }
                Err(error) => return bad(error.to_string()),
            }
        }
        Ok(Chosen { modules, faults })
    }

    /// The same for a simulation: Realtime may have a policy for study, which is no module, and files may be WebAssembly.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn or_study(files: &[PathBuf], choices: &[PolicyChoice]) -> Result<Chosen, Failure> {
        let is_study = |choice: &&PolicyChoice| Study::from_name(choice.name).is_some();
        let modules: Vec<PolicyChoice> = choices.iter().filter(|choice| !is_study(choice)).copied().collect();
        let realtime = choices.iter().filter(|choice| choice.class == QueueType::Realtime);
        if let Some(study) = choices.iter().find(is_study).filter(|_| realtime.count() > 1) {
            return Err(Failure::bad_input(format!(
                "--policy realtime={}: class realtime has a policy already; give one a class",
                study.name
            )));
        }
        Chosen::loaded(files, &modules, module::load)
    }

    /// What to tell before the run: what classes do without under the policies that were chosen, and modules that nobody uses.
    pub fn notes(&self, choices: &[PolicyChoice]) -> Vec<String> {
        let breaks = |choice: &&PolicyChoice| {
            self.modules.get(choice.name).is_some_and(|module| !module.keeps_promise(choice.class))
        };
        let note = |choice: &PolicyChoice| {
            format!("{}: {} not guaranteed under {}", choice.class, promise(choice.class), choice.name)
        };
        let unused = |faults: &&Faults| choices.iter().all(|choice| choice.name != faults.name());
        let idle = |faults: &Faults| {
            let name = faults.name();
            format!("the module '{name}' is loaded, and no class uses it; add for instance --policy batch={name}")
        };
        choices.iter().filter(breaks).map(note).chain(self.faults.iter().filter(unused).map(idle)).collect()
    }
}

/// What loaded modules have done wrong.
pub fn fault_notes<'a>(faults: impl IntoIterator<Item = &'a Faults>) -> impl Iterator<Item = String> {
    let told = |faults: &&Faults| faults.count() > 0;
    faults.into_iter().filter(told).map(|faults| format!("the policy '{}' {}", faults.name(), faults.message()))
}

/// Policies that were replaced during a run that began at `start`, ns.
pub fn change_notes(changes: &[ModuleChange], start: u64) -> impl Iterator<Item = String> {
    let told = changes.iter().take(MOST_CHANGES).map(move |change| {
        let ModuleChange { at, class, from, to, moved, reverted, .. } = *change;
        let at = at.as_nanos().saturating_sub(start) as f64 / 1e9;
        let end = if reverted { "; it answered wrongly, so the class has its built-in policy" } else { "" };
        let from = from.unwrap_or("the built-in policy");
        format!("{class}: {from} was replaced by {to} at {at:.3} s, {moved} tasks were handed over{end}")
    });
    let more = changes.len().saturating_sub(MOST_CHANGES);
    told.chain((more > 0).then(|| format!("policies were replaced {more} more times")))
}

/// What a class's order promises.
fn promise(class: QueueType) -> &'static str {
    match class {
        QueueType::System => "the order of priorities is",
        QueueType::Realtime => "deadlines are",
        QueueType::Interactive => "target latencies are",
        QueueType::Batch | QueueType::Background => "a turn for every task is",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choices(line: &'static str) -> Vec<PolicyChoice> {
        let words = line.split_whitespace().map(|word| word.split_once('=').unwrap());
        words.map(|(class, name)| PolicyChoice { class: QueueType::from_name(class).unwrap(), name }).collect()
    }

    fn refusal(line: &'static str) -> String {
        Chosen::new(&[], &choices(line)).unwrap_err().message
    }

    #[test]
    fn a_class_has_one_policy() {
        assert!(Chosen::new(&[], &choices("batch=edf system=edf")).is_ok());
        assert_eq!(
            refusal("batch=edf system=edf batch=fair"),
            "--policy batch=fair: class batch has a policy already, by --policy batch=edf; give one a class"
        );
    }

    #[test]
    fn a_policy_exists() {
        let text = refusal("batch=lottery");
        assert!(text.contains("`lottery` is no policy (names: edf, fair, priority or round-robin)"), "{text}");
        assert!(refusal("realtime=pd2").contains("is for study, in `dis sim` and `dis check` alone"));
    }

    #[test]
    fn broken_promises_are_told() {
        let told = |line| Chosen::new(&[], &choices(line)).unwrap().notes(&choices(line));
        for line in ["realtime=round-robin", "realtime=fair", "realtime=priority"] {
            let name = line.split_once('=').unwrap().1;
            assert_eq!(told(line), [format!("realtime: deadlines are not guaranteed under {name}")]);
        }
        assert_eq!(told("batch=edf")[0], "batch: a turn for every task is not guaranteed under edf");
        assert_eq!(told("interactive=fair")[0], "interactive: target latencies are not guaranteed under fair");
        assert_eq!(told("system=edf")[0], "system: the order of priorities is not guaranteed under edf");
        let kept = "system=priority realtime=edf interactive=edf batch=round-robin background=fair";
        assert_eq!(told(kept), Vec::<String>::new());
    }
}
