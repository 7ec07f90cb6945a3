//! What kind of statement a text is, and where the data of an `INSERT` begins.
//!
//! The engine parses; this only decides by which of its doors a statement goes in: a streamed `SELECT`, an `INSERT`
//! with streamed data, or anything else, whose result is collected.

use super::exception::{Exception, code};
use super::lexer::{Kind, Lexer, Token};

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Statement {
    /// Perhaps a `SELECT`: tried as a stream first. `format` is that of a `FORMAT` clause.
    Select { format: Option<String> },
    /// `INSERT … VALUES` or `INSERT … FORMAT x`: data follows the statement.
    InsertData(InsertData),
    /// `INSERT … SELECT`, DDL, `SHOW` and the rest.
    Other { format: Option<String> },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct InsertData {
    /// The statement without its `FORMAT` clause, `SETTINGS` included.
    pub(crate) head: Vec<u8>,
    pub(crate) format: String,
    /// Where inline data begins in the text.
    pub(crate) data_start: usize,
}

impl Statement {
    /// For an `INSERT` with data, the text may be only the beginning of what was sent.
    pub(crate) fn parse(text: &[u8]) -> Result<Self, Exception> {
        let mut tokens =
            Lexer::new(text).skip_while(|t| matches!(t.kind, Kind::Punctuation(b'(' | b';')));
        let Some(first) = tokens.next() else {
            return Err(Exception::new(
                code::SYNTAX_ERROR,
                "Syntax error: Empty query (SYNTAX_ERROR)",
            ));
        };
        if is(text, first, "INSERT") {
            if let Some(insert) = insert_data(text, first.end)? {
                return Ok(Self::InsertData(insert));
            }
            refuse_files(text)?;
            refuse_several(text)?;
            return Ok(Self::Other { format: None });
        }
        refuse_files(text)?;
        refuse_several(text)?;
        let format = trailing_format(text);
        if ["SELECT", "WITH", "FROM"]
            .iter()
            .any(|word| is(text, first, word))
        {
            Ok(Self::Select { format })
        } else {
            Ok(Self::Other { format })
        }
    }
}

fn word(text: &[u8], token: Token) -> &[u8] {
    &text[token.start..token.end]
}

fn is(text: &[u8], token: Token, keyword: &str) -> bool {
    token.kind == Kind::Word && word(text, token).eq_ignore_ascii_case(keyword.as_bytes())
}

/// Tokens outside all brackets, from a place on.
fn outer(text: &[u8], from: usize) -> impl Iterator<Item = Token> {
    let mut depth = 0_u32;
    Lexer::starting_at(text, from).filter(move |token| match token.kind {
        Kind::Punctuation(b'(' | b'[' | b'{') => {
            depth += 1;
            false
        }
        Kind::Punctuation(b')' | b']' | b'}') => {
            depth = depth.saturating_sub(1);
            false
        }
        _ => depth == 0,
    })
}

/// Reads on behind the word `INSERT`; `None` where its rows come from a `SELECT`.
fn insert_data(text: &[u8], from: usize) -> Result<Option<InsertData>, Exception> {
    let mut previous: Option<Token> = None;
    for token in outer(text, from) {
        // The target's own name may be a keyword: it follows INTO, TABLE, FUNCTION or a dot.
        let is_name = previous.is_some_and(|p| {
            p.kind == Kind::Punctuation(b'.')
                || ["INTO", "TABLE", "FUNCTION"].iter().any(|w| is(text, p, w))
        }) && !["TABLE", "FUNCTION"].iter().any(|w| is(text, token, w));
        previous = Some(token);
        if is_name {
            continue;
        }
        if is(text, token, "SELECT") || is(text, token, "WITH") {
            return Ok(None);
        }
        if is(text, token, "VALUES") {
            return Ok(Some(InsertData {
                head: text[..token.start].to_vec(),
                format: "Values".to_owned(),
                data_start: token.end,
            }));
        }
        if is(text, token, "FORMAT") {
            return format_clause(text, token).map(Some);
        }
        if is(text, token, "INFILE") {
            return Err(files_refused());
        }
    }
    // `INSERT INTO t (SELECT …)`: the query stands in brackets.
    let mut bracket = false;
    for token in Lexer::starting_at(text, from) {
        if bracket && (is(text, token, "SELECT") || is(text, token, "WITH")) {
            return Ok(None);
        }
        bracket = token.kind == Kind::Punctuation(b'(');
    }
    // ClickHouse takes data without a clause for Values.
    Ok(Some(InsertData {
        head: text.to_vec(),
        format: "Values".to_owned(),
        data_start: text.len(),
    }))
}

fn format_clause(text: &[u8], keyword: Token) -> Result<InsertData, Exception> {
    let name = Lexer::starting_at(text, keyword.end)
        .next()
        .filter(|name| name.kind == Kind::Word)
        .ok_or_else(|| {
            Exception::new(
                code::SYNTAX_ERROR,
                "Syntax error: FORMAT wants the name of a format (SYNTAX_ERROR)",
            )
        })?;
    let format = String::from_utf8_lossy(word(text, name)).into_owned();
    let mut head = text[..keyword.start].to_vec();
    let mut end = name.end;
    // ClickHouse lets SETTINGS stand behind the format too, except before Values.
    if !format.eq_ignore_ascii_case("Values")
        && let Some(settings_end) = settings_clause_end(text, name.end)
    {
        head.extend_from_slice(&text[name.end..settings_end]);
        end = settings_end;
    }
    Ok(InsertData {
        head,
        format,
        data_start: data_start(text, end),
    })
}

/// The end of `SETTINGS a = 1, b = 'x'`, where it starts here.
fn settings_clause_end(text: &[u8], from: usize) -> Option<usize> {
    let mut tokens = Lexer::starting_at(text, from).peekable();
    tokens.next().filter(|token| is(text, *token, "SETTINGS"))?;
    loop {
        tokens.next().filter(|name| name.kind == Kind::Word)?;
        tokens
            .next()
            .filter(|sign| sign.kind == Kind::Punctuation(b'='))?;
        let mut value = tokens.next()?;
        if value.kind == Kind::Punctuation(b'-') {
            value = tokens.next()?;
        }
        let mut end = value.end;
        while let Some(dot) =
            tokens.next_if(|t| t.kind == Kind::Punctuation(b'.') && t.start == end)
        {
            end = tokens
                .next_if(|t| t.start == dot.end)
                .map_or(dot.end, |fraction| fraction.end);
        }
        if tokens
            .next_if(|t| t.kind == Kind::Punctuation(b','))
            .is_none()
        {
            return Some(end);
        }
    }
}

/// Behind the clause: blanks on its line and one line break belong to it, the rest is data, byte by byte.
fn data_start(text: &[u8], from: usize) -> usize {
    let mut at = from;
    while matches!(text.get(at), Some(b' ' | b'\t' | 0x0c)) {
        at += 1;
    }
    if text.get(at) == Some(&b'\r') {
        at += 1;
    }
    if text.get(at) == Some(&b'\n') {
        at += 1;
    }
    at
}

/// The format that the statement itself asks for.
fn trailing_format(text: &[u8]) -> Option<String> {
    let mut format = None;
    let mut tokens = outer(text, 0).peekable();
    while let Some(token) = tokens.next() {
        if is(text, token, "FORMAT") {
            format = tokens
                .peek()
                .filter(|name| name.kind == Kind::Word)
                .map(|name| String::from_utf8_lossy(word(text, *name)).into_owned());
        }
    }
    format
}

/// The engine is embedded, so a file in a statement would be a file of the server's machine.
fn refuse_files(text: &[u8]) -> Result<(), Exception> {
    let tokens: Vec<Token> = outer(text, 0).collect();
    let pair = |a: &str, b: &str| {
        tokens
            .windows(2)
            .any(|w| is(text, w[0], a) && is(text, w[1], b))
    };
    if pair("INTO", "OUTFILE") || pair("FROM", "INFILE") {
        return Err(files_refused());
    }
    Ok(())
}

fn files_refused() -> Exception {
    Exception::new(
        code::SUPPORT_IS_DISABLED,
        "INTO OUTFILE and FROM INFILE are not allowed over HTTP (SUPPORT_IS_DISABLED)",
    )
}

/// ClickHouse's HTTP interface runs one statement; the engine itself would run them all.
fn refuse_several(text: &[u8]) -> Result<(), Exception> {
    let mut tokens = Lexer::new(text).skip_while(|token| token.kind != Kind::Punctuation(b';'));
    if tokens.any(|token| token.kind != Kind::Punctuation(b';')) {
        return Err(Exception::new(
            code::SYNTAX_ERROR,
            "Syntax error (Multi-statements are not allowed) (SYNTAX_ERROR)",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn insert(sql: &str) -> (String, String, &str) {
        match Statement::parse(sql.as_bytes()).unwrap() {
            Statement::InsertData(found) => (
                String::from_utf8(found.head).unwrap(),
                found.format,
                &sql[found.data_start..],
            ),
            other => panic!("{sql}: {other:?}"),
        }
    }

    #[test]
    fn data_of_an_insert_begins_behind_its_clause() {
        assert_eq!(
            insert("INSERT INTO t VALUES (1)"),
            ("INSERT INTO t ".into(), "Values".into(), " (1)")
        );
        assert_eq!(
            insert(
                "insert into `a b`.t (x, `values`) settings async_insert=0 format TSV \r\n1\t2\n"
            ),
            (
                "insert into `a b`.t (x, `values`) settings async_insert=0 ".into(),
                "TSV".into(),
                "1\t2\n"
            )
        );
        assert_eq!(
            insert("INSERT INTO format FORMAT JSONEachRow SETTINGS a=1.5, b='x' {\"x\":1}"),
            (
                "INSERT INTO format  SETTINGS a=1.5, b='x'".into(),
                "JSONEachRow".into(),
                "{\"x\":1}"
            )
        );
        assert_eq!(
            insert("INSERT INTO TABLE FUNCTION remote('h', db.values) (x) FORMAT RowBinary"),
            (
                "INSERT INTO TABLE FUNCTION remote('h', db.values) (x) ".into(),
                "RowBinary".into(),
                ""
            )
        );
        assert_eq!(
            insert("INSERT INTO db.select"),
            ("INSERT INTO db.select".into(), "Values".into(), "")
        );
    }

    #[test]
    fn an_insert_from_a_query_is_no_insert_with_data() {
        for sql in [
            "INSERT INTO t SELECT 1",
            "insert into t (x) with 1 as y select y",
            "INSERT INTO t (SELECT 1)",
            "CREATE TABLE t (x Int8) ENGINE = Memory;",
            "show tables",
        ] {
            let parsed = Statement::parse(sql.as_bytes()).unwrap();
            assert_eq!(parsed, Statement::Other { format: None }, "{sql}");
        }
    }

    #[test]
    fn the_format_of_a_query_is_seen() {
        let format = |sql: &str| match Statement::parse(sql.as_bytes()).unwrap() {
            Statement::Select { format } | Statement::Other { format } => format,
            Statement::InsertData(_) => panic!("{sql}"),
        };
        assert_eq!(format("select 1 format JSON"), Some("JSON".into()));
        assert_eq!(
            format("(select 'format CSV') settings a=1 FORMAT TSV settings b=2;"),
            Some("TSV".into())
        );
        assert_eq!(format("select format('{}', 1)"), None);
        assert_eq!(format("show tables format CSV"), Some("CSV".into()));
    }

    #[test]
    fn one_statement_and_no_files() {
        let code = |sql: &str| Statement::parse(sql.as_bytes()).unwrap_err().code;
        assert_eq!(code("drop table a; drop table b"), code::SYNTAX_ERROR);
        assert_eq!(code(" -- nothing"), code::SYNTAX_ERROR);
        assert_eq!(
            code("select 1 into outfile '/x'"),
            code::SUPPORT_IS_DISABLED
        );
        assert_eq!(
            code("insert into t from infile 'x' format CSV"),
            code::SUPPORT_IS_DISABLED
        );
        assert!(Statement::parse(b"drop table a; -- done").is_ok());
        assert!(Statement::parse(b"select outfile('into outfile')").is_ok());
    }
}
