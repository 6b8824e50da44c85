//! The one certificate that all servers of a run have, and TLS on both sides.
//!
//! Viewers offer one cipher suite, the one that browsers prefer, so that every
//! server encrypts in the same way.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    crypto::{CryptoProvider, aws_lc_rs},
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};

/// Name that the certificate is for.
pub(crate) const NAME: &str = "localhost";

/// Where a certificate is.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Files {
    /// The certificate, a PEM file
    #[arg(long, value_name = "FILE")]
    pub(crate) certificate: PathBuf,
    /// Its private key, a PEM file
    #[arg(long, value_name = "FILE")]
    pub(crate) private_key: PathBuf,
}

impl Files {
    /// Makes a certificate and writes it into `directory`.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub(crate) fn make(directory: &Path) -> io::Result<Self> {
        let made =
            rcgen::generate_simple_self_signed([NAME.to_owned()]).map_err(io::Error::other)?;
        let files = Self {
            certificate: directory.join("certificate.pem"),
            private_key: directory.join("key.pem"),
        };
        fs::write(&files.certificate, made.cert.pem())?;
        fs::write(&files.private_key, made.signing_key.serialize_pem())?;
        Ok(files)
    }

    /// A server's side.
    ///
    /// # Errors
    /// When the files cannot be used.
    pub(crate) fn server_config(&self) -> io::Result<Arc<ServerConfig>> {
        let key = PrivateKeyDer::from_pem_file(&self.private_key).map_err(io::Error::other)?;
        let config = ServerConfig::builder_with_provider(aws_lc_rs::default_provider().into())
            .with_safe_default_protocol_versions()
            .and_then(|config| {
                config
                    .with_no_client_auth()
                    .with_single_cert(vec![read(&self.certificate)?], key)
            })
            .map_err(io::Error::other)?;
        Ok(Arc::new(config))
    }

    /// A viewer's side, which trusts this certificate alone.
    ///
    /// # Errors
    /// When the certificate cannot be used.
    pub(crate) fn client_config(&self) -> io::Result<Arc<ClientConfig>> {
        client_config_for(&self.certificate)
    }
}

/// The side of a viewer that trusts the certificate in the file `certificate`
/// alone.
///
/// # Errors
/// When it cannot be used.
pub(crate) fn client_config_for(certificate: &Path) -> io::Result<Arc<ClientConfig>> {
    read(certificate)
        .and_then(client_config)
        .map_err(io::Error::other)
}

fn read(certificate: &Path) -> Result<CertificateDer<'static>, rustls::Error> {
    CertificateDer::from_pem_file(certificate)
        .map_err(|error| rustls::Error::General(format!("{}: {error}", certificate.display())))
}

fn client_config(certificate: CertificateDer<'static>) -> Result<Arc<ClientConfig>, rustls::Error> {
    let provider = CryptoProvider {
        cipher_suites: vec![aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256],
        ..aws_lc_rs::default_provider()
    };
    let mut roots = RootCertStore::empty();
    roots.add(certificate)?;
    let config = ClientConfig::builder_with_provider(provider.into())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}
