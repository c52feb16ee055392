//! Domains that tasks are in.

use alloc::string::String;
use alloc::vec::Vec;

use dis_core::api::{Duration, SchedError, SchedResult};
use dis_core::intent::{Intent, QueueType};
use dis_core::isolation::{Bandwidth, Ceiling, Domain, Quota, Right, Rights};
use serde::{Deserialize, Serialize};

use super::Workload;

/// One `[[domain]]` of the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DomainSpec {
    /// Its name; unique in the workload.
    pub name: String,
    /// Which of `workload.domains` it is in, an earlier one; `None`: the root.
    pub parent: Option<usize>,
    /// What its tasks may do to each other, by the names of the rights; `None`: all that the parent's may.
    pub rights: Option<Vec<String>>,
    /// The most urgent class of its tasks; `None`: the parent's.
    pub ceiling: Option<QueueType>,
    /// The most urgent priority in that class.
    pub ceiling_priority: u8,
    /// What it shares in fair classes, hundredths of a task of default priority, 1..=10000.
    pub weight: u16,
    /// The most tasks, domains below included.
    pub tasks: Option<u32>,
    /// The most memory, bytes.
    pub memory: Option<u64>,
    /// The most CPU time: so much in each period, all CPUs together.
    pub cpu: Option<(Duration, Duration)>,
    /// Line in the file, from 1; 0 for one made in code.
    pub line: usize,
}

impl DomainSpec {
    /// A domain below the root without limits.
    pub fn new(name: impl Into<String>) -> Self {
        DomainSpec {
            name: name.into(),
            parent: None,
            rights: None,
            ceiling: None,
            ceiling_priority: 0,
            weight: 100,
            tasks: None,
            memory: None,
            cpu: None,
            line: 0,
        }
    }

    /// The same as the scheduler takes it.
    pub fn spec(&self) -> dis_core::isolation::DomainSpec {
        let cpu = self.cpu.map(|(budget, period)| Bandwidth { budget, period });
        let mut spec = dis_core::isolation::DomainSpec::new(self.name.clone())
            .with_weight(self.weight)
            .with_quota(Quota { tasks: self.tasks, memory: self.memory, cpu });
        spec.ceiling = self.ceiling.map(|class| Ceiling { class, priority: self.ceiling_priority });
        spec.rights = self.rights.as_ref().map(|names| {
            let rights = names.iter().filter_map(|name| Right::from_name(name));
            rights.fold(Rights::NONE, Rights::with)
        });
        spec
    }
}

impl Workload {
    /// Makes the workload's domains, in their order, with what makes one of the host.
    ///
    /// # Errors
    /// Which of them could not be made, and why.
    pub fn make_domains(
        &self,
        mut make: impl FnMut(Option<&Domain>, dis_core::isolation::DomainSpec) -> SchedResult<Domain>,
    ) -> Result<Vec<Domain>, (usize, SchedError)> {
        let mut made: Vec<Domain> = Vec::with_capacity(self.domains.len());
        for (index, domain) in self.domains.iter().enumerate() {
            let parent = domain.parent.and_then(|parent| made.get(parent));
            let domain = make(parent, domain.spec()).map_err(|error| (index, error))?;
            made.push(domain);
        }
        Ok(made)
    }

    /// A domain and those that it is in, the innermost first.
    pub fn domains_of(&self, domain: Option<usize>) -> impl Iterator<Item = &DomainSpec> {
        let get = |index: Option<usize>| self.domains.get(index?);
        // A parent is an earlier one, so this ends.
        core::iter::successors(get(domain), move |domain| get(domain.parent))
    }

    /// Why a task of this intent cannot be in `domain`, if so: which domain is in the way, and what to change.
    pub fn forbids(&self, domain: Option<usize>, intent: &Intent) -> Option<String> {
        let class = intent.class.queue();
        let reserves = class == QueueType::Realtime || intent.qos.cpu_min > 0;
        self.domains_of(domain).find_map(|domain| {
            let name = &domain.name;
            if let Some(ceiling) = domain.ceiling.filter(|&ceiling| class < ceiling) {
                return Some(alloc::format!(
                    "domain \"{name}\" has the ceiling \"{ceiling}\", which \"{class}\" is above; raise the ceiling, or take another intent"
                ));
            }
            (reserves && domain.cpu.is_some()).then(|| {
                alloc::format!(
                    "domain \"{name}\" has a CPU quota, which could be used up when what this task reserves is due; \
                     leave out the domain's `cpu`, or the task's reservation"
                )
            })
        })
    }
}
