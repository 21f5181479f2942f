//! One tracked file as the rules see it: its path, its text, and for languages with braces the text *masked*, with
//! comments and literals blanked so that a rule never mistakes a word in a string for code. Lines stay where they are.

use std::fmt;

/// A breach of a rule.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finding {
    /// The file, from the top of the repository.
    pub path: String,
    /// The line, counted from one.
    pub line: usize,
    /// What is wrong and what to do.
    pub what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.what)
    }
}

/// The languages that rules tell apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Language {
    /// `.rs`
    Rust,
    /// `.py`, `.pyi`
    Python,
    /// `.js`, `.mjs`, `.ts`
    JavaScript,
    /// `.c`, `.h`, `.hpp`, `.cpp`
    C,
    /// Shell scripts, by ending or first line.
    Shell,
    /// Everything else: documents, data, manifests.
    Other,
}

/// A tracked file.
#[derive(Clone, Debug)]
pub struct Source {
    /// The path from the top of the repository, with `/`.
    pub path: String,
    /// The text as it stands.
    pub text: String,
    /// The text without comments and literals (languages with braces; the text itself elsewhere).
    pub masked: String,
    /// What it is written in.
    pub language: Language,
}

impl Source {
    /// A file with this path and text.
    #[must_use]
    pub fn new(path: &str, text: &str) -> Self {
        let language = language(path, text);
        let masked = match language {
            Language::Rust | Language::JavaScript | Language::C => mask(text, language),
            Language::Python | Language::Shell | Language::Other => text.to_owned(),
        };
        Self { path: path.to_owned(), text: text.to_owned(), masked, language }
    }

    /// A finding in this file.
    #[must_use]
    pub fn finding(&self, line: usize, what: impl Into<String>) -> Finding {
        Finding { path: self.path.clone(), line, what: what.into() }
    }

    /// Whether somebody writes it by hand as code.
    #[must_use]
    pub fn is_code(&self) -> bool {
        self.language != Language::Other
    }
}

fn language(path: &str, text: &str) -> Language {
    match path.rsplit_once('.').map(|(_, ending)| ending) {
        Some("rs") => Language::Rust,
        Some("py" | "pyi") => Language::Python,
        Some("js" | "mjs" | "cjs" | "ts") => Language::JavaScript,
        Some("c" | "h" | "hpp" | "cpp") => Language::C,
        Some("sh") => Language::Shell,
        _ if text.starts_with("#!") && text.lines().next().is_some_and(|line| line.contains("python")) => {
            Language::Python
        }
        _ if text.starts_with("#!") => Language::Shell,
        _ => Language::Other,
    }
}

/// The one-based line of a byte offset.
#[must_use]
pub fn line_at(text: &str, offset: usize) -> usize {
    1 + text.bytes().take(offset).filter(|byte| *byte == b'\n').count()
}

/// Byte offsets at which `word` stands as a whole word.
#[must_use]
pub fn words(text: &str, word: &str) -> Vec<usize> {
    let joins = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    text.match_indices(word)
        .filter(|(at, _)| {
            let before = text.get(..*at).and_then(|t| t.chars().next_back());
            let after = text.get(at + word.len()..).and_then(|t| t.chars().next());
            !joins(before) && !joins(after)
        })
        .map(|(at, _)| at)
        .collect()
}

/// Blanks comments and literals and keeps line breaks.
#[must_use]
pub fn mask(text: &str, language: Language) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut masked = String::with_capacity(text.len());
    let mut at = 0;
    while let Some(&c) = chars.get(at) {
        let end = literal_end(&chars, at, language);
        if end == at {
            masked.push(c);
            at += 1;
            continue;
        }
        masked.extend(chars.iter().take(end).skip(at).map(|c| if *c == '\n' { '\n' } else { ' ' }));
        at = end;
    }
    masked
}

