//! Calls made on behalf of a task or a domain.

use lock_api::RawMutex;

use super::denial::{Act, Denial};
use super::domain::{Domain, DomainId, DomainSpec, Sweep};
use super::rights::Right;
use crate::api::{CpuMask, SchedError, SchedResult, Task, TaskId, TaskSpec, Timestamp};
use crate::executor::{Kill, Wake};
use crate::intent::Intent;
use crate::scheduler::TaskManager;

/// The scheduler as a task, or a domain as a whole, may use it: each call is checked against the domain's rights, and concerns only
/// tasks of the domain and of those below it. What is refused is [logged](TaskManager::denials) and counted.
///
/// At the root everything is allowed. A check takes no lock and reads one word for each domain on the way to the root; that a task
/// lies within the domain is read under the lock of its CPU.
pub struct Subject<'a, C, R> {
    tasks: &'a TaskManager<C, R>,
    /// `None`: the root.
    domain: Option<Domain>,
    task: TaskId,
}

impl<C: Copy, R: RawMutex> TaskManager<C, R> {
    /// The scheduler as the tasks of `domain` may use it.
    pub fn as_domain(&self, domain: &Domain) -> Subject<'_, C, R> {
        Subject { tasks: self, domain: Some(domain.clone()), task: TaskId::INVALID }
    }

    /// The scheduler as whatever is at the root may use it: everything is allowed.
    pub(crate) fn as_host(&self) -> Subject<'_, C, R> {
        Subject { tasks: self, domain: None, task: TaskId::INVALID }
    }

    /// The scheduler as a task may use it.
    ///
    /// # Errors
    /// [`SchedError::TaskNotFound`] for a stale id.
    pub fn as_task(&self, task: TaskId) -> SchedResult<Subject<'_, C, R>> {
        let domain = self.domain_of(task)?;
        Ok(Subject { tasks: self, domain, task })
    }
}

