//! Whose place newcomers take.

use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

use dis_control::protocol::{Command, Reply};
use dis_control::{Client, Controlled, MOST_CLIENTS, Server};

/// Takes its time: says that it has been asked, and answers when it is told to.
struct Slow(Mutex<(Sender<()>, Receiver<()>)>);

impl Controlled for Slow {
    fn answer(&self, _: Command) -> Reply {
        let ends = self.0.lock().unwrap();
        ends.0.send(()).unwrap();
        ends.1.recv().unwrap();
        Reply::Done { text: "done".into() }
    }
}

#[test]
fn who_waits_for_an_answer_keeps_its_place() {
    let path = std::env::temp_dir().join(format!("dis-newcomers-{}.sock", std::process::id()));
    let (asked, is_asked) = channel();
    let (answer, is_to_answer) = channel();
    let slow = Arc::new(Slow(Mutex::new((asked, is_to_answer))));
    let _server = Server::start(&path, slow).unwrap();
    let mut client = Client::connect(&path).unwrap();
    let asks = std::thread::spawn(move || client.ask(&Command::Hello));
    is_asked.recv().unwrap();
    // Each waits until the one before has its place: it hears of it when it has to go.
    let crowd: Vec<_> = (0..2 * MOST_CLIENTS).map(|_| UnixStream::connect(&path).unwrap()).collect();
    let mut gone = [0; 1];
    for first in &crowd[..MOST_CLIENTS / 2] {
        let _ = std::io::Read::read(&mut &*first, &mut gone).unwrap();
    }
    answer.send(()).unwrap();
    let reply = asks.join().unwrap();
    assert!(matches!(reply, Ok(Reply::Done { .. })), "{reply:?}");
}
