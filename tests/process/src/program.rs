//! The programs that members run, one for each language. One joins if what it needs has been built; C is compiled here.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Failure;

/// A program and its language.
#[derive(Clone, Debug)]
pub struct Program {
    /// The language.
    pub language: &'static str,
    /// The command, to which directory, address and seeds are added.
    pub command: Vec<String>,
}

fn repository() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_owned()
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

/// Every program that can be run, the Rust one first, and why others cannot.
///
/// # Errors
/// C's program does not compile against the library that was built.
pub fn programs(rust: &str, folder: &Path) -> Result<(Vec<Program>, Vec<String>), Failure> {
    let mut programs = vec![Program { language: "Rust", command: vec![rust.to_owned()] }];
    let mut missing = Vec::new();
    let members = repository().join("tests/process/members");
    let python = repository().join("build/.venv/bin/python");
    let has_package = || Command::new(&python).args(["-c", "import ringkeep"]).output();
    if python.exists() && has_package().is_ok_and(|output| output.status.success()) {
        let command = vec![text(&python), text(&members.join("member.py"))];
        programs.push(Program { language: "Python", command });
    } else {
        missing.push("Python: no package in build/.venv (make python-package)".to_owned());
    }
    let is_addon = |entry: &std::fs::DirEntry| entry.path().extension().is_some_and(|end| end == "node");
    if std::fs::read_dir(repository().join("node"))?.flatten().any(|entry| is_addon(&entry)) {
        let command = vec!["node".to_owned(), text(&members.join("member.mjs"))];
        programs.push(Program { language: "Node.js", command });
    } else {
        missing.push("Node.js: no addon in node/ (make node-package)".to_owned());
    }
    let prefix = repository().join("build/prefix");
    if prefix.join("include/ringkeep.h").exists() {
        let command = vec![text(&compile(&members.join("member.c"), &prefix, folder)?)];
        programs.push(Program { language: "C", command });
    } else {
        missing.push("C: no library in build/prefix (make prefix)".to_owned());
    }
    Ok((programs, missing))
}

fn compile(source: &Path, prefix: &Path, folder: &Path) -> Result<PathBuf, Failure> {
    let program = folder.join("member");
    let library = prefix.join("lib");
    let output = Command::new("cc")
        .args(["-std=c99", "-D_POSIX_C_SOURCE=200809L", "-O1", "-Wall", "-Wextra", "-Werror", "-o"])
        .arg(&program)
        .arg(source)
        .arg(format!("-I{}", text(&prefix.join("include"))))
        .arg(format!("-L{}", text(&library)))
        .arg(format!("-Wl,-rpath,{}", text(&library.canonicalize()?)))
        .arg("-lringkeep")
        .output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned().into());
    }
    Ok(program)
}
