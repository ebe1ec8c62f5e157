//! Queries copied from Flink run as they are: their long form of window functions is brought into the short one.
//!
//! | written | read as |
//! | --- | --- |
//! | `TABLE(TUMBLE(TABLE readings, DESCRIPTOR(ts), INTERVAL '1' MINUTE))` | `TUMBLE(readings, ts, INTERVAL '1' MINUTE)` |
//! | `TABLE(HOP(DATA => TABLE readings, TIMECOL => DESCRIPTOR(ts), …))` | `HOP(DATA => readings, TIMECOL => ts, …)` |
//! | `SESSION(readings PARTITION BY sensor, ts, …)` | `SESSION(readings, PARTITION_BY => sensor, ts, …)` |
//!
//! Tokens are taken away or stand in for `PARTITION BY` at its place, none is moved, so the places in error messages stay those
//! of the text.

use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};

use super::window_call;

/// The tokens without `TABLE( … )` around a window function and `TABLE` and `DESCRIPTOR( … )` within it, and with `PARTITION BY` as an
/// argument.
pub(super) fn short_form(tokens: &[TokenWithSpan]) -> Vec<TokenWithSpan> {
    let mut keep = vec![true; tokens.len()];
    let mut partitions = vec![false; tokens.len()];
    for start in 0..tokens.len() {
        let wrapped = is_word(tokens, start, "table")
            && is(tokens, start + 1, &Token::LParen)
            && matches!(tokens.get(start + 2).map(|t| &t.token), Some(Token::Word(_)))
            && is(tokens, start + 3, &Token::LParen);
        if wrapped && let Some(end) = closing(tokens, start + 1) {
            drop_at(&mut keep, &[start, start + 1, end]);
            shorten_arguments(tokens, start + 4, end, &mut keep);
        }
        if window_call::words().any(|word| is_word(tokens, start, word))
            && is(tokens, start + 1, &Token::LParen)
            && let Some(end) = closing(tokens, start + 1)
        {
            shorten_arguments(tokens, start + 2, end, &mut keep);
            if let Some(partition) = partition(tokens, start + 2, end) {
                partitions[partition] = true;
                drop_at(&mut keep, &[partition, partition + 1]);
            }
        }
    }
    let mut short = Vec::with_capacity(tokens.len());
    for ((token, keep), partition) in tokens.iter().zip(keep).zip(partitions) {
        if partition {
            let named = [Token::Comma, Token::make_word(window_call::PARTITION_BY, None), Token::RArrow];
            short.extend(named.map(|made| TokenWithSpan::new(made, token.span)));
        } else if keep {
            short.push(token.clone());
        }
    }
    short
}

/// Where `PARTITION BY` stands among arguments, not within one of them.
fn partition(tokens: &[TokenWithSpan], start: usize, end: usize) -> Option<usize> {
    let mut depth = 0usize;
    (start..end).find(|n| {
        match tokens[*n].token {
            Token::LParen => depth += 1,
            Token::RParen => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth == 0 && is_word(tokens, *n, "partition") && is_word(tokens, *n + 1, "by")
    })
}

fn shorten_arguments(tokens: &[TokenWithSpan], start: usize, end: usize, keep: &mut [bool]) {
    for n in start..end {
        let follows = |token| is(tokens, n + 1, token);
        if is_word(tokens, n, "table") && matches!(tokens.get(n + 1).map(|t| &t.token), Some(Token::Word(_))) {
            drop_at(keep, &[n]);
        } else if is_word(tokens, n, "descriptor")
            && follows(&Token::LParen)
            && let Some(close) = closing(tokens, n + 1)
        {
            drop_at(keep, &[n, n + 1, close]);
        }
    }
}

fn drop_at(keep: &mut [bool], places: &[usize]) {
    for place in places {
        keep[*place] = false;
    }
}

pub(super) fn is(tokens: &[TokenWithSpan], at: usize, token: &Token) -> bool {
    tokens.get(at).is_some_and(|t| t.token == *token)
}

pub(super) fn is_word(tokens: &[TokenWithSpan], at: usize, word: &str) -> bool {
    let found = tokens.get(at).map(|t| &t.token);
    matches!(found, Some(Token::Word(w)) if w.quote_style.is_none() && w.value.eq_ignore_ascii_case(word))
}

/// Where the parenthesis opened at `open` is closed.
pub(super) fn closing(tokens: &[TokenWithSpan], open: usize) -> Option<usize> {
    let mut depth = 0usize;
    for (n, token) in tokens.iter().enumerate().skip(open) {
        match token.token {
            Token::LParen => depth += 1,
            Token::RParen if depth == 1 => return Some(n),
            Token::RParen => depth -= 1,
            _ => {}
        }
    }
    None
}
