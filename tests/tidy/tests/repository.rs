//! Runs every rule over every file that git knows or would add, and shows all breaches at once.

use std::path::Path;
use std::process::Command;

use ringkeep_tidy::{RULES, Source, text};

fn top() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .expect("tests/tidy lies two levels below the top")
}

/// Tracked and new files that hold text; ignored ones are nobody's.
fn sources() -> Vec<Source> {
    let listed = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(top())
        .output()
        .expect("git lists the files of the repository");
    assert!(listed.status.success(), "git: {}", String::from_utf8_lossy(&listed.stderr));
    String::from_utf8(listed.stdout)
        .expect("paths are UTF-8")
        .split('\0')
        .filter(|path| !path.is_empty())
        // A file that is deleted but not yet committed is still listed; data with bytes that are no text has no rules.
        .filter_map(|path| {
            std::fs::read_to_string(top().join(path)).ok().map(|text| Source::new(path, &text))
        })
        .collect()
}

#[test]
fn every_file_keeps_every_rule() {
    let sources = sources();
    assert!(sources.len() > 10, "git listed only {} files", sources.len());
    let findings: Vec<String> = sources
        .iter()
        .flat_map(|source| RULES.iter().flat_map(|rule| rule(source)))
        .map(|finding| finding.to_string())
        .collect();
    assert!(findings.is_empty(), "{} breaches:\n{}", findings.len(), findings.join("\n"));
}

#[test]
fn every_ignored_test_names_a_target_of_the_makefile() {
    let sources = sources();
    let makefile = sources.iter().find(|source| source.path == "Makefile").expect("there is a Makefile");
    for source in &sources {
        for lane in text::lanes_named(source) {
            let target = format!("{lane}:");
            let known = makefile.text.lines().any(|line| line.starts_with(&target));
            assert!(known, "{}: lane {lane} is no target of the Makefile", source.path);
        }
    }
}
