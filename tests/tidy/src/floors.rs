//! The floors of the core: a module imports only lower floors, never its floor-mates and never upward.
//! Reads every `crate::…` and every `super::…` that reaches the top of the crate, in tests and groups as well.

use crate::source::{Finding, Source, line_at, words};

/// Each module of the core with its floor.
pub const FLOORS: [(&str, u8); 15] = [
    ("base", 0),
    ("causality", 1),
    ("consensus", 1),
    ("ring", 1),
    ("storage", 2),
    ("wire", 2),
    ("membership", 3),
    ("replica", 3),
    ("client", 3),
    ("coordinator", 4),
    ("repair", 4),
    ("store", 4),
    ("node", 5),
    ("remote", 5),
    ("testing", 6),
];

fn floor(module: &str) -> Option<u8> {
    FLOORS.iter().find(|(name, _)| *name == module).map(|(_, floor)| *floor)
}

/// Imports in `core/src` that do not go down.
#[must_use]
pub fn imports(source: &Source) -> Vec<Finding> {
    let Some(inside) = source.path.strip_prefix("core/src/").and_then(|path| path.strip_suffix(".rs")) else {
        return Vec::new();
    };
    // The root names every module, and nothing else.
    if inside == "lib" {
        return Vec::new();
    }
    let module: Vec<&str> = inside.split('/').filter(|part| *part != "mod").collect();
    let Some((own, own_floor)) = module.first().and_then(|name| Some((*name, floor(name)?))) else {
        return vec![source.finding(1, "this module has no floor; give it one in tests/tidy/src/floors.rs")];
    };
    let mut findings = Vec::new();
    for (offset, target) in references(&source.masked, module.len()) {
        let breach = match floor(&target) {
            _ if target == own => continue,
            None => continue,
            Some(floor) if floor < own_floor => continue,
            Some(floor) if floor == own_floor => "its floor-mate",
            Some(_) => "a higher floor:",
        };
        let line = line_at(&source.masked, offset);
        findings.push(source.finding(line, format!("{own} (floor {own_floor}) imports {breach} {target}")));
    }
    findings
}

/// Top-level modules that the text names, with the offset of each.
fn references(text: &str, depth: usize) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for offset in words(text, "crate") {
        if let Some(rest) = path_rest(text, offset + "crate".len()) {
            found.extend(heads(rest).into_iter().map(|head| (offset, head)));
        }
    }
    for offset in words(text, "super") {
        let mut rest = path_rest(text, offset + "super".len());
        // Of a chain only the first `super` counts; the others are read as its continuation.
        let begins = text.get(..offset).is_some_and(|before| !before.trim_end().ends_with("::"));
        let mut ups = 1;
        while let Some(next) = rest.and_then(|r| r.trim_start().strip_prefix("super")) {
            ups += 1;
            rest = path_rest(next, 0);
        }
        if begins
            && ups == depth + inline_depth(text, offset)
            && let Some(rest) = rest
        {
            found.extend(heads(rest).into_iter().map(|head| (offset, head)));
        }
    }
    found
}

/// What follows `::` at this offset.
fn path_rest(text: &str, offset: usize) -> Option<&str> {
    text.get(offset..)?.trim_start().strip_prefix("::")
}

/// The first names of a path or of each path in a group: `a::b` gives a, `{a::{b, c}, d}` gives a and d.
fn heads(rest: &str) -> Vec<String> {
    let rest = rest.trim_start();
    let Some(group) = rest.strip_prefix('{') else { return name(rest).into_iter().collect() };
    let mut heads = Vec::new();
    let mut depth = 0_usize;
    let mut expects = true;
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => expects = true,
            c if expects && depth == 0 && !c.is_whitespace() => {
                heads.extend(group.get(at..).and_then(name));
                expects = false;
            }
            _ => {}
        }
    }
    heads
}

fn name(text: &str) -> Option<String> {
    let name: String = text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    (!name.is_empty()).then_some(name)
}

/// How many inline modules are open at this offset.
fn inline_depth(text: &str, offset: usize) -> usize {
    let mut depth = 0_usize;
    let mut opened_at = Vec::new();
    let mut after_mod = false;
    let Some(before) = text.get(..offset) else { return 0 };
    let mut word = String::new();
    let mut last = String::new();
    for c in before.chars() {
        if c.is_alphanumeric() || c == '_' {
            word.push(c);
            continue;
        }
        if !word.is_empty() {
            // `mod name {` opens one; `mod name;` and everything else do not.
            after_mod = last == "mod";
            last = std::mem::take(&mut word);
        }
        match c {
            '{' => {
                depth += 1;
                if after_mod {
                    opened_at.push(depth);
                }
                after_mod = false;
            }
            '}' => {
                if opened_at.last() == Some(&depth) {
                    opened_at.pop();
                }
                depth = depth.saturating_sub(1);
            }
            ';' => after_mod = false,
            _ => {}
        }
    }
    opened_at.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn breaches(path: &str, text: &str) -> Vec<String> {
        imports(&Source::new(path, text)).into_iter().map(|f| format!("{}: {}", f.line, f.what)).collect()
    }

    #[test]
    fn an_upward_import_is_caught() {
        let text = "//! x\nuse crate::base::Error;\nuse crate::coordinator::put;\n";
        assert_eq!(
            breaches("core/src/wire/tcp.rs", text),
            ["3: wire (floor 2) imports a higher floor: coordinator"]
        );
    }

    #[test]
    fn a_floor_mate_in_a_group_is_caught() {
        let text = "use crate::{base::{Error, ids}, wire, storage::Engine};";
        assert_eq!(
            breaches("core/src/storage/mod.rs", text),
            ["1: storage (floor 2) imports its floor-mate wire"]
        );
    }

    #[test]
    fn a_path_in_an_expression_is_caught() {
        let text = "fn f() { crate::store::open() }";
        assert_eq!(
            breaches("core/src/repair/mod.rs", text),
            ["1: repair (floor 4) imports its floor-mate store"]
        );
    }

    #[test]
    fn super_that_leaves_the_module_is_caught() {
        let upward = "use super::super::replica::Copy;";
        assert_eq!(breaches("core/src/ring/hash.rs", upward).len(), 1);
        assert_eq!(breaches("core/src/ring/mod.rs", "use super::causality::Clock;").len(), 1);
        let inline = "mod tests { use super::super::super::client::Pool; }";
        assert_eq!(breaches("core/src/ring/hash.rs", inline).len(), 1);
    }

    #[test]
    fn super_that_stays_inside_is_not() {
        assert!(
            breaches("core/src/wire/tcp.rs", "use super::client::Pool; mod tests { use super::node; }")
                .is_empty()
        );
        assert!(
            breaches(
                "core/src/wire/mod.rs",
                "// use crate::store;\nuse crate::wire::frame; use crate::ring;"
            )
            .is_empty()
        );
    }

    #[test]
    fn a_module_without_a_floor_is_caught() {
        assert_eq!(breaches("core/src/extra/mod.rs", "").len(), 1);
        assert!(breaches("core/src/lib.rs", "pub use crate::store::Store;").is_empty());
    }
}
