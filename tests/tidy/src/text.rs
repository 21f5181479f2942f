//! What may not stand in a file: unfinished work, names that say nothing, traces of the machine it was written on, a
//! `select!` whose order is random, `unsafe` outside the bindings, a test that no lane runs, a file without its header.

use crate::source::{Finding, Language, Source, line_at, words};

/// Code that does not open by saying what it owns.
#[must_use]
pub fn header(source: &Source) -> Vec<Finding> {
    let mut lines = source.text.lines().filter(|line| !line.starts_with("#!"));
    let first = lines.next().unwrap_or_default();
    let opens = match source.language {
        Language::Rust => first.starts_with("//!"),
        Language::Python => ["\"\"\"", "r\"\"\"", "#"].iter().any(|start| first.starts_with(start)),
        Language::JavaScript | Language::C => {
            first.starts_with("//") || first.starts_with("/*") || first.starts_with("'use strict'")
        }
        Language::Shell => first.starts_with('#'),
        Language::Other => true,
    };
    // `.ci/run` is given; an empty file (`__init__.py`) owns nothing.
    if opens || source.text.trim().is_empty() || source.path == ".ci/run" {
        return Vec::new();
    }
    vec![source.finding(1, "opens without a header; 2 to 6 lines: what it owns, what it promises")]
}

/// Marks of unfinished work.
#[must_use]
pub fn unfinished(source: &Source) -> Vec<Finding> {
    const MARKS: [&str; 3] = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("X", "XX")];
    MARKS
        .iter()
        .flat_map(|mark| words(&source.text, mark).into_iter().map(move |at| (mark, at)))
        .map(|(mark, at)| source.finding(line_at(&source.text, at), format!("{mark}: do it, or file it")))
        .collect()
}

/// Files, directories and modules whose name says nothing.
#[must_use]
pub fn module_name(source: &Source) -> Vec<Finding> {
    const EMPTY: [&str; 9] =
        ["util", "utils", "helper", "helpers", "common", "manager", "managers", "misc", "stuff"];
    let says_nothing = |name: &str| EMPTY.contains(&name.to_lowercase().as_str());
    let mut findings = Vec::new();
    if source.is_code() {
        let names = source.path.split('/').map(|part| part.split('.').next().unwrap_or(part));
        findings.extend(
            names
                .filter(|name| says_nothing(name))
                .map(|name| source.finding(1, format!("{name} names nothing"))),
        );
    }
    if source.language == Language::Rust {
        for at in words(&source.masked, "mod") {
            let rest = source.masked.get(at + 3..).unwrap_or_default().trim_start();
            let name: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            if says_nothing(&name) {
                findings.push(source.finding(line_at(&source.masked, at), format!("{name} names nothing")));
            }
        }
    }
    findings
}

