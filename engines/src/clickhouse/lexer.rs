//! Just enough of ClickHouse's lexer to see where words, quotes and comments begin and end.

/// A lexical unit, by its place in the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) kind: Kind,
    pub(crate) start: usize,
    pub(crate) end: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Letters, digits and underscores.
    Word,
    /// A string literal, heredoc included.
    Text,
    /// A name in double quotes or backticks.
    QuotedName,
    /// Any other single byte.
    Punctuation(u8),
}

/// Iterates over tokens, without white space and comments.
#[derive(Debug, Clone)]
pub(crate) struct Lexer<'t> {
    text: &'t [u8],
    at: usize,
}

impl<'t> Lexer<'t> {
    pub(crate) fn new(text: &'t [u8]) -> Self {
        Self { text, at: 0 }
    }

    pub(crate) fn starting_at(text: &'t [u8], at: usize) -> Self {
        Self { text, at }
    }

    fn rest(&self) -> &'t [u8] {
        &self.text[self.at..]
    }

    fn skip_blank(&mut self) {
        loop {
            let rest = self.rest();
            match rest {
                [b, ..] if b.is_ascii_whitespace() || *b == 0x0b => self.at += 1,
                [b'-', b'-', ..] | [b'#', b' ' | b'!', ..] => {
                    self.at += rest.iter().position(|b| *b == b'\n').unwrap_or(rest.len());
                }
                [b'/', b'*', ..] => self.at += comment_length(rest),
                _ => return,
            }
        }
    }
}

/// The length of a comment that starts here; comments nest.
fn comment_length(rest: &[u8]) -> usize {
    let (mut at, mut depth) = (0, 0_u32);
    while at < rest.len() {
        match &rest[at..] {
            [b'/', b'*', ..] => {
                depth += 1;
                at += 2;
            }
            [b'*', b'/', ..] => {
                depth -= 1;
                at += 2;
                if depth == 0 {
                    return at;
                }
            }
            _ => at += 1,
        }
    }
    at
}

/// The length of a literal in the given quotes: a backslash escapes, a doubled quote stands for itself.
fn quoted_length(rest: &[u8], quote: u8) -> usize {
    let mut at = 1;
    while at < rest.len() {
        match &rest[at..] {
            [b'\\', _, ..] => at += 2,
            [q, r, ..] if *q == quote && *r == quote => at += 2,
            [q, ..] if *q == quote => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

/// The length of `$tag$ … $tag$`, where one starts here.
fn heredoc_length(rest: &[u8]) -> Option<usize> {
    let tag_end = rest.iter().skip(1).position(|b| *b == b'$')? + 2;
    let tag = &rest[..tag_end];
    if !tag[1..tag_end - 1]
        .iter()
        .all(|b| b.is_ascii_alphanumeric() || *b == b'_')
    {
        return None;
    }
    let body = &rest[tag_end..];
    let close = body.windows(tag.len()).position(|window| window == tag)?;
    Some(tag_end + close + tag.len())
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

impl Iterator for Lexer<'_> {
    type Item = Token;

    fn next(&mut self) -> Option<Token> {
        self.skip_blank();
        let rest = self.rest();
        let first = *rest.first()?;
        let (kind, length) = match first {
            b'\'' => (Kind::Text, quoted_length(rest, first)),
            b'"' | b'`' => (Kind::QuotedName, quoted_length(rest, first)),
            b'$' => match heredoc_length(rest) {
                Some(length) => (Kind::Text, length),
                None => (Kind::Punctuation(first), 1),
            },
            _ if is_word(first) => (
                Kind::Word,
                rest.iter().position(|b| !is_word(*b)).unwrap_or(rest.len()),
            ),
            _ => (Kind::Punctuation(first), 1),
        };
        let start = self.at;
        self.at += length;
        Some(Token {
            kind,
            start,
            end: self.at,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(sql: &str) -> Vec<&str> {
        Lexer::new(sql.as_bytes())
            .map(|t| &sql[t.start..t.end])
            .collect()
    }

    #[test]
    fn quotes_and_comments_hide_what_is_in_them() {
        assert_eq!(
            texts(
                "select 'a''b\\'; c', \"x;y\" -- ; no\n/* ; /* ; */ ; */ # ;\n, `z``;` $h$ ; ' $h$"
            ),
            [
                "select",
                "'a''b\\'; c'",
                ",",
                "\"x;y\"",
                ",",
                "`z``;`",
                "$h$ ; ' $h$"
            ]
        );
    }

    #[test]
    fn what_is_never_closed_reaches_to_the_end() {
        assert_eq!(texts("a 'b"), ["a", "'b"]);
        assert_eq!(texts("a /* b"), ["a"]);
        assert_eq!(texts("a $x$ b"), ["a", "$", "x", "$", "b"]);
    }
}