/// Where the comment or literal that begins at `at` ends; `at` itself if none begins there.
fn literal_end(chars: &[char], at: usize, language: Language) -> usize {
    let peek = |ahead: usize| chars.get(at + ahead).copied();
    match (peek(0), peek(1)) {
        (Some('/'), Some('/')) => {
            chars.iter().skip(at).position(|c| *c == '\n').map_or(chars.len(), |length| at + length)
        }
        (Some('/'), Some('*')) => block_end(chars, at, language == Language::Rust),
        (Some('r'), Some('"' | '#')) if language == Language::Rust => raw_end(chars, at).unwrap_or(at),
        (Some('"'), _) => quoted_end(chars, at, '"'),
        (Some('`'), _) if language == Language::JavaScript => quoted_end(chars, at, '`'),
        (Some('\''), _) if language != Language::Rust => quoted_end(chars, at, '\''),
        // A lifetime has no quote after its first letter; a character has, or an escape.
        (Some('\''), Some('\\')) => quoted_end(chars, at, '\''),
        (Some('\''), Some(_)) if peek(2) == Some('\'') => at + 3,
        _ => at,
    }
}

fn block_end(chars: &[char], from: usize, nests: bool) -> usize {
    let mut depth = 0_usize;
    let mut at = from;
    while at < chars.len() {
        match (chars.get(at), chars.get(at + 1)) {
            (Some('/'), Some('*')) if nests || depth == 0 => depth += 1,
            (Some('*'), Some('/')) => depth -= 1,
            _ => {
                at += 1;
                continue;
            }
        }
        at += 2;
        if depth == 0 {
            return at;
        }
    }
    chars.len()
}

fn quoted_end(chars: &[char], from: usize, quote: char) -> usize {
    let mut at = from + 1;
    while let Some(&c) = chars.get(at) {
        at += if c == '\\' { 2 } else { 1 };
        if c == quote {
            break;
        }
    }
    at.min(chars.len())
}

/// The end of `r"…"` or `r#"…"#`; none for `r#name` and for an `r` that ends a word.
fn raw_end(chars: &[char], from: usize) -> Option<usize> {
    let before = from.checked_sub(1).and_then(|at| chars.get(at));
    if before.is_some_and(|c| c.is_alphanumeric() && *c != 'b' || *c == '_') {
        return None;
    }
    let hashes = chars.iter().skip(from + 1).take_while(|c| **c == '#').count();
    if chars.get(from + 1 + hashes) != Some(&'"') {
        return None;
    }
    let mut at = from + 2 + hashes;
    while at < chars.len() {
        let closes = chars.get(at) == Some(&'"')
            && chars.iter().skip(at + 1).take(hashes).filter(|c| **c == '#').count() == hashes;
        at += 1;
        if closes {
            return Some(at + hashes);
        }
    }
    Some(chars.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masked(text: &str) -> String {
        mask(text, Language::Rust).split_whitespace().collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn comments_and_literals_are_blanked() {
        assert_eq!(masked("a // b \" c\nd /* e /* f */ g */ h"), "a d h");
        assert_eq!(masked(r#"let s = "un\"safe"; x"#), "let s = ; x");
        assert_eq!(masked("let s = r#\"a \" b\"#; x"), "let s = ; x");
        assert_eq!(masked("fn f<'a>(c: &'a str) { '\\'' == '{' }"), "fn f<'a>(c: &'a str) { == }");
        assert_eq!(masked("r#type + for\"x\""), "r#type + for");
    }

    #[test]
    fn lines_stay_where_they_are() {
        let text = "a\n/* b\nc */ d\n\"e\nf\" g";
        assert_eq!(mask(text, Language::Rust).lines().count(), text.lines().count());
        assert_eq!(line_at(text, text.find('g').unwrap()), 5);
    }

    #[test]
    fn words_stand_alone() {
        assert_eq!(words("unsafe unsafe_code my_unsafe (unsafe)", "unsafe"), [0, 30]);
    }

    #[test]
    fn scripts_are_known_by_their_first_line() {
        assert_eq!(Source::new("scripts/lane", "#!/usr/bin/env bash\n").language, Language::Shell);
        assert_eq!(Source::new("scripts/samples", "#!/usr/bin/env python3\n").language, Language::Python);
        assert_eq!(Source::new("Makefile", "test:\n").language, Language::Other);
    }
}
