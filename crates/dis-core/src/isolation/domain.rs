//! Domains: groups of tasks with limits.

use alloc::string::String;
use alloc::sync::Arc;
use core::fmt;

use super::bandwidth::{Bandwidth, Pool};
use super::credit::Credits;
use super::rights::{Right, Rights};
use crate::api::{Duration, SchedError, SchedResult, Timestamp};
use crate::intent::QueueType;
use crate::optimizer::Limits;
use crate::policy::{GroupShare, MOST_WEIGHT, weight};
use crate::scheduler::Config;
use crate::sync::{AtomicBool, AtomicU32, AtomicU64, Ordering};

/// The deepest that domains may be nested.
pub const MAX_DEPTH: usize = 8;

/// Names a domain; no two domains of a machine have the same, and none is used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DomainId(pub(crate) u32);

impl DomainId {
    /// Where the tasks are that are in no domain.
    pub const ROOT: DomainId = DomainId(0);
}

impl fmt::Display for DomainId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "domain {}", self.0)
    }
}

/// The most urgent that the tasks of a domain may be by themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ceiling {
    /// The most urgent class.
    pub class: QueueType,
    /// The most urgent (lowest) priority within that class. In less urgent classes any is allowed.
    pub priority: u8,
}

impl Ceiling {
    /// No ceiling.
    pub const NONE: Ceiling = Ceiling { class: QueueType::System, priority: 0 };

    /// `class`, with any priority.
    pub const fn of(class: QueueType) -> Ceiling {
        Ceiling { class, priority: 0 }
    }

    /// Whether a task may have this class and priority.
    pub fn allows(&self, class: QueueType, priority: u8) -> bool {
        class > self.class || (class == self.class && priority >= self.priority)
    }
}

/// The most that the tasks of a domain, and of those below it, may have together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Quota {
    /// Tasks alive, those included that have ended and whose exit status waits to be collected. A domain below counts as one.
    pub tasks: Option<u32>,
    /// Memory that the host has charged ([`Domain::charge_memory`]), bytes.
    pub memory: Option<u64>,
    /// CPU time. Whoever is out of it waits for the next period, whatever its class; so reservations (Realtime, `cpu_min`) are
    /// refused in such a domain.
    pub cpu: Option<Bandwidth>,
}

/// What a new domain is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DomainSpec {
    /// Name for people.
    pub name: String,
    /// What its tasks may do; `None`: all that the parent's may.
    pub rights: Option<Rights>,
    /// How urgent they may be; `None`: as the parent's.
    pub ceiling: Option<Ceiling>,
    /// What they may have. A quota above the parent's is no error: both hold.
    pub quota: Quota,
    /// What all its tasks share together of a fair class, in hundredths of what a task of the class's default priority does that is beside
    /// the domain; 1..=10000.
    pub weight: u16,
}

impl DomainSpec {
    /// A domain with the rights and the ceiling of its parent, no quota of its own, and the weight of one task (100).
    pub fn new(name: impl Into<String>) -> Self {
        DomainSpec { name: name.into(), rights: None, ceiling: None, quota: Quota::default(), weight: 100 }
    }

    /// The same with these rights.
    pub fn with_rights(mut self, rights: Rights) -> Self {
        self.rights = Some(rights);
        self
    }

    /// The same with this ceiling.
    pub fn with_ceiling(mut self, ceiling: Ceiling) -> Self {
        self.ceiling = Some(ceiling);
        self
    }

    /// The same with this weight: so many hundredths of a task's that is beside it, 1..=10000.
    pub fn with_weight(mut self, weight: u16) -> Self {
        self.weight = weight;
        self
    }

    /// The same with these quotas.
    pub fn with_quota(mut self, quota: Quota) -> Self {
        self.quota = quota;
        self
    }
}

