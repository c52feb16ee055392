//! The side that is controlled.
//!
//! A thread accepts, and each client has a thread, so nobody waits for one that is slow. There are at most [`MOST_CLIENTS`]; a further
//! one takes the place of the one that has been silent for longest, but of one that waits for an answer only if all do.

use std::io::{ErrorKind, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::line::{Lines, Stop};
use crate::protocol::{self, Command, Kind, LONGEST_REQUEST, Refusal, Reply};
use crate::socket::{Place, SocketError, stranger};

/// Most clients at a time.
pub const MOST_CLIENTS: usize = 16;

/// How long a client may be silent between two requests.
const IDLE: Duration = Duration::from_secs(60);
/// How long a request may take to come, or a reply to be taken.
const PATIENCE: Duration = Duration::from_secs(5);

/// Whoever can be controlled.
pub trait Controlled: Send + Sync + 'static {
    /// Does what is asked. Called on ordinary threads, by several clients at a time.
    fn answer(&self, command: Command) -> Reply;
}

/// A socket that is served. Dropping it ends the service and removes the socket.
#[derive(Debug)]
pub struct Server {
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    place: Place,
    stop: AtomicBool,
    clients: Mutex<Vec<Client>>,
    /// Threads of clients that have not ended, those included that had to make place.
    threads: AtomicUsize,
}

#[derive(Debug)]
struct Client {
    number: u64,
    stream: UnixStream,
    /// When it had its last answer, or it came.
    heard: Instant,
    /// Its request is being carried out.
    busy: bool,
    thread: Option<JoinHandle<()>>,
}

impl Shared {
    fn clients(&self) -> MutexGuard<'_, Vec<Client>> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A client's request is complete, or answered.
    fn note(&self, number: u64, busy: bool) {
        if let Some(client) = self.clients().iter_mut().find(|client| client.number == number) {
            (client.heard, client.busy) = (Instant::now(), busy);
        }
    }
}

impl Server {
    /// Makes the socket and serves it from now on.
    ///
    /// # Errors
    /// See [`SocketError`].
    pub fn start(path: impl AsRef<Path>, controlled: Arc<dyn Controlled>) -> Result<Server, SocketError> {
        let path = path.as_ref();
        let place = Place::claim(path)?;
        let shared = Arc::new(Shared {
            place,
            stop: AtomicBool::new(false),
            clients: Mutex::default(),
            threads: AtomicUsize::new(0),
        });
        let theirs = Arc::clone(&shared);
        let acceptor = thread::Builder::new().name("dis-control".into());
        let acceptor = acceptor.spawn(move || accept(&theirs, &controlled));
        let acceptor = acceptor.map_err(|error| SocketError::System(path.into(), error))?;
        Ok(Server { shared, acceptor: Some(acceptor) })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        self.shared.place.remove();
        // Ends the wait for a client.
        let _ = rustix::net::shutdown(&self.shared.place.listener, rustix::net::Shutdown::Both);
        if let Some(acceptor) = self.acceptor.take() {
            let _ = acceptor.join();
        }
        let clients = std::mem::take(&mut *self.shared.clients());
        for client in &clients {
            let _ = client.stream.shutdown(Shutdown::Both);
        }
        for thread in clients.into_iter().filter_map(|client| client.thread) {
            // One that is asked to end the process's runtime does so on its own thread.
            if thread.thread().id() != thread::current().id() {
                let _ = thread.join();
            }
        }
    }
}

fn accept(shared: &Arc<Shared>, controlled: &Arc<dyn Controlled>) {
    for number in 0.. {
        let stream = match shared.place.listener.accept() {
            Ok((stream, _)) => stream,
            Err(_) if shared.stop.load(Ordering::SeqCst) => return,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(_) => {
                // No file descriptor is left, for instance.
                thread::sleep(Duration::from_millis(50));
                continue;
            }
        };
        let _ = stream.set_write_timeout(Some(PATIENCE));
        if let Some(user) = stranger(&stream) {
            let message = format!("user {user} may not control this process; its own user and root may");
            say(&stream, &Refusal::new(Kind::NotPermitted, message).into());
            continue;
        }
        admit(shared, controlled, number, stream);
    }
}

fn admit(shared: &Arc<Shared>, controlled: &Arc<dyn Controlled>, number: u64, stream: UnixStream) {
    // One that had to make place may still be busy with what it was asked for.
    if shared.threads.load(Ordering::SeqCst) >= 2 * MOST_CLIENTS {
        say(&stream, &Refusal::new(Kind::Limit, "too many requests are under way; try again").into());
        return;
    }
    let Ok(kept) = stream.try_clone() else { return };
    let mut clients = shared.clients();
    if clients.len() >= MOST_CLIENTS
        && let Some(silent) = (0..clients.len()).min_by_key(|&client| (clients[client].busy, clients[client].heard))
    {
        // Its thread ends by itself; it is waited for with the others.
        let _ = clients.swap_remove(silent).stream.shutdown(Shutdown::Both);
    }
    let (theirs, controlled) = (Arc::clone(shared), Arc::clone(controlled));
    let thread = thread::Builder::new().name("dis-control".into()).stack_size(256 << 10).spawn(move || {
        serve(&theirs, &*controlled, number, stream);
        theirs.clients().retain(|client| client.number != number);
        theirs.threads.fetch_sub(1, Ordering::SeqCst);
    });
    if thread.is_ok() {
        shared.threads.fetch_add(1, Ordering::SeqCst);
    }
    if let Ok(thread) = thread {
        clients.push(Client { number, stream: kept, heard: Instant::now(), busy: false, thread: Some(thread) });
    }
}

/// Answers one client until it goes, or breaks a rule.
fn serve(shared: &Shared, controlled: &dyn Controlled, number: u64, mut stream: UnixStream) {
    let mut lines = Lines::new(LONGEST_REQUEST);
    loop {
        let (reply, goes_on) = match lines.next(&mut stream, IDLE, PATIENCE) {
            Ok(line) => {
                shared.note(number, true);
                match protocol::decode(&line) {
                    Ok(command) => (controlled.answer(command), true),
                    Err(refusal) => (refusal.into(), true),
                }
            }
            Err(Stop::TooLong) => {
                let message = format!("a request is longer than {LONGEST_REQUEST} bytes");
                (Refusal::new(Kind::Limit, message).into(), false)
            }
            Err(Stop::TooSlow) => (Refusal::new(Kind::Limit, "the request did not come in time").into(), false),
            Err(Stop::Closed | Stop::Failed(_)) => return,
        };
        if !say(&stream, &reply) || !goes_on || shared.stop.load(Ordering::SeqCst) {
            let _ = stream.shutdown(Shutdown::Both);
            return;
        }
        shared.note(number, false);
    }
}

/// Whether the other side has taken it in time.
fn say(mut stream: &UnixStream, reply: &Reply) -> bool {
    let until = Instant::now() + PATIENCE;
    let line = protocol::encode(reply);
    let mut rest = &line[..];
    while !rest.is_empty() {
        match stream.write(rest) {
            Ok(count) if count > 0 => rest = &rest[count..],
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            // A reader of a byte now and then is too slow as well.
            _ => return false,
        }
        if Instant::now() > until {
            return false;
        }
    }
    true
}
