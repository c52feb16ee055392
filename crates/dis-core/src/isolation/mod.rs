//! Isolation: who may do what to whom, and how much of the machine a group of tasks may take.
//!
//! A [`Domain`] is a group of tasks with limits; domains form a tree. Tasks that are in no domain are at its root, where nothing is
//! limited and nothing is checked. A domain has
//!
//! - *capabilities* ([`Rights`]): what its tasks may do, to tasks of the same domain and of those below it, never to others.
//!   They only ever shrink on the way down: a child asked for with more than its parent has is refused, and what is
//!   [taken](Domain::restrict) from a domain is taken from all below it at once;
//! - a *ceiling* ([`Ceiling`]): how urgent its tasks may be of their own accord. Urgency that somebody lends
//!   ([`inherit`](crate::scheduler::TaskManager::inherit)) may exceed it: it is the lender's, and for as long as it is lent the
//!   borrower works for the lender;
//! - *quotas* ([`Quota`]): how many tasks, how much memory, what share of the CPUs all tasks of the domain and of those below it
//!   may have together.
//!
//! **Two doors.** The methods of [`TaskManager`](crate::scheduler::TaskManager) are the host's own calls: they are trusted, and
//! check no right. What a task asks for goes through a [`Subject`], which can be had for a task or for a domain, gives no way back to
//! the manager, and checks every call; [`CpuView`](crate::executor::CpuView), the task API of the reference, uses the subject of the
//! task that runs. Ceilings and quotas belong to the domain, not to who asks: they hold for both.
//!
//! **Membership** is settled at the spawn and for good: the domain that [`TaskSpec`](crate::api::TaskSpec) names, else the
//! parent's. So no task leaves its domain by letting children work for it, whether or not the host asks through a subject.
//!
//! The design is that of capability systems with a hierarchy of jobs: Zircon's jobs and their policies (rights of a child job are
//! those of the parent or fewer), the attenuation of rights in seL4, the hierarchy of cgroup v2 for quotas.

mod bandwidth;
mod credit;
mod denial;
mod domain;
mod rights;
mod subject;

pub use bandwidth::Bandwidth;
pub(crate) use denial::Denials;
pub use denial::{Act, Denial};
pub(crate) use domain::Shares;
pub use domain::{Ceiling, Domain, DomainId, DomainSpec, DomainUsage, MAX_DEPTH, Quota, Sweep};
pub use rights::{Right, Rights};
pub use subject::Subject;