/// What a domain and those below it have at the moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DomainUsage {
    /// Tasks, and domains below.
    pub tasks: u32,
    /// Memory charged, bytes.
    pub memory: u64,
    /// CPU time used since the domain was made, ns.
    pub cpu_time: u64,
    /// Calls of this domain's tasks that were refused for want of a right; those of domains below are counted there.
    pub denied: u64,
    /// Spawns and charges that were refused because of this domain's quotas.
    pub exhausted: u64,
    /// Times that a task had to wait because this domain's CPU time was used up.
    pub throttled: u64,
}

/// Where the destruction of a domain goes on ([`TaskManager::destroy_domain`](crate::scheduler::TaskManager::destroy_domain)).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sweep {
    pub(crate) cpu: usize,
    pub(crate) place: usize,
}

/// A domain. Copies are handles to the same one.
#[derive(Clone)]
pub struct Domain(Arc<Node>);

struct Node {
    id: DomainId,
    name: String,
    parent: Option<Domain>,
    rights: AtomicU32,
    ceiling: Ceiling,
    quota: Quota,
    /// It is being destroyed.
    closed: AtomicBool,
    /// It has been.
    gone: AtomicBool,
    tasks: AtomicU32,
    memory: AtomicU64,
    cpu_time: AtomicU64,
    pool: Option<Pool>,
    denied: AtomicU64,
    exhausted: AtomicU64,
    throttled: AtomicU64,
    weight: u16,
    credits: Credits,
    /// As what it shares in each class.
    shares: Shares,
}

/// As what a domain shares in each class, in the order of [`QueueType::ALL`].
pub(crate) type Shares = [Arc<GroupShare>; 5];

impl Domain {
    /// A domain below `parent`, which counts it as one of its tasks. In the policies it is known as group `slot`.
    pub(crate) fn create(
        id: DomainId,
        slot: u16,
        parent: Option<&Domain>,
        spec: DomainSpec,
        config: &Config,
    ) -> SchedResult<Domain> {
        if !(1..=MOST_WEIGHT).contains(&spec.weight) {
            return Err(SchedError::NotSupported("a domain's weight outside 1 to 10000"));
        }
        let rights = parent.map_or(Rights::ALL, Domain::rights);
        let ceiling = parent.map_or(Ceiling::NONE, Domain::ceiling);
        let wanted = spec.ceiling.unwrap_or(ceiling);
        if !spec.rights.unwrap_or(rights).is_subset_of(rights) || !ceiling.allows(wanted.class, wanted.priority) {
            return Err(SchedError::PermissionDenied);
        }
        if let Some(bandwidth) = spec.quota.cpu {
            bandwidth.validate()?;
        }
        if let Some(parent) = parent {
            if parent.ancestry().count() >= MAX_DEPTH {
                return Err(SchedError::NotSupported("domains nested more than 8 deep"));
            }
            parent.enter()?;
        }
        Ok(Domain(Arc::new(Node {
            id,
            name: spec.name,
            parent: parent.cloned(),
            rights: AtomicU32::new(spec.rights.unwrap_or(rights).bits()),
            ceiling: wanted,
            quota: spec.quota,
            closed: AtomicBool::new(false),
            gone: AtomicBool::new(false),
            tasks: AtomicU32::new(0),
            memory: AtomicU64::new(0),
            cpu_time: AtomicU64::new(0),
            pool: spec.quota.cpu.map(Pool::new),
            denied: AtomicU64::new(0),
            exhausted: AtomicU64::new(0),
            throttled: AtomicU64::new(0),
            weight: spec.weight,
            credits: Credits::new(config.cpus, &config.limits),
            shares: QueueType::ALL.map(|class| {
                let unit = weight(class.default_priority());
                Arc::new(GroupShare::new(slot, parent.map_or(0, Domain::group), unit, spec.weight))
            }),
        })))
    }

    /// What its tasks share together: see [`DomainSpec::weight`].
    pub fn weight(&self) -> u16 {
        self.0.weight
    }

    /// The number by which policies know it.
    pub(crate) fn group(&self) -> u16 {
        self.0.shares[0].slot
    }

    pub(crate) fn shares(&self) -> &Shares {
        &self.0.shares
    }

