//! The connectors, codecs and operators that a pipeline file may name: those of this build, or a test's own.

use lineside_connectors::{CodecKind, ConnectorKind};
use lineside_operators::OperatorKind;

/// What a pipeline file may name.
#[derive(Clone, Copy)]
pub struct Registries<'a> {
    /// `connector = "…"`.
    pub connectors: &'a [&'static dyn ConnectorKind],
    /// `codec = "…"`.
    pub codecs: &'a [&'static dyn CodecKind],
    /// `type = "…"` of an operator.
    pub operators: &'a [&'static dyn OperatorKind],
}

impl Registries<'static> {
    /// Everything in this build.
    pub const BUILD: Self = Self {
        connectors: lineside_connectors::CONNECTORS,
        codecs: lineside_connectors::CODECS,
        operators: lineside_operators::OPERATORS,
    };
}

impl Registries<'_> {
    /// The connector of this name.
    pub fn connector(&self, name: &str) -> Option<&'static dyn ConnectorKind> {
        self.connectors.iter().copied().find(|kind| kind.name() == name)
    }

    /// The codec of this name.
    pub fn codec(&self, name: &str) -> Option<&'static dyn CodecKind> {
        self.codecs.iter().copied().find(|kind| kind.name() == name)
    }

    /// The operator of this name.
    pub fn operator(&self, name: &str) -> Option<&'static dyn OperatorKind> {
        self.operators.iter().copied().find(|kind| kind.name() == name)
    }
}

impl std::fmt::Debug for Registries<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registries")
            .field("connectors", &self.connectors.iter().map(|kind| kind.name()).collect::<Vec<_>>())
            .field("codecs", &self.codecs.iter().map(|kind| kind.name()).collect::<Vec<_>>())
            .field("operators", &self.operators.iter().map(|kind| kind.name()).collect::<Vec<_>>())
            .finish()
    }
}
