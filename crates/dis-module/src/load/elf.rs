//! Whether a file is a shared library for this machine, and whole. The system's loader says less of what is wrong, and maps what
//! is missing: the process would die when it is touched.

/// Where WebAssembly is not taken, and where it is.
const WASM: &str = "WebAssembly, whose calls may allocate, and a runtime calls policies under its CPUs' locks, so `dis run` \
                    and `dis ctl` do not take it; `dis sim` and `dis module check` do if they are built with it (`cargo build \
                    -p dis-cli --features wasm`), and `dis_module::load_wasm`";

/// What a file is, if it is no whole shared library for this machine (System V ABI, chapter 4).
pub(super) fn wrong(bytes: &[u8]) -> Option<&'static str> {
    match bytes {
        [0x7f, b'E', b'L', b'F', 2, 1, ..] if cfg!(target_endian = "little") => broken(bytes),
        [0x7f, b'E', b'L', b'F', ..] => Some("an ELF file of another word size or byte order"),
        [0, b'a', b's', b'm', ..] => Some(WASM),
        [] => Some("an empty file"),
        [b'!', b'<', b'a', b'r', ..] => Some("a static library"),
        _ => Some("no ELF file"),
    }
}

fn broken(bytes: &[u8]) -> Option<&'static str> {
    const CUT: Option<&str> = Some("an ELF file of which the end is missing");
    let machine = if cfg!(target_arch = "x86_64") { 62 } else { 183 };
    let half = |at: usize| Some(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?));
    let long = |at: usize| Some(u64::from_le_bytes(bytes.get(at..at.checked_add(8)?)?.try_into().ok()?));
    let (Some(kind), Some(found), Some(table), Some(entry), Some(count)) =
        (half(16), half(18), long(32), half(54), half(56))
    else {
        return CUT;
    };
    if found != machine {
        return Some("an ELF file for another kind of machine");
    }
    if kind != 3 {
        return Some("an ELF file that is no shared library");
    }
    for index in 0..u64::from(count) {
        let at = table.saturating_add(index * u64::from(entry)) as usize;
        let (Some(start), Some(len)) = (long(at.saturating_add(8)), long(at.saturating_add(32))) else { return CUT };
        if start.saturating_add(len) > bytes.len() as u64 {
            return CUT;
        }
    }
    None
}
