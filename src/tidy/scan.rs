//! What one Rust file says about modules: which it names, which it declares, what is test code.
//!
//! Works on tokens, so comments and strings cannot confuse it. `crate::x`, `crate::{x, y::{z}}` and
//! chains of `super::` that climb to the root all count as naming a module. No state, any thread.

use super::lex::{Token, TokenKind};

/// A place where a file names a module directly below the crate root.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Reference {
    /// The first name after the root; `*` for a glob of the root.
    pub(super) name: String,
    /// The line, counted from 1.
    pub(super) line: usize,
    /// Whether the place is inside an item under `#[cfg(test)]` in this file.
    pub(super) test: bool,
}

/// What [`scan`] found.
#[derive(Default, Debug)]
pub(super) struct Scan {
    /// Modules that the file names, in order.
    pub(super) references: Vec<Reference>,
    /// Paths from the crate root of the modules that the file declares for tests only.
    pub(super) test_modules: Vec<Vec<String>>,
}

/// Reads the tokens of the file whose module path from the crate root is `module`.
pub(super) fn scan(module: &[String], tokens: &[Token]) -> Scan {
    let mut scanner =
        Scanner { module, tokens, blocks: Vec::new(), test_item: false, found: Scan::default() };
    let mut at = 0;
    while at < tokens.len() {
        at = scanner.step(at);
    }
    scanner.found
}

/// The module path of `path`, which is relative to the package: `src/wal/mod.rs` is `[wal]`.
pub(super) fn module_of(path: &str) -> Vec<String> {
    let inside = path.strip_prefix("src/").unwrap_or(path);
    let inside = inside.strip_suffix(".rs").unwrap_or(inside);
    let mut parts: Vec<String> = inside.split('/').map(str::to_owned).collect();
    if matches!(parts.last().map(String::as_str), Some("mod" | "lib")) {
        parts.pop();
    }
    parts
}

/// One open brace.
struct Block {
    /// The name, if the brace opened an inline module.
    module: Option<String>,
    /// Whether everything inside is test code.
    test: bool,
}

struct Scanner<'a> {
    module: &'a [String],
    tokens: &'a [Token],
    blocks: Vec<Block>,
    /// Whether the item being read stands under `#[cfg(test)]`.
    test_item: bool,
    found: Scan,
}

impl Scanner<'_> {
    fn is(&self, at: usize, mark: char) -> bool {
        self.tokens.get(at).is_some_and(|token| token.is(mark))
    }

    fn word(&self, at: usize) -> Option<&str> {
        self.tokens.get(at).and_then(Token::word)
    }

    fn is_path_separator(&self, at: usize) -> bool {
        self.is(at, ':') && self.is(at + 1, ':')
    }

    fn in_test(&self) -> bool {
        self.test_item || self.blocks.last().is_some_and(|block| block.test)
    }

    /// The path of the module that encloses the current token.
    fn here(&self) -> Vec<String> {
        let inline = self.blocks.iter().filter_map(|block| block.module.clone());
        self.module.iter().cloned().chain(inline).collect()
    }

    /// Reads what begins at `at`; returns where to go on.
    fn step(&mut self, at: usize) -> usize {
        match &self.tokens[at].kind {
            TokenKind::Mark('#') => return self.attribute(at),
            TokenKind::Mark('{') => self.open(None),
            TokenKind::Mark('}') => {
                self.blocks.pop();
                self.test_item = false;
            }
            TokenKind::Mark(';') => self.test_item = false,
            TokenKind::Word(word) if word == "mod" => return self.declaration(at),
            TokenKind::Word(word) if word == "crate" && self.is_path_separator(at + 1) => {
                self.names(at + 3);
            }
            TokenKind::Word(word) if word == "super" && !self.follows_path(at) => {
                return self.climb(at);
            }
            _ => {}
        }
        at + 1
    }

    /// Whether the token continues a path, so that its start was seen already.
    fn follows_path(&self, at: usize) -> bool {
        at >= 2 && self.is_path_separator(at - 2)
    }

    fn open(&mut self, module: Option<String>) {
        self.blocks.push(Block { module, test: self.in_test() });
        self.test_item = false;
    }

    /// `#[...]` or `#![...]`: notes a `cfg` that holds in tests only.
    fn attribute(&mut self, at: usize) -> usize {
        let open = at + 1 + usize::from(self.is(at + 1, '!'));
        if !self.is(open, '[') {
            return at + 1;
        }
        let mut depth = 0;
        let mut end = open;
        while let Some(token) = self.tokens.get(end) {
            depth += i32::from(token.is('[')) - i32::from(token.is(']'));
            end += 1;
            if depth == 0 {
                break;
            }
        }
        let words: Vec<&str> = self.tokens[open..end].iter().filter_map(Token::word).collect();
        let only_in_tests = words.first() == Some(&"cfg")
            && words.contains(&"test")
            && !words.contains(&"not")
            && !words.contains(&"any");
        self.test_item |= only_in_tests;
        end
    }

    /// `mod name;` or `mod name {`.
    fn declaration(&mut self, at: usize) -> usize {
        let Some(name) = self.word(at + 1).map(str::to_owned) else { return at + 1 };
        if self.in_test() {
            let mut path = self.here();
            path.push(name.clone());
            self.found.test_modules.push(path);
        }
        if self.is(at + 2, '{') {
            self.open(Some(name));
            return at + 3;
        }
        at + 2
    }

    /// A chain of `super::`: counts as a reference only if it ends at the crate root.
    fn climb(&mut self, start: usize) -> usize {
        let mut depth = self.here().len();
        let mut at = start;
        while self.word(at) == Some("super") && self.is_path_separator(at + 1) {
            depth = depth.saturating_sub(1);
            at += 3;
        }
        if at == start {
            return at + 1;
        }
        if depth == 0 {
            self.names(at);
        }
        at
    }

    /// The names at the root that the path or group at `at` begins with.
    fn names(&mut self, at: usize) {
        if !self.is(at, '{') {
            self.name(at);
            return;
        }
        let mut depth = 0;
        let mut next = at;
        while let Some(token) = self.tokens.get(next) {
            let begins = depth == 1 && (self.is(next - 1, '{') || self.is(next - 1, ','));
            depth += i32::from(token.is('{')) - i32::from(token.is('}'));
            if depth == 0 {
                return;
            }
            if begins {
                self.name(next);
            }
            next += 1;
        }
    }

    fn name(&mut self, at: usize) {
        let Some(token) = self.tokens.get(at) else { return };
        let name = match &token.kind {
            TokenKind::Word(word) => word.clone(),
            TokenKind::Mark('*') => "*".to_owned(),
            _ => return,
        };
        let reference = Reference { name, line: token.line, test: self.in_test() };
        self.found.references.push(reference);
    }
}