impl<C: Copy, R: RawMutex> Subject<'_, C, R> {
    /// The domain for which it speaks; `None`: the root.
    pub fn domain(&self) -> Option<&Domain> {
        self.domain.as_ref()
    }

    /// Whether the domain has the right.
    ///
    /// # Errors
    /// [`SchedError::PermissionDenied`], which is logged.
    #[inline]
    pub fn check(&self, now: Timestamp, right: Right) -> SchedResult<()> {
        match &self.domain {
            Some(domain) if !domain.has(right) => Err(self.deny(now, right, TaskId::INVALID)),
            _ => Ok(()),
        }
    }

    /// Whether the domain has the right, and the task is one of its own or of a domain below.
    ///
    /// # Errors
    /// [`SchedError::PermissionDenied`], which is logged; [`SchedError::TaskNotFound`] for a stale id.
    pub fn check_on(&self, now: Timestamp, right: Right, object: TaskId) -> SchedResult<()> {
        let Some(domain) = &self.domain else { return Ok(()) };
        let within = |task: &Task<C>| task.domain().is_some_and(|other| other.is_within(domain));
        if domain.has(right) && self.tasks.with_task(object, within)? {
            return Ok(());
        }
        Err(self.deny(now, right, object))
    }

    /// Whether it may do that to what is no task of a domain, such as work that the host does for all: at the root only.
    ///
    /// # Errors
    /// [`SchedError::PermissionDenied`], which is logged.
    pub fn check_at_root(&self, now: Timestamp, right: Right) -> SchedResult<()> {
        if self.domain.is_none() { Ok(()) } else { Err(self.deny(now, right, TaskId::INVALID)) }
    }

    #[cold]
    fn deny(&self, now: Timestamp, right: Right, object: TaskId) -> SchedError {
        let domain = self.domain.as_ref().map_or(DomainId::ROOT, Domain::id);
        if let Some(domain) = &self.domain {
            domain.note_denial();
        }
        self.tasks.note_denial(Denial { at: now, act: Act { domain, subject: self.task, right, object } });
        SchedError::PermissionDenied
    }

    /// Spawns a task: in the subject's domain, unless `spec` names one below it. Needs [`Right::Spawn`], and [`Right::RaiseClass`] for a
    /// class more urgent than the calling task's own.
    ///
    /// # Errors
    /// [`SchedError::PermissionDenied`], for a class above the ceiling too; [`SchedError::ResourceExhausted`] beyond the quota;
    /// [`SchedError::InvalidState`] if the domain is being destroyed; else as [`TaskManager::spawn`].
    pub fn spawn(&self, now: Timestamp, from: Option<usize>, mut spec: TaskSpec<C>) -> SchedResult<(TaskId, Wake)> {
        self.check_spawn(now, spec.domain.as_ref(), &spec.intent)?;
        spec.domain = spec.domain.or_else(|| self.domain.clone());
        self.tasks.spawn(now, from, spec)
    }

    /// Whether [`spawn`](Self::spawn) has the rights that it needs, for a task in `place`; for hosts that spawn in steps.
    ///
    /// # Errors
    /// [`SchedError::PermissionDenied`], which is logged.
    pub fn check_spawn(&self, now: Timestamp, place: Option<&Domain>, intent: &Intent) -> SchedResult<()> {
        self.check(now, Right::Spawn)?;
        self.check_place(now, place)?;
        if self.task == TaskId::INVALID {
            return Ok(());
        }
        self.check_class(now, self.task, intent, TaskId::INVALID)
    }

    /// Whether [`set_intent`](Self::set_intent) has the rights that it needs.
    ///
    /// # Errors
    /// [`SchedError::PermissionDenied`], which is logged; [`SchedError::TaskNotFound`] for a stale id.
    pub fn check_intent(&self, now: Timestamp, id: TaskId, intent: &Intent) -> SchedResult<()> {
        self.check_on(now, Right::SetIntent, id)?;
        self.check_class(now, id, intent, id)
    }

    /// Makes a domain below `parent`, which is the subject's own (`None`) or one below it. Needs [`Right::Spawn`].
    ///
    /// # Errors
    /// As [`TaskManager::create_domain`]; a parent elsewhere is [`SchedError::PermissionDenied`].
    pub fn create_domain(&self, now: Timestamp, parent: Option<&Domain>, spec: DomainSpec) -> SchedResult<Domain> {
        self.check(now, Right::Spawn)?;
        self.check_place(now, parent)?;
        self.tasks.create_domain(parent.or(self.domain.as_ref()), spec)
    }

    /// As [`TaskManager::destroy_domain`], of a domain below the subject's own; needs [`Right::Kill`].
    ///
    /// # Errors
    /// [`SchedError::PermissionDenied`], and as [`TaskManager::destroy_domain`].
    pub fn destroy_domain(
        &self,
        now: Timestamp,
        domain: &Domain,
        sweep: &mut Sweep,
        most: usize,
        told: impl FnMut(TaskId, Option<Kill>),
    ) -> SchedResult<bool> {
        self.check(now, Right::Kill)?;
        if self.domain.as_ref().is_some_and(|own| own == domain || !domain.is_within(own)) {
            return Err(self.deny(now, Right::Kill, TaskId::INVALID));
        }
        self.tasks.destroy_domain(now, domain, sweep, most, told)
    }

    fn check_place(&self, now: Timestamp, place: Option<&Domain>) -> SchedResult<()> {
        match (&self.domain, place) {
            (Some(own), Some(place)) if !place.is_within(own) => Err(self.deny(now, Right::Spawn, TaskId::INVALID)),
            _ => Ok(()),
        }
    }

    /// Whether `intent` may take the place of the one of `of`: a more urgent class needs a right of its own.
    fn check_class(&self, now: Timestamp, of: TaskId, intent: &Intent, object: TaskId) -> SchedResult<()> {
        let Some(domain) = &self.domain else { return Ok(()) };
        let class = intent.class.queue();
        if domain.has(Right::RaiseClass) || class >= self.tasks.with_task(of, |task| task.intent.class.queue())? {
            return Ok(());
        }
        Err(self.deny(now, Right::RaiseClass, object))
    }

    /// As [`TaskManager::kill`]; needs [`Right::Kill`].
    ///
    /// # Errors
    /// [`SchedError::PermissionDenied`], and as [`TaskManager::kill`].
    pub fn kill(&self, now: Timestamp, id: TaskId) -> SchedResult<Kill> {
        self.check_on(now, Right::Kill, id)?;
        self.tasks.kill(now, id)
    }

    /// As [`TaskManager::wake`]; needs [`Right::Wake`].
    ///
    /// # Errors
    /// [`SchedError::PermissionDenied`], and as [`TaskManager::wake`].
    pub fn wake(&self, now: Timestamp, id: TaskId) -> SchedResult<Wake> {
        self.check_on(now, Right::Wake, id)?;
        self.tasks.wake(now, id)
    }

    /// As [`TaskManager::unpark`]; needs [`Right::Wake`].
    ///
    /// # Errors
    /// [`SchedError::PermissionDenied`], and as [`TaskManager::unpark`].
    pub fn unpark(&self, now: Timestamp, id: TaskId) -> SchedResult<Wake> {
        self.check_on(now, Right::Wake, id)?;
        self.tasks.unpark(now, id)
    }

    /// As [`TaskManager::set_priority`]; needs [`Right::SetPriority`].
    ///
    /// # Errors
    /// [`SchedError::PermissionDenied`], for a priority above the ceiling too, and as [`TaskManager::set_priority`].
    pub fn set_priority(&self, now: Timestamp, id: TaskId, priority: u8) -> SchedResult<Wake> {
        self.check_on(now, Right::SetPriority, id)?;
        self.tasks.set_priority(now, id, priority)
    }

    /// As [`TaskManager::set_affinity`]; needs [`Right::SetAffinity`].
    ///
    /// # Errors
    /// [`SchedError::PermissionDenied`], and as [`TaskManager::set_affinity`].
    pub fn set_affinity(&self, now: Timestamp, id: TaskId, mask: CpuMask) -> SchedResult<Wake> {
        self.check_on(now, Right::SetAffinity, id)?;
        self.tasks.set_affinity(now, id, mask)
    }

    /// As [`TaskManager::set_intent`]; needs [`Right::SetIntent`], and [`Right::RaiseClass`] if the new class is more urgent.
    ///
    /// # Errors
    /// [`SchedError::PermissionDenied`], for a class above the ceiling too, and as [`TaskManager::set_intent`].
    pub fn set_intent(&self, now: Timestamp, id: TaskId, intent: &Intent) -> SchedResult<Wake> {
        self.check_intent(now, id, intent)?;
        self.tasks.set_intent(now, id, intent)
    }
}