/// Absolute paths of somebody's machine, and the hosts of package registries.
#[must_use]
pub fn machine(source: &Source) -> Vec<Finding> {
    const PATHS: [&str; 4] =
        [concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/ho", "me/"), concat!("/Us", "ers/")];
    const HOSTS: [&str; 7] = [
        concat!("registry.", "npmjs"),
        concat!("registry.", "yarnpkg"),
        concat!("files.", "pythonhosted"),
        concat!("pypi.", "org/"),
        concat!("static.", "crates.io"),
        concat!("index.", "crates.io"),
        concat!("deb.", "debian.org"),
    ];
    let mut findings = Vec::new();
    for path in PATHS {
        for (at, _) in source.text.match_indices(path) {
            let before = source.text.get(..at).and_then(|text| text.chars().next_back());
            // A part of a longer, relative path is nobody's machine.
            if before.is_none_or(|c| !c.is_alphanumeric() && !"._-}/*".contains(c)) {
                findings.push(
                    source.finding(line_at(&source.text, at), format!("{path} is a path of one machine")),
                );
            }
        }
    }
    for host in HOSTS {
        for (at, _) in source.text.match_indices(host) {
            findings
                .push(source.finding(line_at(&source.text, at), format!("names the registry host {host}")));
        }
    }
    findings
}

/// A `select!` that polls its branches in random order, which no seed repeats.
#[must_use]
pub fn unbiased_select(source: &Source) -> Vec<Finding> {
    if source.language != Language::Rust {
        return Vec::new();
    }
    words(&source.masked, "select")
        .into_iter()
        .filter(|at| {
            let rest = source.masked.get(at + "select".len()..).unwrap_or_default();
            rest.strip_prefix('!').is_some_and(|body| {
                let body = body.trim_start().trim_start_matches(['{', '(', '[']).trim_start();
                !body.starts_with("biased;")
            })
        })
        .map(|at| source.finding(line_at(&source.masked, at), "select! without biased; is not repeatable"))
        .collect()
}

/// `unsafe` where nothing crosses a language boundary.
#[must_use]
pub fn foreign_unsafe(source: &Source) -> Vec<Finding> {
    const CROSSINGS: [&str; 3] = ["ffi/", "bindings/python/", "bindings/node/"];
    if source.language != Language::Rust || CROSSINGS.iter().any(|start| source.path.starts_with(start)) {
        return Vec::new();
    }
    words(&source.masked, "unsafe")
        .into_iter()
        .map(|at| {
            source.finding(line_at(&source.masked, at), "unsafe belongs in ffi and the two binding crates")
        })
        .collect()
}

/// An ignored test that does not name the lane that runs it: `#[ignore = "lane soak"]`.
#[must_use]
pub fn ignored(source: &Source) -> Vec<Finding> {
    if source.language != Language::Rust {
        return Vec::new();
    }
    let lines = source.masked.lines().zip(source.text.lines()).enumerate();
    lines
        .filter(|(_, (masked, text))| {
            let attribute = masked.trim_start();
            attribute.starts_with("#[")
                && !words(masked, "ignore").is_empty()
                && !text.contains("ignore = \"lane ")
        })
        .map(|(at, _)| source.finding(at + 1, "ignored without a lane; write #[ignore = \"lane NAME\"]"))
        .collect()
}

/// The lanes that ignored tests of this file name.
#[must_use]
pub fn lanes_named(source: &Source) -> Vec<String> {
    if source.language != Language::Rust || source.path.starts_with("tests/tidy/") {
        return Vec::new();
    }
    source
        .text
        .split("ignore = \"lane ")
        .skip(1)
        .filter_map(|rest| rest.split('"').next().map(str::to_owned))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(rule: fn(&Source) -> Vec<Finding>, path: &str, text: &str) -> Vec<usize> {
        rule(&Source::new(path, text)).into_iter().map(|finding| finding.line).collect()
    }

    #[test]
    fn a_file_without_a_header_is_caught() {
        for (path, bad, good) in [
            ("a.rs", "use std::fmt;", "//! Owns a."),
            ("a.py", "import os", "\"\"\"Owns a.\"\"\""),
            ("a.js", "const a = 1", "// Owns a."),
            ("a.c", "#include <stdio.h>", "/* Owns a. */"),
            ("run.sh", "#!/bin/sh\nset -u", "#!/bin/sh\n# Owns a."),
        ] {
            assert_eq!(lines(header, path, bad), [1], "{path}");
            assert!(lines(header, path, good).is_empty(), "{path}");
        }
        assert!(lines(header, "python/ringkeep/__init__.py", "").is_empty());
    }

    #[test]
    fn unfinished_work_is_caught() {
        let text = concat!("a\n// TO", "DO later\n# FIX", "ME\n");
        assert_eq!(lines(unfinished, "a.md", text), [2, 3]);
        assert!(lines(unfinished, "a.rs", concat!("let TO", "DOS = 1;")).is_empty());
    }

    #[test]
    fn a_name_that_says_nothing_is_caught() {
        assert_eq!(lines(module_name, "core/src/utils/hash.rs", "//! x"), [1]);
        assert_eq!(lines(module_name, "node/Helpers.js", ""), [1]);
        assert_eq!(lines(module_name, "core/src/a.rs", "//! x\nmod common;"), [2]);
        assert!(lines(module_name, "core/src/a.rs", "// mod common;\nmod clock;").is_empty());
    }

    #[test]
    fn traces_of_a_machine_are_caught() {
        assert_eq!(lines(machine, "a.md", concat!("x\nsee /wo", "rk/data")), [2]);
        assert_eq!(lines(machine, "a.sh", concat!("cd \"/ho", "me/ada\"")), [1]);
        assert_eq!(lines(machine, "package-lock.json", concat!("https://registry.", "npmjs.org/x")), [1]);
        assert!(lines(machine, "a.md", concat!("frame/wo", "rk/a, the crate on crates.io")).is_empty());
    }

    #[test]
    fn a_select_in_random_order_is_caught() {
        assert_eq!(lines(unbiased_select, "a.rs", "x\ntokio::select! {\n  a = b => c,\n}"), [2]);
        assert!(lines(unbiased_select, "a.rs", "tokio::select! {\n  biased;\n  a = b => c,\n}").is_empty());
        assert!(lines(unbiased_select, "a.rs", "// select! { a }\nlet s = \"select! {}\";").is_empty());
    }

    #[test]
    fn unsafe_outside_the_bindings_is_caught() {
        let text = "//! unsafe\nfn f() { unsafe { g() } }";
        assert_eq!(lines(foreign_unsafe, "core/src/a.rs", text), [2]);
        assert_eq!(lines(foreign_unsafe, "bindings/surface/src/a.rs", text), [2]);
        assert!(lines(foreign_unsafe, "ffi/src/lib.rs", text).is_empty());
    }

    #[test]
    fn a_test_that_no_lane_runs_is_caught() {
        assert_eq!(lines(ignored, "a.rs", "#[test]\n#[ignore]\nfn f() {}"), [2]);
        assert_eq!(lines(ignored, "a.rs", "#[ignore = \"slow\"]"), [1]);
        assert!(lines(ignored, "a.rs", "#[ignore = \"lane soak\"]").is_empty());
        let source = Source::new("a.rs", "#[ignore = \"lane soak\"]\n");
        assert_eq!(lanes_named(&source), ["soak"]);
    }
}
