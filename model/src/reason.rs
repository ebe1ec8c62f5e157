//! Why a row or a message left the dataflow. One list for the whole engine: counters, tables and logs use these words.

use serde::{Deserialize, Serialize};

macro_rules! reasons {
    ($($(#[doc = $doc:literal])* $name:ident = $word:literal),* $(,)?) => {
        /// Why a row or a message left the dataflow.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum Reason { $($(#[doc = $doc])* $name),* }

        impl Reason {
            /// Every reason there is, in the order of this list.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The word in counters, tables and logs.
            pub const fn word(self) -> &'static str {
                match self { $(Self::$name => $word),* }
            }
        }
    };
}

reasons! {
    /// The message is not of the format the codec expects.
    Malformed = "malformed",
    /// The message has no bytes.
    Empty = "empty",
    /// The message is not valid UTF-8.
    NotUtf8 = "not_utf8",
    /// The message is larger than the source takes.
    TooLarge = "too_large",
    /// A required field is not in the message.
    MissingField = "missing_field",
    /// A field has a value of another type.
    WrongType = "wrong_type",
    /// A number is NaN, infinite or beyond the range of its type.
    NotFinite = "not_finite",
    /// The topic does not fit the topic template.
    UnknownTopic = "unknown_topic",
    /// The tag is in no register map.
    UnknownTag = "unknown_tag",
    /// A row has no event time.
    NoTime = "no_time",
    /// The event time is further ahead of the clock than the source allows.
    TooFarAhead = "too_far_ahead",
    /// The row came after its window was closed.
    Late = "late",
    /// A source that cannot be held back sent more than the buffer takes.
    Overflow = "overflow",
    /// A join found no row of the other side for the row, and does not put out rows alone.
    Unmatched = "unmatched",
    /// A filter of the user's query said no.
    Filtered = "filtered",
    /// An expression of the user's query failed for the row: a division by zero, a text that is not a number.
    ExpressionFailed = "expression_failed",
    /// The operator has no use for a row of bad quality or without a value.
    BadQuality = "bad_quality",
    /// The register map does not allow writing the tag.
    NotWritable = "not_writable",
    /// The value is outside the limits of the register map.
    OutsideLimits = "outside_limits",
    /// The command was older than its time to live when its turn came.
    Expired = "expired",
    /// The device refused the write.
    Refused = "refused",
    /// The value read back is not the value written.
    NotVerified = "not_verified",
    /// The device did not answer the write, so nobody knows whether it was carried out.
    Unanswered = "unanswered",
    /// A newer value for the same tag came in the same batch.
    Superseded = "superseded",
    /// The row could not be put into the sink's format.
    NotEncodable = "not_encodable",
    /// The sink could not be reached any more when the engine was stopped, or had failed for good.
    Undelivered = "undelivered",
    /// The engine was stopped while the row was in an open window.
    Open = "open_at_stop",
    /// More distinct keys than the operator has room for.
    TooManyKeys = "too_many_keys",
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_its_own_word() {
        let words = Reason::ALL.iter().map(|r| r.word()).collect::<std::collections::BTreeSet<_>>();
        assert_eq!(words.len(), Reason::ALL.len());
    }
}
