//! The policies that were chosen on the command line.

use dis_core::intent::QueueType;
use dis_core::modules::SchedulerRegistry;

use crate::cli::PolicyChoice;
use crate::failure::Failure;

/// One policy a class: of two, neither is what is meant for sure.
pub fn check(choices: &[PolicyChoice]) -> Result<(), Failure> {
    for (index, choice) in choices.iter().enumerate() {
        if let Some(before) = choices[..index].iter().find(|before| before.class == choice.class) {
            return Err(Failure::bad_input(format!(
                "--policy {class}={}: class {class} has a policy already, by --policy {class}={}; give one a class",
                choice.name,
                before.name,
                class = choice.class
            )));
        }
    }
    Ok(())
}

/// What classes do without under the policies that were chosen.
pub fn notes(choices: &[PolicyChoice]) -> Vec<String> {
    let modules = SchedulerRegistry::with_builtins();
    let breaks = |choice: &&PolicyChoice| {
        let module = modules.get(choice.name);
        module.is_some_and(|module| !module.keeps_promise(choice.class))
    };
    let note = |choice: &PolicyChoice| {
        format!("{}: {} not guaranteed under {}", choice.class, promise(choice.class), choice.name)
    };
    choices.iter().filter(breaks).map(note).collect()
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

    #[test]
    fn a_class_has_one_policy() {
        assert!(check(&choices("batch=edf system=edf")).is_ok());
        assert_eq!(
            check(&choices("batch=edf system=edf batch=fair")).unwrap_err().message,
            "--policy batch=fair: class batch has a policy already, by --policy batch=edf; give one a class"
        );
    }

    #[test]
    fn broken_promises_are_told() {
        let told = |line| notes(&choices(line));
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
