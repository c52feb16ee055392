//! Freestanding, at 1 MiB, as QEMU loads it.

fn main() {
    let script = format!("-Wl,-T,{}/linker.ld", std::env::var("CARGO_MANIFEST_DIR").unwrap_or_default());
    let arguments = [
        "-nostartfiles",
        "-nostdlib",
        "-static",
        "-no-pie",
        "-Wl,--build-id=none",
        "-Wl,-z,norelro",
        "-Wl,--no-eh-frame-hdr",
    ];
    arguments.iter().chain([&script.as_str()]).for_each(|word| println!("cargo::rustc-link-arg-bins={word}"));
    println!("cargo::rerun-if-changed=linker.ld");
}
