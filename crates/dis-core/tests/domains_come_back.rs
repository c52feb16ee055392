//! What a domain has taken comes back when it is destroyed: its number among the policies' groups, of which there are 65,535, and
//! its memory.

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use common::at;
use common::lock::Lock;
use dis_core::executor::Executor;
use dis_core::isolation::{Domain, DomainSpec, Sweep};
use dis_core::scheduler::Config;

type Core = Executor<u32, Lock>;

thread_local! {
    /// Bytes that this thread has allocated and not freed.
    static HELD: Cell<isize> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: passes every call on to the system's allocator; counting touches a constant-initialised thread-local only.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        HELD.set(HELD.get() + layout.size() as isize);
        // SAFETY: the caller's contract is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        HELD.set(HELD.get() - layout.size() as isize);
        // SAFETY: the caller's contract is the same.
        unsafe { System.dealloc(block, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn create(core: &Core, parent: Option<&Domain>) -> Domain {
    core.create_domain(parent, DomainSpec::new("guest")).expect("there is a number for it")
}

/// Makes a domain with `below` others in it, and destroys all of them by the one.
fn come_and_go(core: &Core, below: usize) {
    let domain = create(core, None);
    (0..below).for_each(|_| drop(create(core, Some(&domain))));
    assert_eq!(core.destroy_domain(at(0), &domain, &mut Sweep::default(), 16, |_, _| ()), Ok(true));
}

#[test]
fn domains_do_not_run_out() {
    let core = Core::new(Config::new(1)).expect("a valid configuration");
    for _ in 0..=u16::MAX {
        come_and_go(&core, 1);
    }
    assert!(core.domains().is_empty());
}

#[test]
fn the_memory_of_domains_comes_back_at_once() {
    let core = Core::new(Config::new(1)).expect("a valid configuration");
    // Room that is made once for so many.
    (0..3).for_each(|_| come_and_go(&core, 50));
    // The one that somebody names while it is destroyed is forgotten when the next is made.
    come_and_go(&core, 1);
    let with_one = HELD.get();
    for _ in 0..3 {
        come_and_go(&core, 50);
        assert_eq!(HELD.get(), with_one, "domains are kept that nobody can name");
    }
}
