//! Gathers the files of the built dashboard (`make dashboard` puts them into `dashboard/dist`) into one table, which
//! `src/dashboard.rs` serves. Where it was not built, one page says how: building Hooklog needs no Node.js.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

const NOTICE: &str = "src/dashboard/notice.html";

fn main() -> io::Result<()> {
    let here = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    let dist = here.join("../../dashboard/dist");
    // A path that is not there counts as changed, every time. It may not be ours to make (a read-only checkout); then so be it.
    let _ = fs::create_dir_all(&dist);
    println!("cargo:rerun-if-changed={}", dist.display());
    println!("cargo:rerun-if-changed={NOTICE}");
    println!("cargo:rerun-if-changed=build.rs");

    let mut files = Vec::new();
    if dist.join("index.html").is_file() {
        let dist = dist.canonicalize()?;
        gather(&dist, "", &mut files)?;
    } else {
        files.push(("index.html".to_owned(), here.join(NOTICE)));
    }
    files.sort();
    let mut table = String::from("&[\n");
    for (name, path) in &files {
        let path = path.to_string_lossy();
        writeln!(table, "    ({name:?}, include_bytes!({path:?})),").map_err(io::Error::other)?;
    }
    table.push_str("]\n");
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default());
    fs::write(out.join("dashboard.rs"), table)
}

/// Every file of a folder, named by its path below the dashboard. What begins with a dot is not for browsers.
fn gather(folder: &Path, above: &str, files: &mut Vec<(String, PathBuf)>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with('.') {
            continue;
        }
        let named = format!("{above}{name}");
        if entry.file_type()?.is_dir() {
            gather(&entry.path(), &format!("{named}/"), files)?;
        } else {
            files.push((named, entry.path()));
        }
    }
    Ok(())
}
