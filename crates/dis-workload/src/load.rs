//! Reads a file and finds out its format.

use std::fs;
use std::io::{self, Read};
use std::path::Path;

use crate::error::{Problem, WorkloadError};
use crate::model::Workload;

/// Largest file read; the largest of rt-app's examples has 6 KB.
const MAX_BYTES: u64 = 1 << 20;

/// The formats that can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// The TOML format of `docs/workload-format.md`.
    Toml,
    /// rt-app's JSON.
    RtApp,
}

impl Format {
    /// The format of a file: by its extension (`.toml`, `.json`), else by its content. What begins with `{`, after
    /// comments, is JSON; everything else is taken for TOML.
    pub fn detect(path: &Path, text: &str) -> Format {
        let extension = path.extension().and_then(|extension| extension.to_str()).map(str::to_ascii_lowercase);
        match extension.as_deref() {
            Some("toml") => Format::Toml,
            Some("json") => Format::RtApp,
            _ if looks_like_json(text) => Format::RtApp,
            _ => Format::Toml,
        }
    }
}

fn looks_like_json(text: &str) -> bool {
    let mut rest = text.trim_start_matches('\u{feff}').trim_start();
    loop {
        let after = match (rest.strip_prefix("/*"), rest.strip_prefix("//")) {
            (Some(comment), _) => comment.split_once("*/").map(|(_, after)| after),
            (_, Some(comment)) => comment.split_once('\n').map(|(_, after)| after),
            _ => return rest.starts_with('{'),
        };
        match after {
            Some(after) => rest = after.trim_start(),
            None => return true,
        }
    }
}

impl Workload {
    /// Reads a workload file in either format.
    ///
    /// # Errors
    /// The file cannot be read (with the remedy), or what is wrong in it.
    pub fn load(path: impl AsRef<Path>) -> Result<Workload, WorkloadError> {
        let path = path.as_ref();
        let name = path.display().to_string();
        let bytes = open(path).and_then(read).map_err(|message| WorkloadError::whole(&name, message))?;
        of_bytes(path, bytes, &name)
    }

    /// Reads a workload in either format, which its content tells. `name` is what messages call it.
    ///
    /// # Errors
    /// It cannot be read, or what is wrong in it.
    pub fn from_reader(reader: impl Read, name: &str) -> Result<Workload, WorkloadError> {
        let bytes = read(reader).map_err(|message| WorkloadError::whole(name, message))?;
        of_bytes(Path::new(""), bytes, name)
    }
}

fn of_bytes(path: &Path, bytes: Vec<u8>, name: &str) -> Result<Workload, WorkloadError> {
    let text = String::from_utf8(bytes).map_err(|error| not_utf8(name, &error))?;
    match Format::detect(path, &text) {
        Format::Toml => Workload::from_toml(&text, name),
        Format::RtApp => Workload::from_rt_app(&text, name),
    }
}

fn open(path: &Path) -> Result<fs::File, String> {
    let explain = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => "no such file; check the path (the examples are in examples/)".to_string(),
        io::ErrorKind::PermissionDenied => {
            "may not be read by this user; change its permissions (chmod +r) or copy it".to_string()
        }
        _ => format!("cannot be read: {error}"),
    };
    let file = fs::File::open(path).map_err(explain)?;
    if file.metadata().map_err(explain)?.is_dir() {
        return Err("is a directory; name a .toml or .json file in it".into());
    }
    Ok(file)
}

fn read(reader: impl Read) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let result = reader.take(MAX_BYTES + 1).read_to_end(&mut bytes);
    result.map_err(|error| format!("cannot be read: {error}"))?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(format!("is larger than {} MiB, so hardly a workload", MAX_BYTES >> 20));
    }
    Ok(bytes)
}

fn not_utf8(name: &str, error: &std::string::FromUtf8Error) -> WorkloadError {
    let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
    let line_start = valid.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
    let problem = Problem {
        line: Some(valid.iter().filter(|&&byte| byte == b'\n').count() + 1),
        column: Some(String::from_utf8_lossy(&valid[line_start..]).chars().count() + 1),
        field: String::new(),
        message: "not UTF-8 text; save the file in UTF-8".into(),
    };
    WorkloadError { problems: vec![problem], ..WorkloadError::whole(name, "") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error_of(path: &Path) -> String {
        Workload::load(path).unwrap_err().to_string()
    }

    #[test]
    fn formats_are_found_by_extension_then_content() {
        for (path, text, format) in [
            ("a.toml", "{", Format::Toml),
            ("a.JSON", "x", Format::RtApp),
            ("a", "\u{feff} /* c */ // d\n {", Format::RtApp),
            ("a.txt", "duration = \"1s\"", Format::Toml),
            ("a", "", Format::Toml),
            ("a", "/* open", Format::RtApp),
        ] {
            assert_eq!(Format::detect(Path::new(path), text), format, "{path} {text}");
        }
    }

    #[test]
    fn a_stream_is_read_as_what_it_holds() {
        let json = "{ \"tasks\" : { \"t\" : { \"run\" : 1000 } }, \"global\" : { \"duration\" : 1 } }";
        assert_eq!(Workload::from_reader(json.as_bytes(), "-").unwrap().tasks[0].name, "t");
        let error = Workload::from_reader(&b"cpus = 0"[..], "<stdin>").unwrap_err().to_string();
        assert!(error.starts_with("<stdin>:1:1: task: the file has no task"), "{error}");
        let long = vec![b'#'; MAX_BYTES as usize + 1];
        assert!(Workload::from_reader(&long[..], "-").unwrap_err().to_string().contains("larger than 1 MiB"));
    }

    #[test]
    fn unreadable_files_come_with_a_remedy() {
        let directory = std::env::temp_dir().join(format!("dis-workload-load-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let name = |path: &Path| path.display().to_string();
        let missing = directory.join("missing.toml");
        let expected = format!("{}: no such file; check the path (the examples are in examples/)", name(&missing));
        assert_eq!(error_of(&missing), expected);
        let expected = format!("{}: is a directory; name a .toml or .json file in it", name(&directory));
        assert_eq!(error_of(&directory), expected);
        let latin = directory.join("latin.toml");
        fs::write(&latin, b"# fine\n# caf\xe9\n").unwrap();
        assert_eq!(error_of(&latin), format!("{}:2:6: not UTF-8 text; save the file in UTF-8", name(&latin)));
        fs::remove_dir_all(&directory).unwrap();
    }
}
