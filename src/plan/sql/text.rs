//! The text of a query and the places in it, so that every refusal can point at the words it means.
//!
//! The text is cut into tokens once. Parsing works on those tokens, so that a query copied from Flink can be brought into
//! our short form first (see [`super::flink`]) and every token still knows the line and column it was written at.

use datafusion::common::{DataFusionError, SchemaError, Span};
use datafusion::sql::sqlparser::ast::Statement;
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::{self, Token, TokenWithSpan, Tokenizer};
use lineside_model::options::did_you_mean;
use lineside_model::{At, Problem};

use super::{asof, flink};

/// A query as it was written, cut into tokens.
#[derive(Debug)]
pub(super) struct SqlText {
    tokens: Vec<TokenWithSpan>,
}

impl SqlText {
    pub(super) fn new(sql: &str) -> Result<Self, Problem> {
        let mut tokens = Tokenizer::new(&PostgreSqlDialect {}, sql)
            .tokenize_with_location()
            .map_err(|e| problem(e.location.line, e.location.column, one_line(&e.message)))?;
        tokens.retain(|t| !matches!(t.token, Token::Whitespace(_)));
        Ok(Self { tokens })
    }

    /// The statements of the text, Flink's long forms brought into the short one, and `ASOF JOIN` into a join.
    pub(super) fn parse(&self) -> Result<Vec<Statement>, Problem> {
        let tokens = asof::as_joins(flink::short_form(&self.tokens))
            .map_err(|(place, message, hint)| self.at(place, message).hint(hint))?;
        Parser::new(&PostgreSqlDialect {}).with_tokens_with_locations(tokens).parse_statements().map_err(|error| {
            match error {
                ParserError::TokenizerError(message) | ParserError::ParserError(message) => self.syntax(&message),
                ParserError::RecursionLimitExceeded => self.at_word("select", "the query is nested too deeply"),
            }
        })
    }

    /// A problem at a place that the parser gave.
    pub(super) fn at(&self, span: tokenizer::Span, message: impl Into<String>) -> Problem {
        problem(span.start.line, span.start.column, message)
    }

    /// A problem at a place that the planner gave, or at `word` where it gave none.
    pub(super) fn at_span(&self, span: Option<Span>, word: &str, message: impl Into<String>) -> Problem {
        match span {
            Some(span) => problem(span.start.line, span.start.column, message),
            None => self.at_word(word, message),
        }
    }

    /// A problem at the first place where `word` is written, or at the start of the text.
    pub(super) fn at_word(&self, word: &str, message: impl Into<String>) -> Problem {
        let is_word = |t: &&TokenWithSpan| matches!(&t.token, Token::Word(w) if w.value.eq_ignore_ascii_case(word));
        let start = self.tokens.iter().find(is_word).map_or((1, 1), |t| (t.span.start.line, t.span.start.column));
        problem(start.0, start.1, message)
    }

    /// Whether `word` is written in the text.
    pub(super) fn has_word(&self, word: &str) -> bool {
        self.tokens.iter().any(|t| matches!(&t.token, Token::Word(w) if w.value.eq_ignore_ascii_case(word)))
    }

    /// Where `word` is written with one of `next` behind it.
    pub(super) fn clause(&self, word: &str, next: &[&str]) -> Option<tokenizer::Span> {
        let is = |token: &TokenWithSpan, word: &str| matches!(&token.token, Token::Word(w) if w.quote_style.is_none() && w.value.eq_ignore_ascii_case(word));
        let found = self.tokens.windows(2).find(|two| is(&two[0], word) && next.iter().any(|next| is(&two[1], next)));
        found.map(|two| two[0].span)
    }

    /// A problem at the first of `words` that is written in the text.
    pub(super) fn at_any<'a>(&self, words: impl IntoIterator<Item = &'a str>, message: &str) -> Problem {
        let word = words.into_iter().find(|word| self.has_word(word)).unwrap_or_default();
        self.at_word(word, message)
    }

    /// What DataFusion found wrong, in our words where we know it better.
    pub(super) fn planning(&self, error: &DataFusionError) -> Problem {
        let span = error.diagnostic().and_then(|d| d.span);
        let root = error.find_root();
        if let DataFusionError::SchemaError(schema, _) = root {
            match schema.as_ref() {
                SchemaError::FieldNotFound { field, valid_fields } => {
                    let mut known = valid_fields.iter().map(|c| c.name.as_str()).collect::<Vec<_>>();
                    known.dedup();
                    let hint = match known.iter().find(|name| name.eq_ignore_ascii_case(&field.name)) {
                        Some(name) if *name != field.name => format!("it has capitals: write it in quotes, \"{name}\""),
                        _ => did_you_mean(&field.name, known),
                    };
                    let span = field.spans.first().or(span);
                    return self.at_span(span, &field.name, format!("no column \"{}\"", field.flat_name())).hint(hint);
                }
                SchemaError::AmbiguousReference { field } => {
                    let message = format!("column \"{}\" is ambiguous", field.name);
                    return self.at_span(field.spans.first().or(span), &field.name, message);
                }
                SchemaError::DuplicateQualifiedField { name, .. } | SchemaError::DuplicateUnqualifiedField { name } => {
                    let message = format!("column \"{name}\" comes out twice");
                    return self.at_span(span, name, message).hint("give one of them another name with AS");
                }
            }
        }
        if let DataFusionError::SQL(error, _) = root {
            return self.syntax(&error.to_string());
        }
        let cause = root.strip_backtrace();
        if let Some((message, hint)) = reworded(&cause) {
            let word = quoted(&message).unwrap_or_default().to_owned();
            return self.at_span(span, &word, message).hint(hint);
        }
        let message = error.diagnostic().map_or(cause, |told| told.message.clone());
        let hint = error.diagnostic().and_then(|told| told.helps.first()).map(|help| help.message.clone());
        let words = message.split(|c: char| !(c.is_alphanumeric() || c == '_'));
        let word = words.rev().find(|word| self.has_word(word)).unwrap_or_default();
        Problem { hint, ..self.at_span(span, word, one_line(&message)) }
    }

    /// What the parser says, its place taken from the end of its message.
    fn syntax(&self, message: &str) -> Problem {
        let place = message.rsplit_once(" at Line: ").and_then(|(what, place)| {
            let (line, column) = place.split_once(", Column: ")?;
            Some((what, line.trim().parse().ok()?, column.trim().parse().ok()?))
        });
        let (what, line, column) = place.unwrap_or_else(|| {
            let end = self.tokens.last().map_or((1, 1), |t| (t.span.end.line, t.span.end.column));
            (message, end.0, end.1)
        });
        problem(line, column, one_line(what))
    }
}

