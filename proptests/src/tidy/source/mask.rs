//! Rust without its comments, texts and characters: each is blanked, every line stays where it was.

/// The code of a Rust source.
pub fn code_of(source: &str) -> String {
    let letters: Vec<char> = source.chars().collect();
    let mut mask = Mask { letters: &letters, at: 0, code: String::with_capacity(source.len()) };
    while let Some(letter) = mask.peek(0) {
        mask.step(letter);
    }
    mask.code
}

struct Mask<'s> {
    letters: &'s [char],
    at: usize,
    code: String,
}

impl Mask<'_> {
    fn peek(&self, ahead: usize) -> Option<char> {
        self.letters.get(self.at.saturating_add(ahead)).copied()
    }

    fn keep(&mut self) {
        self.code.extend(self.peek(0));
        self.at = self.at.saturating_add(1);
    }

    fn blank(&mut self) {
        self.code.extend(self.peek(0).map(|letter| if letter == '\n' { '\n' } else { ' ' }));
        self.at = self.at.saturating_add(1);
    }

    fn step(&mut self, letter: char) {
        match (letter, self.peek(1)) {
            ('/', Some('/')) => {
                while self.peek(0).is_some_and(|letter| letter != '\n') {
                    self.blank();
                }
            }
            ('/', Some('*')) => self.block_comment(),
            ('"', _) => self.text(),
            ('\'', _) => self.quote(),
            ('r', Some('"' | '#')) if !self.inside_word() && self.raw_hashes().is_some() => self.raw_text(),
            _ => self.keep(),
        }
    }

    /// Whether the letter before belongs to the same word. `br` and `cr` begin raw texts too.
    fn inside_word(&self) -> bool {
        let before = self.at.checked_sub(1).and_then(|at| self.letters.get(at)).copied();
        let further = self.at.checked_sub(2).and_then(|at| self.letters.get(at)).copied();
        let is_word = |letter: char| letter.is_alphanumeric() || letter == '_';
        match before {
            Some('b' | 'c') => further.is_some_and(is_word),
            Some(letter) => is_word(letter),
            None => false,
        }
    }

    fn block_comment(&mut self) {
        let mut depth = 0_usize;
        while let Some(letter) = self.peek(0) {
            match (letter, self.peek(1)) {
                ('/', Some('*')) => {
                    depth = depth.saturating_add(1);
                    self.blank();
                }
                ('*', Some('/')) => {
                    depth = depth.saturating_sub(1);
                    self.blank();
                }
                _ => {}
            }
            self.blank();
            if depth == 0 {
                return;
            }
        }
    }

    fn text(&mut self) {
        self.keep();
        while let Some(letter) = self.peek(0) {
            match letter {
                '"' => return self.keep(),
                '\\' => {
                    self.blank();
                    self.blank();
                }
                _ => self.blank(),
            }
        }
    }

    /// A character, or the mark of a lifetime.
    fn quote(&mut self) {
        let is_character = self.peek(1) == Some('\\') || self.peek(2) == Some('\'');
        self.keep();
        if !is_character {
            return;
        }
        while let Some(letter) = self.peek(0) {
            match letter {
                '\'' => return self.keep(),
                '\\' => {
                    self.blank();
                    self.blank();
                }
                _ => self.blank(),
            }
        }
    }

    /// The number of `#` of a raw text that begins here.
    fn raw_hashes(&self) -> Option<usize> {
        let hashes = self.letters.iter().skip(self.at.saturating_add(1)).take_while(|letter| **letter == '#').count();
        (self.peek(hashes.saturating_add(1)) == Some('"')).then_some(hashes)
    }

    fn raw_text(&mut self) {
        let hashes = self.raw_hashes().unwrap_or_default();
        for _ in 0..hashes.saturating_add(2) {
            self.keep();
        }
        while let Some(letter) = self.peek(0) {
            let closes = letter == '"' && (1..=hashes).all(|ahead| self.peek(ahead) == Some('#'));
            if closes {
                for _ in 0..=hashes {
                    self.keep();
                }
                return;
            }
            self.blank();
        }
    }
}
