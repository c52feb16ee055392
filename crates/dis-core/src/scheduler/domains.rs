//! The domains of a machine: the host's side of [`isolation`](crate::isolation).

use alloc::vec::Vec;

use lock_api::{Mutex, RawMutex};

use super::TaskManager;
use super::state::CpuState;
use crate::api::{SchedError, SchedResult, Task, TaskId, TaskSpec};
use crate::intent::{Intent, QueueType};
use crate::isolation::{Denial, Denials, Domain, DomainId, DomainSpec};
use crate::policy::TaskKey;
use crate::sync::{AtomicBool, AtomicU32, Ordering};

/// What a machine knows of its domains.
pub(super) struct Domains<R> {
    /// All that have been made and not forgotten. Tasks name theirs without a look in here.
    pub(super) all: Mutex<R, Vec<Domain>>,
    denials: Mutex<R, Denials>,
    /// How many have ever been made.
    made: AtomicU32,
    /// The slots in which policies know no domain, and how many slots there are.
    slots: Mutex<R, (Vec<u16>, u16)>,
    /// Whether there has ever been one.
    used: AtomicBool,
}

impl<R: RawMutex> Domains<R> {
    pub fn new() -> Self {
        let (all, denials) = (Mutex::new(Vec::new()), Mutex::new(Denials::default()));
        let slots = Mutex::new((Vec::new(), 0));
        Domains { all, denials, made: AtomicU32::new(0), slots, used: AtomicBool::new(false) }
    }

    fn take_slot(&self) -> SchedResult<u16> {
        let (free, most) = &mut *self.slots.lock();
        if let Some(slot) = free.pop() {
            return Ok(slot);
        }
        *most = most.checked_add(1).ok_or(SchedError::ResourceExhausted)?;
        // Room for the day on which it is given back.
        free.reserve(usize::from(*most));
        Ok(*most)
    }

    pub fn give_slot_back(&self, slot: u16) {
        self.slots.lock().0.push(slot);
    }

    /// Forgets those that have been destroyed and that nobody names any more. Until then they stay here, so a task or a [`TaskSpec`], which
    /// is dropped under the lock of a CPU, where no memory may be freed, is never the last to name one.
    pub fn forget(&self) {
        self.all.lock().retain(|domain| !(domain.is_gone() && domain.is_unshared()));
    }
}

impl<C: Copy, R: RawMutex> TaskManager<C, R> {
    /// Makes a domain, below another or below the root. Allocates.
    ///
    /// # Errors
    /// [`SchedError::PermissionDenied`] for more rights, or a higher ceiling, than the parent has;
    /// [`SchedError::ResourceExhausted`] beyond the parent's quota of tasks; [`SchedError::InvalidState`] if the parent is being
    /// destroyed; [`SchedError::NotSupported`] below [`MAX_DEPTH`](crate::isolation::MAX_DEPTH) others, and for a weight or a quota out of
    /// range; [`SchedError::ResourceExhausted`] beyond 65535 domains.
    pub fn create_domain(&self, parent: Option<&Domain>, spec: DomainSpec) -> SchedResult<Domain> {
        let id = DomainId(self.domains.made.fetch_add(1, Ordering::Relaxed) + 1);
        let slot = self.domains.take_slot()?;
        let domain =
            Domain::create(id, slot, parent, spec, &self.config).inspect_err(|_| self.domains.give_slot_back(slot))?;
        (0..self.cpu_count()).for_each(|cpu| self.seat(cpu, &domain));
        self.domains.denials.lock().reserve();
        self.domains.forget();
        self.domains.all.lock().push(domain.clone());
        self.domains.used.store(true, Ordering::Release);
        Ok(domain)
    }

    /// Whether a domain has ever been made.
    #[inline]
    pub fn has_domains(&self) -> bool {
        self.domains.used.load(Ordering::Acquire)
    }

    /// All domains, in the order in which they were made.
    pub fn domains(&self) -> Vec<Domain> {
        self.domains.all.lock().iter().filter(|domain| !domain.is_gone()).cloned().collect()
    }

