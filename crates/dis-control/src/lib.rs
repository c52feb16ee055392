//! Control and observation of a running process over a UNIX socket.
//!
//! * [`protocol`] is what is asked and answered, one JSON object a line. It knows nothing of the scheduler's types, so what is on
//!   the wire changes only when its version does.
//! * [`Server`] gives a process a socket; whoever implements [`Controlled`] answers.
//! * [`Client`] asks.
//!
//! Only the user of the process, and root, may connect. What they send is limited in length and time, and so is how much is kept for
//! them; `docs/control.md` has the numbers.
#![forbid(unsafe_code)]

mod client;
mod line;
pub mod protocol;
mod server;
mod socket;

pub use client::{Client, ClientError};
pub use server::{Controlled, MOST_CLIENTS, Server};
pub use socket::SocketError;
