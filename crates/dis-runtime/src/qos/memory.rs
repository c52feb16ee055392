//! Memory limits of tasks: a global allocator that knows which task each allocation is for.
//!
//! ```no_run
//! #[global_allocator]
//! static MEMORY: dis_runtime::memory::Accounting = dis_runtime::memory::Accounting::new();
//! ```
//!
//! An allocation counts for the task that makes it until it is freed, by whomever; so what a task hands on stays its own. Only what
//! goes through the global allocator counts: neither stacks nor `mmap` nor the allocations of C libraries.
//!
//! A task that holds more than its limit (`max_memory`) is *over*: its next cooperative point panics and says so, and the future that
//! is polled ends with that panic when its poll does. Allocations of a task that holds, or would hold, more than twice its limit fail:
//! `try_reserve` and its like answer an error; what cannot (`Vec::push`, `Box::new`) ends the *process*, as stable Rust has no other
//! end for it (`handle_alloc_error`; unwinding out of an allocator is undefined behaviour). Hence the room between the two limits: a
//! vector that doubles stays within it.

use std::alloc::{GlobalAlloc, Layout, System};
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::api::here;
use crate::qos::of_running;

/// Whether an [`Accounting`] has been asked for memory, so it is the global allocator.
static INSTALLED: AtomicBool = AtomicBool::new(false);

/// An allocator that counts for which task each block is. Costs 16 bytes a block (more for a greater alignment), and a few
/// instructions; `A` does the work.
#[derive(Debug, Default)]
pub struct Accounting<A = System>(A);

impl Accounting {
    /// On top of the system's allocator.
    pub const fn new() -> Self {
        Accounting(System)
    }
}

impl<A> Accounting<A> {
    /// On top of another one.
    pub const fn over(allocator: A) -> Self {
        Accounting(allocator)
    }
}

/// What precedes a block; the account is in the last eight bytes of it.
fn prefix(layout: Layout) -> usize {
    layout.align().max(16)
}

fn with_prefix(layout: Layout) -> Option<Layout> {
    let size = layout.size().checked_add(prefix(layout))?;
    Layout::from_size_align(size, prefix(layout)).ok()
}

/// The same for the layout of a block that was made.
///
/// # Safety
/// `with_prefix` has answered for it.
unsafe fn of_block(layout: Layout) -> Layout {
    // SAFETY: the caller's promise.
    unsafe { with_prefix(layout).unwrap_unchecked() }
}

/// Enters the account, and answers what the caller gets.
///
/// # Safety
/// `block` has the layout `with_prefix(layout)`.
unsafe fn enter(block: *mut u8, layout: Layout, account: *const Book) -> *mut u8 {
    // SAFETY: within the block; aligned to 8, as the prefix is a multiple of 16.
    unsafe {
        let user = block.add(prefix(layout));
        user.cast::<*const Book>().sub(1).write(account);
        user
    }
}

impl<A: GlobalAlloc> Accounting<A> {
    fn make(&self, layout: Layout, make: impl FnOnce(Layout) -> *mut u8) -> *mut u8 {
        if !INSTALLED.load(Ordering::Relaxed) {
            INSTALLED.store(true, Ordering::Relaxed);
        }
        let Some(whole) = with_prefix(layout) else { return ptr::null_mut() };
        let book = of_running().and_then(|limits| limits.memory.as_ref()).map(Account::book);
        if book.is_some_and(|book| !book.charge(layout.size())) {
            return ptr::null_mut();
        }
        let block = make(whole);
        if block.is_null() {
            if let Some(book) = book {
                book.give_back(layout.size());
            }
            return block;
        }
        // SAFETY: made with that layout.
        unsafe { enter(block, layout, book.map_or(ptr::null(), ptr::from_ref)) }
    }
}

// SAFETY: each block is one of `A`'s, of a layout made from the caller's in the same way each time; what the caller gets lies in it at
// the alignment asked for, with the size asked for behind it. Nothing here unwinds.
unsafe impl<A: GlobalAlloc> GlobalAlloc for Accounting<A> {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the size is not 0.
        self.make(layout, |whole| unsafe { self.0.alloc(whole) })
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        self.make(layout, |whole| unsafe { self.0.alloc_zeroed(whole) })
    }

    unsafe fn dealloc(&self, user: *mut u8, layout: Layout) {
        // SAFETY: one of our blocks, with the layout that it was asked for with.
        unsafe {
            let book = user.cast::<*const Book>().sub(1).read();
            let whole = of_block(layout);
            self.0.dealloc(user.sub(prefix(layout)), whole);
            if let Some(book) = book.as_ref() {
                book.give_back(layout.size());
            }
        }
    }

    unsafe fn realloc(&self, user: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as for `dealloc`; the alignment stays, so the prefix does, and with it the account in it.
        unsafe {
            let book = user.cast::<*const Book>().sub(1).read().as_ref();
            let Some(new) = Layout::from_size_align(size, layout.align()).ok().and_then(with_prefix) else {
                return ptr::null_mut();
            };
            let more = size.saturating_sub(layout.size());
            if book.is_some_and(|book| !book.charge(more)) {
                return ptr::null_mut();
            }
            let whole = of_block(layout);
            let block = self.0.realloc(user.sub(prefix(layout)), whole, new.size());
            let less = if block.is_null() { more } else { layout.size().saturating_sub(size) };
            if let Some(book) = book {
                book.give_back(less);
            }
            if block.is_null() { block } else { block.add(prefix(layout)) }
        }
    }
}

