//! Documents say what is there: relative links lead to files, and every promise names a test that exists.

use std::path::{Path, PathBuf};

fn top() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .expect("tests/tidy lies two levels below the top")
}

fn documents() -> Vec<PathBuf> {
    let mut found = Vec::new();
    for directory in ["", "docs", "docs/decisions", "tests/behaviour"] {
        let listed =
            std::fs::read_dir(top().join(directory)).expect("the directories of documents are there");
        let paths = listed.map(|entry| entry.expect("a directory can be read").path());
        found.extend(paths.filter(|path| path.extension().is_some_and(|ending| ending == "md")));
    }
    found
}

/// The targets of `[text](target)` that are neither addresses nor places within the document.
fn links(text: &str) -> Vec<&str> {
    text.split("](")
        .skip(1)
        .filter_map(|rest| rest.split(')').next())
        .filter(|target| !target.contains("://") && !target.starts_with('#'))
        .collect()
}

/// The `path: name` pairs in backquotes: a file, and what stands in it.
fn tests_named(text: &str) -> Vec<(&str, &str)> {
    text.split('`').skip(1).step_by(2).filter_map(|code| code.split_once(": ")).collect()
}

fn missing_tests(text: &str, read: impl Fn(&str) -> Option<String>) -> Vec<String> {
    tests_named(text)
        .into_iter()
        .filter(|(path, name)| {
            // A Rust, Python or C test is a function, a case of the suite a name, a JavaScript test a text.
            let forms =
                [format!("fn {name}("), format!("def {name}("), format!("\"{name}\""), format!("'{name}'")];
            !read(path).is_some_and(|text| forms.iter().any(|form| text.contains(form)))
        })
        .map(|(path, name)| format!("{path}: {name}"))
        .collect()
}

#[test]
fn relative_links_lead_somewhere() {
    assert_eq!(links("[a](b.md) and [c](https://d) and [e](#f)"), ["b.md"]);
    for document in documents() {
        let text = std::fs::read_to_string(&document).expect("a document can be read");
        let directory = document.parent().expect("a document lies in a directory");
        for link in links(&text) {
            let target = directory.join(link.split('#').next().unwrap_or(link));
            assert!(target.exists(), "{}: {link} leads nowhere", document.display());
        }
    }
}

#[test]
fn every_promise_names_a_test_that_exists() {
    let bad = "| a promise | `core/src/a.rs: it_holds` |";
    assert_eq!(missing_tests(bad, |_| Some("fn another() {}".into())), ["core/src/a.rs: it_holds"]);
    assert_eq!(missing_tests(bad, |_| None).len(), 1);
    assert!(missing_tests(bad, |_| Some("fn it_holds() {}".into())).is_empty());

    let text = std::fs::read_to_string(top().join("docs/PROMISES.md")).expect("there is a list of promises");
    assert!(tests_named(&text).len() > 5, "the promises name tests as `path: name`");
    let missing = missing_tests(&text, |path| std::fs::read_to_string(top().join(path)).ok());
    assert!(missing.is_empty(), "promises without a test:\n{}", missing.join("\n"));
}