    /// Its number.
    pub fn id(&self) -> DomainId {
        self.0.id
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// The domain that it is in; `None`: the root.
    pub fn parent(&self) -> Option<&Domain> {
        self.0.parent.as_ref()
    }

    /// The domain itself, then its parent, and so on up to below the root.
    pub fn ancestry(&self) -> impl Iterator<Item = &Domain> {
        core::iter::successors(Some(self), |domain| domain.parent())
    }

    /// Whether it is `other` or lies below it.
    pub fn is_within(&self, other: &Domain) -> bool {
        self.ancestry().any(|domain| domain == other)
    }

    /// What its tasks may do now.
    pub fn rights(&self) -> Rights {
        let own = |domain: &Domain| Rights::from_bits(domain.0.rights.load(Ordering::Relaxed));
        self.ancestry().map(own).fold(Rights::ALL, Rights::intersection)
    }

    /// Whether its tasks may do that. One load for each domain on the way to the root.
    #[inline]
    pub fn has(&self, right: Right) -> bool {
        self.rights().contains(right)
    }

    /// Takes from it, and from all domains below it, the rights that are not in `keep`. There is no way to give them back.
    pub fn restrict(&self, keep: Rights) {
        self.0.rights.fetch_and(keep.bits(), Ordering::Relaxed);
    }

    /// How urgent its tasks may be.
    pub fn ceiling(&self) -> Ceiling {
        self.0.ceiling
    }

    /// What its tasks may have.
    pub fn quota(&self) -> Quota {
        self.0.quota
    }

    /// What it and those below it have now.
    pub fn usage(&self) -> DomainUsage {
        DomainUsage {
            tasks: self.0.tasks.load(Ordering::SeqCst),
            memory: self.0.memory.load(Ordering::Relaxed),
            cpu_time: self.0.cpu_time.load(Ordering::Relaxed),
            denied: self.0.denied.load(Ordering::Relaxed),
            exhausted: self.0.exhausted.load(Ordering::Relaxed),
            throttled: self.0.throttled.load(Ordering::Relaxed),
        }
    }

    /// Counts `bytes` of memory that the host gives to the domain as a whole, here and in all domains above. Takes no lock; O(depth).
    /// For a task's memory see [`TaskManager::charge_memory`](crate::scheduler::TaskManager::charge_memory).
    ///
    /// # Errors
    /// [`SchedError::ResourceExhausted`] if that is more than the quota of one of them; [`SchedError::InvalidState`] if one of them is
    /// being destroyed. Nothing is counted then.
    pub fn charge_memory(&self, bytes: u64) -> SchedResult<()> {
        if self.is_closed() {
            return Err(SchedError::InvalidState);
        }
        for domain in self.ancestry() {
            let most = domain.0.quota.memory.unwrap_or(u64::MAX);
            let sum = |held: u64| held.checked_add(bytes).filter(|&sum| sum <= most);
            if domain.0.memory.fetch_update(Ordering::Relaxed, Ordering::Relaxed, sum).is_err() {
                domain.0.exhausted.fetch_add(1, Ordering::Relaxed);
                self.ancestry().take_while(|&below| below != domain).for_each(|below| below.give_back(bytes));
                return Err(SchedError::ResourceExhausted);
            }
        }
        Ok(())
    }

    /// Takes back what was charged. More than that counts as all of it.
    pub fn uncharge_memory(&self, bytes: u64) {
        self.ancestry().for_each(|domain| domain.give_back(bytes));
    }

    fn give_back(&self, bytes: u64) {
        let rest = |held: u64| Some(held.saturating_sub(bytes));
        let _ = self.0.memory.fetch_update(Ordering::Relaxed, Ordering::Relaxed, rest);
    }

    /// Counts a task, here and in all domains above; O(depth).
    pub(crate) fn enter(&self) -> SchedResult<()> {
        let undo = |upto: &Domain| self.ancestry().take_while(|&below| below != upto).for_each(Domain::remove_one);
        for domain in self.ancestry() {
            let most = domain.0.quota.tasks.unwrap_or(u32::MAX);
            let more = |tasks: u32| (tasks < most).then_some(tasks.wrapping_add(1));
            // Sequentially consistent, as is closing: either the task is seen by whoever destroys the domain, or this is.
            if domain.0.tasks.fetch_update(Ordering::SeqCst, Ordering::SeqCst, more).is_err() {
                domain.0.exhausted.fetch_add(1, Ordering::Relaxed);
                undo(domain);
                return Err(SchedError::ResourceExhausted);
            }
        }
        if self.is_closed() {
            self.leave();
            return Err(SchedError::InvalidState);
        }
        Ok(())
    }

    /// A task that was counted is gone.
    pub(crate) fn leave(&self) {
        self.ancestry().for_each(Domain::remove_one);
    }

    fn remove_one(&self) {
        self.0.tasks.fetch_sub(1, Ordering::SeqCst);
    }

    /// Whether it, or a domain above it, is being destroyed or has been: nothing may be spawned in it any more.
    pub fn is_closed(&self) -> bool {
        self.ancestry().any(|domain| domain.0.closed.load(Ordering::SeqCst))
    }

    pub(crate) fn close(&self) {
        self.0.closed.store(true, Ordering::SeqCst);
    }

    /// Whether it has been destroyed.
    pub(crate) fn is_gone(&self) -> bool {
        self.0.gone.load(Ordering::Acquire)
    }

    pub(crate) fn set_gone(&self) {
        self.0.gone.store(true, Ordering::Release);
    }

    /// Whether nobody else has a handle to it, so that nobody will get one.
    pub(crate) fn is_unshared(&self) -> bool {
        Arc::strong_count(&self.0) == 1
    }

    /// Whether it or a domain above it has a quota of CPU time.
    pub(crate) fn has_cpu_quota(&self) -> bool {
        self.ancestry().any(|domain| domain.0.pool.is_some())
    }

    /// A task of it has used `ran` on `cpu`, up to `now`.
    pub(crate) fn charge_cpu(&self, cpu: usize, ran: Duration, now: Timestamp) {
        for domain in self.ancestry() {
            domain.0.cpu_time.fetch_add(ran.as_nanos(), Ordering::Relaxed);
            if let Some(pool) = &domain.0.pool {
                pool.charge(cpu, ran, now);
            }
        }
    }

    /// An Interactive task of it has used `ran` on `cpu`, up to `now`. Whether the credit there, of it or of a domain above, is used up: its
    /// tasks count as Batch then, as a single task does.
    pub(crate) fn charge_credit(&self, cpu: usize, ran: Duration, limits: &Limits, now: Timestamp) -> bool {
        self.ancestry().fold(false, |exhausted, domain| exhausted | domain.0.credits.charge(cpu, ran, limits, now))
    }

    fn pools(&self) -> impl Iterator<Item = &Pool> {
        self.ancestry().filter_map(|domain| domain.0.pool.as_ref())
    }

    /// Until when its tasks must wait, if they must, because its budget or one above is used up.
    pub(crate) fn exhausted_until(&self, now: Timestamp) -> Option<Timestamp> {
        self.pools().filter_map(|pool| pool.exhausted_until(now)).max()
    }

    /// One of its tasks has to wait, as said.
    pub(crate) fn note_throttled(&self, now: Timestamp) {
        let used_up = |domain: &&Domain| domain.0.pool.as_ref().is_some_and(|pool| pool.exhausted_until(now).is_some());
        self.ancestry().filter(used_up).for_each(|domain| {
            domain.0.throttled.fetch_add(1, Ordering::Relaxed);
        });
    }

    /// When a CPU that runs a task of it must look again.
    pub(crate) fn cpu_horizon(&self, now: Timestamp) -> Timestamp {
        self.pools().map(|pool| pool.horizon(now)).min().unwrap_or(Timestamp::MAX)
    }

    pub(crate) fn note_denial(&self) {
        self.0.denied.fetch_add(1, Ordering::Relaxed);
    }
}

impl PartialEq for Domain {
    #[inline]
    fn eq(&self, other: &Domain) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Domain {}

impl fmt::Debug for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Domain({} {:?})", self.0.id.0, self.0.name)
    }
}
