//! `ASOF JOIN` in the terms of SQL: it is planned as a join whose condition says that it takes one row only.
//!
//! | written | planned as |
//! | --- | --- |
//! | `a ASOF JOIN b MATCH_CONDITION (m) ON c` | `a JOIN b ON "match_condition()" (m) AND c` |
//! | `a ASOF LEFT JOIN b MATCH_CONDITION (m)` | `a LEFT JOIN b ON "match_condition()" (m)` |
//! | `NEAREST (a.ts, b.ts, …)` within `m` | `"nearest()" (a.ts, b.ts, …)` |
//!
//! The tokens keep their places, so error messages point at what was written. The two functions have names that nobody
//! writes by accident; `join_condition` takes them away again.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::{Result as PlanResult, exec_err};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature, Volatility,
};
use datafusion::sql::sqlparser::tokenizer::{Span, Token, TokenWithSpan};

use super::flink::{closing, is, is_word};

/// The function around what `MATCH_CONDITION` has in parentheses.
pub(super) const MATCH: &str = "match_condition()";
/// The function that `NEAREST` is planned as.
pub(super) const NEAREST: &str = "nearest()";

/// Where an `ASOF JOIN` is not complete, what is wrong, and the cure.
pub(super) type Mistake = (Span, &'static str, &'static str);

const FORM: &str = "write a ASOF JOIN b MATCH_CONDITION (a.ts >= b.ts) ON a.sensor = b.sensor";

/// The tokens with each `ASOF JOIN` as a join.
pub(super) fn as_joins(mut tokens: Vec<TokenWithSpan>) -> Result<Vec<TokenWithSpan>, Mistake> {
    let mut at = 0;
    while at < tokens.len() {
        if is_word(&tokens, at, "asof") && is_join(&tokens, at + 1) {
            let asof = tokens.remove(at);
            let join = (at..tokens.len()).find(|n| is_word(&tokens, *n, "join")).unwrap_or(at);
            as_join(&mut tokens, join + 1, asof.span)?;
        }
        at += 1;
    }
    Ok(tokens)
}

/// Whether `JOIN` stands here, with or without its kind.
fn is_join(tokens: &[TokenWithSpan], mut at: usize) -> bool {
    while ["left", "right", "full", "inner", "outer"].iter().any(|kind| is_word(tokens, at, kind)) {
        at += 1;
    }
    is_word(tokens, at, "join")
}

/// Brings what follows `JOIN` into the order of a join.
fn as_join(tokens: &mut Vec<TokenWithSpan>, from: usize, asof: Span) -> Result<(), Mistake> {
    const NO_MATCH: &str = "ASOF JOIN does not say which row is taken";
    let found = found_match(tokens, from).ok_or((asof, NO_MATCH, FORM))?;
    let place = tokens[found].span;
    let close = closing(tokens, found + 1).ok_or((place, "MATCH_CONDITION has its condition in parentheses", FORM))?;
    for token in &mut tokens[found + 2..close] {
        if matches!(&token.token, Token::Word(w) if w.quote_style.is_none() && w.value.eq_ignore_ascii_case("nearest"))
        {
            token.token = Token::make_word(NEAREST, Some('"'));
        }
    }
    if is_word(tokens, close + 1, "using") {
        let hint = "write the columns with ON: ON a.sensor = b.sensor";
        return Err((tokens[close + 1].span, "USING does not go with MATCH_CONDITION", hint));
    }
    if is_word(tokens, close + 1, "on") {
        tokens[close + 1].token = Token::make_keyword("AND");
    }
    tokens[found].token = Token::make_word(MATCH, Some('"'));
    tokens.insert(found, TokenWithSpan { token: Token::make_keyword("ON"), span: place });
    Ok(())
}

/// Where the `MATCH_CONDITION (` of this join is.
fn found_match(tokens: &[TokenWithSpan], from: usize) -> Option<usize> {
    const ENDS: [&str; 8] = ["join", "on", "using", "where", "group", "having", "union", "asof"];
    let mut depth = 0usize;
    for (n, token) in tokens.iter().enumerate().skip(from) {
        match token.token {
            Token::LParen => depth += 1,
            Token::RParen => depth = depth.checked_sub(1)?,
            Token::Comma | Token::SemiColon if depth == 0 => return None,
            _ if depth > 0 => {}
            _ if is_word(tokens, n, "match_condition") => return is(tokens, n + 1, &Token::LParen).then_some(n),
            _ if ENDS.iter().any(|end| is_word(tokens, n, end)) => return None,
            _ => {}
        }
    }
    None
}

/// The functions that stand for `MATCH_CONDITION` and `NEAREST` while DataFusion plans.
pub(super) fn functions() -> [Arc<ScalarUDF>; 2] {
    let function = |name, arguments: &[usize]| {
        let signatures = arguments.iter().map(|count| TypeSignature::Any(*count)).collect();
        Arc::new(ScalarUDF::from(Marker { name, signature: Signature::one_of(signatures, Volatility::Immutable) }))
    };
    [function(MATCH, &[1]), function(NEAREST, &[2, 3])]
}

/// A condition that is never computed, only recognised.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Marker {
    name: &'static str,
    signature: Signature,
}

impl ScalarUDFImpl for Marker {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> PlanResult<DataType> {
        Ok(DataType::Boolean)
    }

    fn invoke_with_args(&self, _arguments: ScalarFunctionArgs) -> PlanResult<ColumnarValue> {
        exec_err!("{} belongs to ASOF JOIN", self.name)
    }
}
