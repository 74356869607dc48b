//! A small lexer for Rust source: enough to see names, strings and braces, and nothing in comments.
//!
//! It does not check syntax. Whatever it cannot tell apart is passed on as punctuation, because the
//! compiler has already accepted every file that is read here. No state, any thread.

/// One token with the line it begins on, counted from 1.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Token {
    /// What it is.
    pub(super) kind: TokenKind,
    /// The line it begins on.
    pub(super) line: usize,
}

/// The kinds of token that the rules look at.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum TokenKind {
    /// A keyword or a name, without `r#`.
    Word(String),
    /// A string literal of any sort, without quotes and with its escapes left alone.
    Text(String),
    /// One character of punctuation; `::` is two of them.
    Mark(char),
    /// A number, a character literal or a lifetime: no rule looks inside.
    Other,
}

impl Token {
    /// The name, if the token is one.
    pub(super) fn word(&self) -> Option<&str> {
        match &self.kind {
            TokenKind::Word(word) => Some(word),
            _ => None,
        }
    }

    /// Whether the token is this punctuation character.
    pub(super) fn is(&self, mark: char) -> bool {
        self.kind == TokenKind::Mark(mark)
    }
}

/// The tokens of `text`; comments are gone.
pub(super) fn lex(text: &str) -> Vec<Token> {
    let mut lexer = Lexer { chars: text.chars().collect(), at: 0, line: 1, tokens: Vec::new() };
    while lexer.at < lexer.chars.len() {
        lexer.step();
    }
    lexer.tokens
}

struct Lexer {
    chars: Vec<char>,
    at: usize,
    line: usize,
    tokens: Vec<Token>,
}

impl Lexer {
    fn peek(&self, ahead: usize) -> char {
        self.chars.get(self.at + ahead).copied().unwrap_or('\0')
    }

    fn bump(&mut self) -> char {
        let char = self.peek(0);
        self.line += usize::from(char == '\n');
        self.at += 1;
        char
    }

    fn push(&mut self, kind: TokenKind, line: usize) {
        self.tokens.push(Token { kind, line });
    }

    /// Consumes one token, comment or blank.
    fn step(&mut self) {
        let line = self.line;
        let char = self.peek(0);
        if char == '/' && self.peek(1) == '/' {
            while self.at < self.chars.len() && self.peek(0) != '\n' {
                self.bump();
            }
        } else if char == '/' && self.peek(1) == '*' {
            self.block_comment();
        } else if char == '"' {
            self.bump();
            self.quoted(line);
        } else if char == '\'' {
            self.quote_or_lifetime(line);
        } else if is_word(char) {
            self.word(line);
        } else {
            self.bump();
            if !char.is_whitespace() {
                self.push(TokenKind::Mark(char), line);
            }
        }
    }

    /// Block comments nest.
    fn block_comment(&mut self) {
        let mut depth = 0;
        while self.at < self.chars.len() {
            match (self.peek(0), self.peek(1)) {
                ('/', '*') => depth += 1,
                ('*', '/') => depth -= 1,
                _ => {
                    self.bump();
                    continue;
                }
            }
            self.bump();
            self.bump();
            if depth == 0 {
                return;
            }
        }
    }

    /// The rest of a string whose opening quote is consumed.
    fn quoted(&mut self, line: usize) {
        let mut text = String::new();
        while self.at < self.chars.len() {
            match self.bump() {
                '"' => break,
                '\\' => {
                    text.push('\\');
                    text.push(self.bump());
                }
                char => text.push(char),
            }
        }
        self.push(TokenKind::Text(text), line);
    }

    /// The rest of a raw string, from its first `#` or its quote.
    fn raw(&mut self, line: usize) {
        let mut hashes = 0;
        while self.peek(0) == '#' {
            hashes += 1;
            self.bump();
        }
        self.bump();
        let mut text = String::new();
        while self.at < self.chars.len() {
            if self.peek(0) == '"' && (1..=hashes).all(|ahead| self.peek(ahead) == '#') {
                self.at += 1 + hashes;
                break;
            }
            text.push(self.bump());
        }
        self.push(TokenKind::Text(text), line);
    }

    /// `'x'`, `'\n'` or `'lifetime`.
    fn quote_or_lifetime(&mut self, line: usize) {
        self.bump();
        if self.peek(0) == '\\' {
            self.bump();
            self.bump();
            while self.at < self.chars.len() && self.bump() != '\'' {}
        } else if self.peek(1) == '\'' {
            self.bump();
            self.bump();
        } else {
            while is_word(self.peek(0)) {
                self.bump();
            }
        }
        self.push(TokenKind::Other, line);
    }

    /// A name, a number, or the prefix of a string.
    fn word(&mut self, line: usize) {
        let mut word = String::new();
        while is_word(self.peek(0)) {
            word.push(self.bump());
        }
        let rest = self.chars.iter().skip(self.at);
        let hashes = rest.take_while(|&&char| char == '#').count();
        match word.as_str() {
            "r" | "br" | "cr" if self.peek(hashes) == '"' => self.raw(line),
            "b" | "c" if self.peek(0) == '"' => {
                self.bump();
                self.quoted(line);
            }
            "b" if self.peek(0) == '\'' => self.quote_or_lifetime(line),
            "r" if hashes == 1 && is_word(self.peek(1)) => {
                self.bump();
                self.word(line);
            }
            _ if word.starts_with(|char: char| char.is_ascii_digit()) => {
                self.push(TokenKind::Other, line);
            }
            _ => self.push(TokenKind::Word(word), line),
        }
    }
}

fn is_word(char: char) -> bool {
    char == '_' || char.is_alphanumeric()
}
