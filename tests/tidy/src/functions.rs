//! Sizes: files of at most 500 lines and functions of at most 70, in every language that is written by hand.
//! A function's lines run from its signature to its last line; a test module counts towards its file.

use crate::source::{Finding, Language, Source, line_at, words};

/// Most lines of a file.
pub const FILE_LINES_MAX: usize = 500;
/// Most lines of a function.
pub const FUNCTION_LINES_MAX: usize = 70;

/// Files that are too long.
#[must_use]
pub fn file_length(source: &Source) -> Vec<Finding> {
    let lines = source.text.lines().count();
    if !source.is_code() || lines <= FILE_LINES_MAX {
        return Vec::new();
    }
    vec![source.finding(1, format!("{lines} lines; split it by noun, {FILE_LINES_MAX} is the most"))]
}

/// Functions that are too long.
#[must_use]
pub fn function_length(source: &Source) -> Vec<Finding> {
    let spans = match source.language {
        Language::Rust => rust(&source.masked),
        Language::Python => python(&source.text),
        Language::JavaScript | Language::C => braced(&source.masked),
        Language::Shell | Language::Other => Vec::new(),
    };
    spans
        .into_iter()
        .map(|(first, last)| (first, last + 1 - first))
        .filter(|(_, lines)| *lines > FUNCTION_LINES_MAX)
        .map(|(first, lines)| {
            source.finding(first, format!("a function of {lines} lines; {FUNCTION_LINES_MAX} is the most"))
        })
        .collect()
}

/// First and last line of every `fn` with a body.
fn rust(masked: &str) -> Vec<(usize, usize)> {
    words(masked, "fn").into_iter().filter_map(|at| body(masked, at)).collect()
}

/// The span from `at` to the end of the first braced block after it; none if a `;` outside brackets comes first.
fn body(masked: &str, at: usize) -> Option<(usize, usize)> {
    let mut braces = 0_usize;
    let mut brackets = 0_usize;
    for (ahead, c) in masked.get(at..)?.char_indices() {
        match c {
            '(' | '[' if braces == 0 => brackets += 1,
            ')' | ']' if braces == 0 => brackets = brackets.saturating_sub(1),
            ';' if braces == 0 && brackets == 0 => return None,
            '{' => braces += 1,
            '}' => {
                braces = braces.checked_sub(1)?;
                if braces == 0 {
                    return Some((line_at(masked, at), line_at(masked, at + ahead)));
                }
            }
            _ => {}
        }
    }
    None
}

/// First and last line of every `def`, by indentation.
fn python(text: &str) -> Vec<(usize, usize)> {
    let indent = |line: &str| line.len() - line.trim_start().len();
    let lines: Vec<&str> = text.lines().collect();
    let mut spans = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let code = line.trim_start();
        if !code.starts_with("def ") && !code.starts_with("async def ") {
            continue;
        }
        // A signature over several lines ends with a bracket at the same depth: it does not end the function.
        let inside = |l: &str| {
            l.trim().is_empty()
                || indent(l) > indent(line)
                || (indent(l) == indent(line) && l.trim_start().starts_with(')'))
        };
        let rest = lines.iter().skip(at + 1).take_while(|l| inside(l));
        let mut last = at;
        for (ahead, l) in rest.enumerate() {
            if !l.trim().is_empty() {
                last = at + 1 + ahead;
            }
        }
        spans.push((at + 1, last + 1));
    }
    spans
}

/// First and last line of every braced block that follows a parameter list and is not a loop or a branch.
fn braced(masked: &str) -> Vec<(usize, usize)> {
    const BRANCHES: [&str; 8] = ["if", "for", "while", "switch", "else", "do", "catch", "with"];
    let mut spans = Vec::new();
    for (at, _) in masked.match_indices('{') {
        let line = line_at(masked, at);
        let before = masked.get(..at).unwrap_or_default().trim_end();
        let head = before.rsplit(['\n', ';', '}', '{']).next().unwrap_or_default();
        let first_word = head.trim_start().split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default();
        let opens = head.contains(')') && !BRANCHES.contains(&first_word);
        if let (true, Some((_, last))) = (opens, body(masked, at)) {
            spans.push((line, last));
        }
    }
    spans
}

#[cfg(test)]
mod tests {
    use super::*;

    fn long(path: &str, head: &str, line: &str, tail: &str, lines: usize) -> Vec<Finding> {
        let text = format!("{head}\n{}{tail}\n", line.repeat(lines));
        function_length(&Source::new(path, &text))
    }

    #[test]
    fn a_long_file_is_caught_in_every_language() {
        for ending in ["rs", "py", "js", "c", "sh"] {
            let file = |lines| Source::new(&format!("a.{ending}"), &"x\n".repeat(lines));
            assert_eq!(file_length(&file(500)).len(), 0);
            assert_eq!(file_length(&file(501)).len(), 1, "{ending}");
        }
        assert!(file_length(&Source::new("a.json", &"x\n".repeat(501))).is_empty());
    }

    #[test]
    fn a_long_rust_function_is_caught() {
        let head = "fn f(a: [u8; 2]) -> Result<()> {";
        assert_eq!(long("a.rs", head, "    let s = \"}\"; // }\n", "}", 68), []);
        let found = long("a.rs", head, "    let s = \"}\"; // }\n", "}", 69);
        assert_eq!(found.first().map(|f| f.line), Some(1));
        assert_eq!(long("a.rs", "trait T { fn f(&self);", "    // x\n", "}", 90), []);
    }

    #[test]
    fn a_long_python_function_is_caught() {
        assert_eq!(long("a.py", "class A:\n    def f(self):", "        pass\n\n", "x = 1", 40).len(), 1);
        assert_eq!(long("a.py", "def f(\n    a,\n):", "    pass\n", "x = 1", 60), []);
        assert_eq!(long("a.py", "def f(\n    a,\n):", "    pass\n", "x = 1", 68).len(), 1);
    }

    #[test]
    fn a_long_function_with_braces_is_caught() {
        assert_eq!(long("a.c", "static int f(int a) {", "    g();\n", "}", 69).len(), 1);
        assert_eq!(long("a.c", "int f(void)\n{", "    g();\n", "}", 60), []);
        assert_eq!(long("a.c", "int f(void)\n{", "    g();\n", "}", 70).len(), 1);
        assert_eq!(long("a.js", "test('x', async () => {", "  g()\n", "})", 69).len(), 1);
        assert_eq!(long("a.js", "if (a) {", "  g()\n", "}", 69), []);
    }
}