fn problem(line: u64, column: u64, message: impl Into<String>) -> Problem {
    let count = |n: u64| u32::try_from(n.max(1)).unwrap_or(u32::MAX);
    let at = At::Text { option: vec!["sql".to_owned()], line: count(line), column: count(column) };
    Problem { at, message: message.into(), hint: None }
}

/// What DataFusion says at length, in short, with the cure.
fn reworded(cause: &str) -> Option<(String, String)> {
    let between = |start: &str, end: &str| {
        let (_, rest) = cause.split_once(start)?;
        rest.split_once(end).map(|(found, _)| found)
    };
    if let Some(function) = between("Invalid function '", "'") {
        let near = between("Did you mean '", "'").map(|near| format!("did you mean \"{near}\"?"));
        let hint = near.unwrap_or_else(|| "the functions are those of DataFusion".to_owned());
        return Some((format!("there is no function \"{function}\""), hint));
    }
    if let Some(function) = between("to satisfy a call to '", "'") {
        let types = between("coercion from ", " to the signature").unwrap_or("these");
        return Some((
            format!("\"{function}\" does not take ({types})"),
            "CAST the arguments, or take others".to_owned(),
        ));
    }
    if let Some(function) = between("Function '", "' failed to match any signature") {
        let found = between("but received ", " (").unwrap_or("this type");
        return Some((
            format!("\"{function}\" does not take {found}"),
            "CAST the argument, or take another".to_owned(),
        ));
    }
    if let Some(types) = between("Cannot coerce arithmetic expression ", " to valid types") {
        return Some((format!("{types} cannot be computed"), "CAST one of the two".to_owned()));
    }
    if let Some(name) = between("Projections require unique expression names but the expression \"", "\"") {
        let name = name.rsplit('.').next().unwrap_or(name);
        return Some((
            format!("column \"{name}\" comes out twice"),
            "give one of them another name with AS".to_owned(),
        ));
    }
    if let Some(column) = between("While expanding wildcard, column \"", "\" must appear") {
        let column = column.rsplit('.').next().unwrap_or(column);
        let message = format!("column \"{column}\" is neither grouped by nor aggregated");
        return Some((message, format!("add it to GROUP BY, or write last_value({column})")));
    }
    if let Some((_, found)) = cause.split_once("Cannot create filter with non-boolean predicate '") {
        let found = found.rsplit_once("' returning ").map_or(found, |(_, found)| found);
        return Some((format!("\"where\" expects a condition, found {found}"), "compare it with something".to_owned()));
    }
    None
}

/// The first word in single or double quotes of a message.
fn quoted(message: &str) -> Option<&str> {
    let start = message.find(['\'', '"'])?;
    let rest = message.get(start + 1..)?;
    rest.get(..rest.find(['\'', '"'])?)
}

/// DataFusion's message in the manner of ours: one line, lower case, no period, no class of error in front.
fn one_line(message: &str) -> String {
    const CLASSES: [&str; 6] = [
        "Error during planning: ",
        "This feature is not implemented: ",
        "SQL error: ",
        "Schema error: ",
        "sql parser error: ",
        "type_coercion\ncaused by\n",
    ];
    let mut text = message.trim();
    while let Some(rest) = CLASSES.iter().find_map(|class| text.strip_prefix(class)) {
        text = rest.trim_start();
    }
    let line = text.lines().next().unwrap_or_default().trim_end_matches('.');
    let mut chars = line.chars();
    match chars.next() {
        Some(first) if !chars.as_str().starts_with(char::is_uppercase) => {
            first.to_lowercase().chain(chars).collect::<String>()
        }
        _ => line.to_owned(),
    }
}
