//! The Chrome trace format, as far as Perfetto needs it: an object with a list of events, written one by one.

use std::io::{self, Write};

use serde_json::{Value, json};

/// The process under which CPUs are shown.
pub const CPUS: u64 = 1;
/// The process under which tasks are shown.
pub const TASKS: u64 = 2;

/// Writes events to `W`.
#[derive(Debug)]
pub struct ChromeWriter<W: Write> {
    out: W,
    /// Time 0 of the trace, ns.
    origin: u64,
    first: bool,
    written: u64,
}

/// Where an event is shown: process and thread.
pub type Track = (u64, u64);

impl<W: Write> ChromeWriter<W> {
    /// Begins a trace whose time begins at `origin`.
    pub fn new(mut out: W, origin: u64) -> io::Result<Self> {
        out.write_all(b"{\"displayTimeUnit\":\"ns\",\"traceEvents\":[")?;
        Ok(ChromeWriter { out, origin, first: true, written: 0 })
    }

    /// Ends the trace.
    pub fn finish(mut self) -> io::Result<u64> {
        self.out.write_all(b"\n]}\n")?;
        self.out.flush()?;
        Ok(self.written)
    }

    /// A part of a track's time.
    pub fn slice(&mut self, track: Track, name: &str, from: u64, to: u64, args: Value) -> io::Result<()> {
        let (ts, dur) = (self.ts(from), micros(to.saturating_sub(from)));
        self.event(track, "X", name, json!({ "ts": ts, "dur": dur, "args": args }))
    }

    /// A moment.
    pub fn instant(&mut self, track: Track, name: &str, at: u64, args: Value) -> io::Result<()> {
        let ts = self.ts(at);
        self.event(track, "i", name, json!({ "ts": ts, "s": "t", "args": args }))
    }

    /// One end of an arrow; both ends have the same `id`.
    pub fn arrow(&mut self, track: Track, id: u64, at: u64, begins: bool) -> io::Result<()> {
        let ts = self.ts(at);
        let (phase, mut rest) = if begins { ("s", json!({})) } else { ("f", json!({ "bp": "e" })) };
        rest["ts"] = ts;
        rest["id"] = id.into();
        rest["cat"] = "wake-up".into();
        self.event(track, phase, "ready to running", rest)
    }

    /// Names a process and says where it is shown.
    pub fn process(&mut self, process: u64, name: &str) -> io::Result<()> {
        self.event((process, 0), "M", "process_name", json!({ "args": { "name": name } }))?;
        self.event((process, 0), "M", "process_sort_index", json!({ "args": { "sort_index": process } }))
    }

    /// Names a track.
    pub fn thread(&mut self, track: Track, name: &str) -> io::Result<()> {
        self.event(track, "M", "thread_name", json!({ "args": { "name": name } }))?;
        self.event(track, "M", "thread_sort_index", json!({ "args": { "sort_index": track.1 } }))
    }

    fn event(&mut self, (process, thread): Track, phase: &str, name: &str, mut rest: Value) -> io::Result<()> {
        rest["ph"] = phase.into();
        rest["name"] = name.into();
        rest["pid"] = process.into();
        rest["tid"] = thread.into();
        self.out.write_all(if std::mem::take(&mut self.first) { b"\n" } else { b",\n" })?;
        serde_json::to_writer(&mut self.out, &rest)?;
        self.written += 1;
        Ok(())
    }

    fn ts(&self, ns: u64) -> Value {
        micros(ns.saturating_sub(self.origin))
    }
}

/// Microseconds; the thousandths are exact for 100 days, as 2^53 ns are.
fn micros(ns: u64) -> Value {
    json!(ns as f64 / 1_000.0)
}
