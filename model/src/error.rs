//! One error type for everything that can go wrong while a pipeline runs.
//!
//! The class and whether to try again are fields, so that the engine decides by them and never by reading words. What is
//! wrong with a pipeline *file* is a [`crate::Problem`] instead, since those are reported all at once with their places.

use std::fmt;

/// Who can mend it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// The one who wrote the configuration: a wrong password, a topic that may not be read.
    User,
    /// The one who sends the data.
    Data,
    /// The other end of a wire, or the machine: a broker that is gone, a full disk.
    External,
    /// Us: a bug.
    Internal,
}

/// Whether the same call may succeed later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Retry {
    /// It will fail again until something is changed.
    Never,
    /// It may succeed after a while: the engine tries again with backoff.
    Later,
}

/// Something went wrong; one lowercase line, with a hint where the cure is known.
#[derive(Debug)]
pub struct Error {
    /// Who can mend it.
    pub class: Class,
    /// Whether to try again.
    pub retry: Retry,
    message: String,
    hint: Option<String>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// The result of everything that runs.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    fn new(class: Class, retry: Retry, message: impl Into<String>) -> Self {
        Self { class, retry, message: message.into(), hint: None, source: None }
    }

    /// The configuration is wrong; trying again is of no use.
    pub fn user(message: impl Into<String>) -> Self {
        Self::new(Class::User, Retry::Never, message)
    }

    /// The data are wrong; trying again is of no use.
    pub fn data(message: impl Into<String>) -> Self {
        Self::new(Class::Data, Retry::Never, message)
    }

    /// The other end failed; it may work later.
    pub fn external(message: impl Into<String>) -> Self {
        Self::new(Class::External, Retry::Later, message)
    }

    /// We failed: a bug.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(Class::Internal, Retry::Never, message)
    }

    /// Adds the cure.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds what caused it.
    #[must_use]
    pub fn caused_by(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Puts the name of the object in front: `source "plc": …`.
    #[must_use]
    pub fn of(mut self, object: impl fmt::Display) -> Self {
        self.message = format!("{object}: {}", self.message);
        self
    }

    /// The cure, where it is known.
    pub fn cure(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// Whether the engine should try again.
    pub fn is_retryable(&self) -> bool {
        self.retry == Retry::Later
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        let mut cause = self.source.as_deref().map(|s| s as &dyn std::error::Error);
        while let Some(error) = cause {
            let text = error.to_string();
            if !self.message.contains(&text) {
                write!(f, ": {text}")?;
            }
            cause = error.source();
        }
        Ok(())
    }
}

impl std::error::Error for Error {}

impl From<arrow::error::ArrowError> for Error {
    fn from(error: arrow::error::ArrowError) -> Self {
        Self::internal("arrow kernel failed").caused_by(error)
    }
}