/// In `Book::used`: the task has not ended.
const TASK: usize = 1 << (usize::BITS - 2);

/// What a task holds. Lives as long as the task or one of its blocks.
#[derive(Debug)]
pub(crate) struct Book {
    /// Bytes, and [`TASK`].
    used: AtomicUsize,
    limit: usize,
    /// It held more than its limit at an allocation of its own.
    over: AtomicBool,
}

impl Book {
    /// False: it would be too much, and nothing was counted.
    fn charge(&self, bytes: usize) -> bool {
        let held = (self.used.fetch_add(bytes, Ordering::Relaxed) & !TASK).saturating_add(bytes);
        if held <= self.limit {
            return true;
        }
        // A task that unwinds needs some memory for that.
        if held > self.limit.saturating_mul(2) && !std::thread::panicking() {
            self.give_back(bytes);
            return false;
        }
        self.tell_task();
        true
    }

    /// It is the running task's, which therefore ends at its next cooperative point.
    #[cold]
    fn tell_task(&self) {
        if let Some((_, task)) = here()
            && task
                .limits
                .as_ref()
                .and_then(|limits| limits.memory.as_ref())
                .is_some_and(|own| ptr::eq(own.book(), self))
        {
            self.over.store(true, Ordering::Relaxed);
            task.aborted.store(true, Ordering::SeqCst);
        }
    }

    fn give_back(&self, bytes: usize) {
        if bytes > 0 && self.used.fetch_sub(bytes, Ordering::AcqRel) == bytes {
            // SAFETY: made by `Account::new`; neither task nor block is left.
            unsafe { System.dealloc(ptr::from_ref(self).cast_mut().cast(), Layout::new::<Book>()) };
        }
    }
}

/// The task's own share in its book.
#[derive(Debug)]
pub(crate) struct Account(NonNull<Book>);

// SAFETY: the book is atomics.
unsafe impl Send for Account {}
// SAFETY: as above.
unsafe impl Sync for Account {}

impl Account {
    pub(crate) fn new(limit: Option<usize>) -> Result<Option<Account>, &'static str> {
        let Some(limit) = limit else { return Ok(None) };
        if !INSTALLED.load(Ordering::Relaxed) {
            return Err("max_memory: the program's global allocator is not dis_runtime::memory::Accounting");
        }
        // From the system, as it is freed inside the allocator.
        // SAFETY: the size is not 0.
        let book = NonNull::new(unsafe { System.alloc(Layout::new::<Book>()) }.cast::<Book>());
        let book = book.ok_or("max_memory: there is no memory left to count with")?;
        // SAFETY: just made.
        unsafe { book.write(Book { used: AtomicUsize::new(TASK), limit, over: AtomicBool::new(false) }) };
        Ok(Some(Account(book)))
    }

    fn book(&self) -> &Book {
        // SAFETY: lives as long as the account.
        unsafe { self.0.as_ref() }
    }

    /// Bytes that the task holds.
    pub(crate) fn used(&self) -> usize {
        self.book().used.load(Ordering::Relaxed) & !TASK
    }

    /// Why the task must end, if it must.
    pub(crate) fn verdict(&self) -> Option<String> {
        let book = self.book();
        book.over.load(Ordering::Relaxed).then(|| {
            let (used, limit) = (self.used(), book.limit);
            format!("the task has gone over its memory limit (max_memory) of {limit} bytes; it holds {used} now")
        })
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        self.book().give_back(TASK);
    }
}

/// Bytes that the running task holds; `None` for tasks without a memory limit, which are not counted, and outside of tasks.
pub fn used() -> Option<usize> {
    Some(of_running()?.memory.as_ref()?.used())
}

/// Why the running task must end, if it must.
#[cold]
pub(crate) fn verdict() -> Option<String> {
    of_running()?.memory.as_ref()?.verdict()
}