    /// The domain of a task; `None`: the root. At no cost while there has never been a domain.
    ///
    /// # Errors
    /// [`SchedError::TaskNotFound`] for a stale id.
    pub fn domain_of(&self, id: TaskId) -> SchedResult<Option<Domain>> {
        if !self.has_domains() {
            return Ok(None);
        }
        self.with_task(id, |task| task.domain().cloned())
    }

    /// The last calls (256 at most) that were refused for want of a right, oldest first.
    pub fn denials(&self) -> Vec<Denial> {
        self.domains.denials.lock().last().copied().collect()
    }

    /// How many calls have been refused for want of a right.
    pub fn denied(&self) -> u64 {
        self.domains.denials.lock().total()
    }

    pub(crate) fn note_denial(&self, denial: Denial) {
        self.domains.denials.lock().note(denial);
    }

    /// Counts `bytes` of memory that the host gives to a task: against the limit of its intent (`max_memory`) and the quotas of its
    /// domains. What is not taken back is when the task is gone. Takes the lock of the task's CPU, so an allocator should charge in
    /// large pieces.
    ///
    /// # Errors
    /// [`SchedError::TaskNotFound`]; [`SchedError::ResourceExhausted`], and nothing is counted.
    pub fn charge_memory(&self, id: TaskId, bytes: u64) -> SchedResult<()> {
        let (mut state, key) = self.lock_home(id)?;
        let task = state.task(key);
        let most = task.intent.constraints.max_memory.map_or(u64::MAX, |most| most as u64);
        let sum = task.memory.checked_add(bytes).filter(|&sum| sum <= most).ok_or(SchedError::ResourceExhausted)?;
        if let Some(domain) = task.domain() {
            domain.charge_memory(bytes)?;
        }
        task.memory = sum;
        Ok(())
    }

    /// Takes back what was charged to a task; more than that counts as all of it.
    ///
    /// # Errors
    /// [`SchedError::TaskNotFound`].
    pub fn uncharge_memory(&self, id: TaskId, bytes: u64) -> SchedResult<()> {
        let (mut state, key) = self.lock_home(id)?;
        let task = state.task(key);
        let bytes = bytes.min(task.memory);
        task.memory -= bytes;
        if let Some(domain) = task.domain() {
            domain.uncharge_memory(bytes);
        }
        Ok(())
    }

    /// Settles in which domain the task is to be: the one that is named, else its parent's.
    pub(super) fn settle_domain(&self, spec: &mut TaskSpec<C>) {
        if spec.domain.is_none() && spec.parent != TaskId::INVALID {
            // A parent that is gone was in no domain, or its host named one.
            spec.domain = self.domain_of(spec.parent).ok().flatten();
        }
    }
}

impl<C> CpuState<C> {
    /// A task is about to be gone: its domain has it no more.
    pub fn leave_domain(&mut self, key: TaskKey) {
        if let Some(task) = self.slab.get_mut(key.index()).and_then(Option::as_mut)
            && let Some(domain) = &task.sched.domain
        {
            domain.uncharge_memory(task.memory);
            domain.leave();
        }
    }
}

/// Whether a task with this intent may be in `domain`. Answers the priority it then has: at most the ceiling's.
pub(super) fn under_ceiling(domain: Option<&Domain>, intent: &Intent) -> SchedResult<u8> {
    let (class, priority) = (intent.class.queue(), intent.class.to_priority());
    let reserves = class == QueueType::Realtime || intent.qos.cpu_min > 0;
    if reserves && domain.is_some_and(Domain::has_cpu_quota) {
        return Err(SchedError::NotSupported(
            "a reservation in a domain with a CPU quota, which might be used up when it is due",
        ));
    }
    match domain.map(Domain::ceiling) {
        Some(ceiling) if class < ceiling.class => Err(SchedError::PermissionDenied),
        Some(ceiling) if class == ceiling.class => Ok(priority.max(ceiling.priority)),
        _ => Ok(priority),
    }
}

impl<C> Task<C> {
    /// The domain that it is in; `None`: the root.
    pub fn domain(&self) -> Option<&Domain> {
        self.sched.domain.as_ref()
    }

    /// Memory that the host has charged to it, bytes.
    pub fn memory(&self) -> u64 {
        self.memory
    }
}
