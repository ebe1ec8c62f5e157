//! Encrypted connections: one block with the same words for every connector.
//!
//! ```toml
//! tls = { ca = "plant-ca.pem", cert = "gateway.pem", key = "gateway.key" }
//! ```
//!
//! Without `ca` the certificates that the machine trusts are used. There is no switch to accept any certificate: a plant that
//! signs its own hands its authority's certificate to `ca`, which is one file and as easy.

use std::path::Path;
use std::sync::Arc;

use lineside_model::Problem;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use schemars::JsonSchema;
use serde::Deserialize;

/// The `tls` block of a connector.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// File with the certificates (PEM) of the authorities to trust. Default: those the machine trusts.
    pub ca: Option<String>,
    /// File with our own certificate and its chain (PEM), where the other end asks for one. Default: none.
    pub cert: Option<String>,
    /// File with the private key (PEM) of `cert`. Default: none.
    pub key: Option<String>,
    /// The name that the other end's certificate must carry. Default: the host of the connection.
    pub server_name: Option<String>,
}

impl Tls {
    /// Reads the files, relative to `folder`, and makes what a TLS client needs.
    ///
    /// # Errors
    /// The option that is wrong (a path within the `tls` block), the file, and the cure.
    pub fn client_config(&self, folder: &Path) -> Result<Arc<ClientConfig>, Problem> {
        let provider = Arc::new(ring::default_provider());
        let roots = Arc::new(self.roots(folder)?);
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|e| Problem::whole(format!("this build has no usable TLS version: {e}")))?;
        let builder = match &self.server_name {
            None => builder.with_root_certificates(roots),
            Some(written) => {
                let name = ServerName::try_from(written.clone()).map_err(|_| {
                    Problem::option("server_name", format!("\"{written}\" is no host name"))
                        .hint("write the name in the certificate, such as \"broker.plant.local\"")
                })?;
                let usual = WebPkiServerVerifier::builder_with_provider(roots, provider)
                    .build()
                    .map_err(|e| Problem::option("ca", format!("no certificate of an authority is usable: {e}")))?;
                // Not dangerous here: the usual check, only under the name the user wrote.
                builder.dangerous().with_custom_certificate_verifier(Arc::new(UnderName { usual, name }))
            }
        };
        let config = match (&self.cert, &self.key) {
            (None, None) => builder.with_no_client_auth(),
            (Some(cert), Some(key)) => {
                let chain = certificates("cert", &folder.join(cert))?;
                let path = folder.join(key);
                let private = PrivateKeyDer::from_pem_file(&path).map_err(|e| unreadable("key", &path, &e))?;
                builder.with_client_auth_cert(chain, private).map_err(|e| {
                    Problem::option("key", format!("the key in \"{}\" is not usable: {e}", path.display()))
                        .hint(format!("the key must belong to the first certificate in \"{cert}\""))
                })?
            }
            (Some(_), None) => {
                return Err(Problem::option("cert", "option \"cert\" needs its private key")
                    .hint("add key = \"….pem\" to the tls block"));
            }
            (None, Some(_)) => {
                return Err(Problem::option("key", "option \"key\" needs its certificate")
                    .hint("add cert = \"….pem\" to the tls block"));
            }
        };
        Ok(Arc::new(config))
    }

    fn roots(&self, folder: &Path) -> Result<RootCertStore, Problem> {
        let mut roots = RootCertStore::empty();
        match &self.ca {
            Some(ca) => {
                let path = folder.join(ca);
                for certificate in certificates("ca", &path)? {
                    roots.add(certificate).map_err(|e| {
                        Problem::option("ca", format!("a certificate in \"{}\" is not usable: {e}", path.display()))
                    })?;
                }
            }
            None => {
                let found = rustls_native_certs::load_native_certs();
                roots.add_parsable_certificates(found.certs);
                if roots.is_empty() {
                    return Err(Problem::whole("the machine has no certificates of authorities")
                        .hint("install the ca-certificates package, or name a file: tls = { ca = \"….pem\" }"));
                }
            }
        }
        Ok(roots)
    }
}

fn certificates(option: &str, path: &Path) -> Result<Vec<CertificateDer<'static>>, Problem> {
    let read = CertificateDer::pem_file_iter(path).and_then(|found| found.collect::<Result<Vec<_>, _>>());
    match read {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => Err(Problem::option(option, format!("there is no certificate in \"{}\"", path.display()))
            .hint("the file must hold PEM blocks that begin with -----BEGIN CERTIFICATE-----")),
        Err(error) => Err(unreadable(option, path, &error)),
    }
}

fn unreadable(option: &str, path: &Path, error: &rustls::pki_types::pem::Error) -> Problem {
    Problem::option(option, format!("cannot read \"{}\": {}", path.display(), plain(error)))
        .hint("paths start from the folder of the pipeline file; the file must be in PEM form and readable by lineside")
}

fn plain(error: &rustls::pki_types::pem::Error) -> String {
    use rustls::pki_types::pem::Error;
    match error {
        Error::Io(io) => io.to_string(),
        Error::NoItemsFound => "it holds no PEM block of this kind".to_owned(),
        other => format!("it is not in PEM form ({other})"),
    }
}

/// Checks the other end's certificate as usual, under a name of the user's choice.
#[derive(Debug)]
struct UnderName {
    usual: Arc<WebPkiServerVerifier>,
    name: ServerName<'static>,
}

impl ServerCertVerifier for UnderName {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _connected_to: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.usual.verify_server_cert(end_entity, intermediates, &self.name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.usual.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.usual.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.usual.supported_verify_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_file_is_named_with_the_cure() {
        let tls = Tls { ca: Some("no-such.pem".into()), ..Tls::default() };
        let problem = tls.client_config(Path::new("/nowhere")).unwrap_err();
        assert!(problem.message.contains("/nowhere/no-such.pem"), "{problem:?}");
        assert!(problem.hint.is_some());
    }

    #[test]
    fn a_file_without_a_certificate_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("ca.pem"), "no certificate in here").unwrap();
        let tls = Tls { ca: Some("ca.pem".into()), ..Tls::default() };
        let problem = tls.client_config(folder.path()).unwrap_err();
        assert!(problem.message.contains("no certificate in"), "{problem:?}");
    }
}
