//! A JSON tree that keeps order, repeated keys, missing values and positions.
//!
//! The tokens come from `jsonc-parser`'s scanner, which knows comments; its own parser, like every other, rejects a
//! member without a value (`"suspend",`), which rt-app's examples contain.

use std::borrow::Cow;

use jsonc_parser::tokens::Token;
use jsonc_parser::{Scanner, ScannerOptions};

use crate::text::shorten;

/// Deepest nesting accepted; rt-app's grammar needs 5.
const MAX_DEPTH: usize = 32;

/// A value and the byte offset where it begins.
#[derive(Debug)]
pub(super) struct Node<'a> {
    pub at: usize,
    pub value: Value<'a>,
}

/// A JSON value.
#[derive(Debug)]
pub(super) enum Value<'a> {
    Object(Vec<Member<'a>>),
    Array(Vec<Node<'a>>),
    String(Cow<'a, str>),
    /// As written.
    Number(&'a str),
    Boolean,
    Null,
    /// A key without a value.
    Missing,
}

/// `"key": value`.
#[derive(Debug)]
pub(super) struct Member<'a> {
    /// Byte offset of the key.
    pub at: usize,
    pub key: Cow<'a, str>,
    pub value: Node<'a>,
}

impl Value<'_> {
    /// The value's kind as a message names it.
    pub fn kind(&self) -> &'static str {
        match self {
            Value::Object(_) => "an object",
            Value::Array(_) => "an array",
            Value::String(_) => "a string",
            Value::Number(_) => "a number",
            Value::Boolean => "a boolean",
            Value::Null => "null",
            Value::Missing => "left out",
        }
    }
}

/// Where parsing stopped, and why.
pub(super) type ParseError = (usize, String);

/// Parses a whole file.
pub(super) fn parse(text: &str) -> Result<Node<'_>, ParseError> {
    let options = ScannerOptions {
        allow_single_quoted_strings: false,
        allow_hexadecimal_numbers: false,
        allow_unary_plus_numbers: false,
        allow_bare_decimal_point_numbers: false,
        allow_non_finite_numbers: false,
        allow_extended_string_escapes: false,
    };
    let mut parser = Parser { scanner: Scanner::new(text, &options), token: None, at: 0 };
    parser.advance()?;
    if parser.token.is_none() {
        return Err((0, "the file is empty; rt-app's format is an object with \"tasks\"".into()));
    }
    let root = parser.value(0)?;
    match parser.token {
        None => Ok(root),
        Some(_) => Err(parser.unexpected("the end of the file")),
    }
}

struct Parser<'a> {
    scanner: Scanner<'a>,
    /// The token not yet used; `None` at the end of the file.
    token: Option<Token<'a>>,
    at: usize,
}

impl<'a> Parser<'a> {
    /// Goes to the next token that is not a comment.
    fn advance(&mut self) -> Result<(), ParseError> {
        loop {
            self.token = self.scanner.scan().map_err(|error| {
                let reason = error.kind().to_string();
                (error.range().start, format!("not valid JSON: {}", lower_first(&reason)))
            })?;
            self.at = self.scanner.token_start();
            if !matches!(self.token, Some(Token::CommentLine(_) | Token::CommentBlock(_))) {
                return Ok(());
            }
        }
    }

    fn unexpected(&self, wanted: &str) -> ParseError {
        let found = match &self.token {
            None => "the file ends".to_string(),
            Some(Token::String(text)) => format!("found \"{}\"", shorten(text)),
            Some(token) => format!("found `{}`", shorten(token.as_str())),
        };
        (self.at, format!("not valid JSON: {found} where {wanted} is expected"))
    }

    fn value(&mut self, depth: usize) -> Result<Node<'a>, ParseError> {
        let at = self.at;
        if depth > MAX_DEPTH {
            return Err((at, format!("nested deeper than {MAX_DEPTH} levels")));
        }
        let value = match self.token.take() {
            Some(Token::OpenBrace) => return self.object(at, depth),
            Some(Token::OpenBracket) => return self.array(at, depth),
            Some(Token::String(text)) => Value::String(text),
            Some(Token::Number(text)) => Value::Number(text),
            Some(Token::Boolean(_)) => Value::Boolean,
            Some(Token::Null) => Value::Null,
            other => {
                self.token = other;
                return Err(self.unexpected("a value"));
            }
        };
        self.advance()?;
        Ok(Node { at, value })
    }

    fn object(&mut self, at: usize, depth: usize) -> Result<Node<'a>, ParseError> {
        self.advance()?;
        let mut members = Vec::new();
        loop {
            let key_at = self.at;
            let key = match self.token.take() {
                Some(Token::CloseBrace) => break,
                Some(Token::String(key)) => key,
                other => {
                    self.token = other;
                    return Err(self.unexpected("a key in quotes or `}`"));
                }
            };
            self.advance()?;
            let value = match self.token {
                Some(Token::Colon) => {
                    self.advance()?;
                    self.value(depth + 1)?
                }
                Some(Token::Comma | Token::CloseBrace) => Node { at: key_at, value: Value::Missing },
                _ => return Err(self.unexpected("`:`")),
            };
            members.push(Member { at: key_at, key, value });
            if !self.comma(&Token::CloseBrace, "`,` or `}`")? {
                break;
            }
        }
        self.advance()?;
        Ok(Node { at, value: Value::Object(members) })
    }

    fn array(&mut self, at: usize, depth: usize) -> Result<Node<'a>, ParseError> {
        self.advance()?;
        let mut items = Vec::new();
        while self.token != Some(Token::CloseBracket) {
            items.push(self.value(depth + 1)?);
            if !self.comma(&Token::CloseBracket, "`,` or `]`")? {
                break;
            }
        }
        self.advance()?;
        Ok(Node { at, value: Value::Array(items) })
    }

    /// After a member or item: whether a comma was there (and is used up); otherwise `close` has to be.
    fn comma(&mut self, close: &Token<'_>, wanted: &str) -> Result<bool, ParseError> {
        match &self.token {
            Some(Token::Comma) => self.advance().map(|()| true),
            Some(token) if token == close => Ok(false),
            _ => Err(self.unexpected(wanted)),
        }
    }
}

fn lower_first(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or(String::new(), |first| first.to_lowercase().chain(chars).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_repeated_keys_and_missing_values_are_kept() {
        let text = "/* c */ { \"run\" : 1, // d\n \"suspend\", \"run\" : 2, \"a\" : [1, true, null,], \"suspend\" }";
        let Value::Object(members) = parse(text).unwrap().value else { panic!() };
        let keys: Vec<_> = members.iter().map(|member| (member.key.as_ref(), member.value.value.kind())).collect();
        let expected = [
            ("run", "a number"),
            ("suspend", "left out"),
            ("run", "a number"),
            ("a", "an array"),
            ("suspend", "left out"),
        ];
        assert_eq!(keys, expected);
        assert_eq!(members[2].at, text.rfind("\"run\"").unwrap());
    }

    #[test]
    fn errors_say_where_and_what_is_expected() {
        for (text, at, message) in [
            ("", 0, "the file is empty; rt-app's format is an object with \"tasks\""),
            ("{ \"a\" : 1 \"b\" : 2 }", 10, "not valid JSON: found \"b\" where `,` or `}` is expected"),
            ("{ \"a\" : }", 8, "not valid JSON: found `}` where a value is expected"),
            ("{ \"a\" : 1", 9, "not valid JSON: the file ends where `,` or `}` is expected"),
            ("{ a : 1 }", 2, "not valid JSON: found `a` where a key in quotes or `}` is expected"),
            ("{} {}", 3, "not valid JSON: found `{` where the end of the file is expected"),
            ("[,]", 1, "not valid JSON: found `,` where a value is expected"),
            ("{ \"a\" 1 }", 6, "not valid JSON: found `1` where `:` is expected"),
        ] {
            assert_eq!(parse(text).unwrap_err(), (at, message.to_string()), "{text}");
        }
        assert!(parse("/* open").unwrap_err().1.contains("comment"));
        assert!(parse("{ \"a").is_err());
        assert!(parse(&"[".repeat(100_000)).unwrap_err().1.contains("nested deeper"));
    }
}
