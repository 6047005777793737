//! The certificates of one listener, exchanged while it serves.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use rustls::client::verify_server_name;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::{ClientHello, ParsedCertificate, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ServerConfig, crypto};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::watch::files::Stamp;
use crate::listener::{Pair, Tls};

/// A chain of certificates is shorter.
const MAX_FILE: u64 = 1 << 20;
const HTTP_2: &[u8] = b"h2";
const HTTP_1: &[u8] = b"http/1.1";

/// Certificates in force, and the files that they are from.
#[derive(Debug)]
pub(crate) struct Certificates {
    tls: Tls,
    config: ArcSwap<ServerConfig>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Of all files, as they were read last.
    stamps: Vec<Option<Stamp>>,
    /// Why the files as they are now are not used.
    trouble: Option<String>,
}

/// Why certificates cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// No version of TLS can be spoken.
    #[error("cannot speak TLS")]
    Versions(#[source] rustls::Error),
    /// A file does not hold what it should.
    #[error("{} holds no PEM {what}", path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// `certificate` or `private key`.
        what: &'static str,
        /// Why.
        #[source]
        source: pem::Error,
    },
    /// Certificate and key cannot be used together.
    #[error("{} cannot be used with its key", path.display())]
    Pair {
        /// The certificate's file.
        path: PathBuf,
        /// Why.
        #[source]
        source: rustls::Error,
    },
}

impl Certificates {
    /// Reads them. Blocks.
    pub(crate) fn load(tls: &Tls) -> Result<Self, Error> {
        let state = State { stamps: stamps(tls), trouble: None };
        Ok(Self { config: ArcSwap::from_pointee(config(tls)?), tls: tls.clone(), state: Mutex::new(state) })
    }

    /// Takes files that changed; those that cannot be used leave the last good ones in force. Blocks.
    pub(crate) fn refresh(&self) {
        let stamps = stamps(&self.tls);
        let is_settled = stamps.iter().flatten().all(Stamp::is_settled);
        let mut state = self.state();
        if stamps == state.stamps {
            return;
        }
        let trouble = match config(&self.tls) {
            Ok(config) => {
                self.config.store(Arc::new(config));
                tracing::info!("certificates are exchanged");
                None
            }
            Err(error) => Some(super::watch::chain(&error)),
        };
        if let Some(error) = trouble.as_ref().filter(|_| trouble != state.trouble) {
            tracing::error!(%error, "certificates are not exchanged, the last good ones stay");
        }
        *state = State { stamps: if is_settled { stamps } else { Vec::new() }, trouble };
    }

    /// Why files are not used, if they are not.
    pub(crate) fn trouble(&self) -> Option<String> {
        self.state().trouble.clone()
    }

    /// Folders in which they are.
    pub(crate) fn folders(&self) -> impl Iterator<Item = PathBuf> {
        files(&self.tls).filter_map(Path::parent).map(Path::to_owned)
    }

    /// Shakes hands with a client.
    pub(crate) async fn accept(&self, tcp: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        TlsAcceptor::from(self.config.load_full()).accept(tcp).await
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells whether a client chose HTTP/2.
pub(crate) fn speaks_http_2(stream: &TlsStream<TcpStream>) -> bool {
    stream.get_ref().1.alpn_protocol() == Some(HTTP_2)
}

fn files(tls: &Tls) -> impl Iterator<Item = &Path> {
    tls.certificates.iter().flat_map(|pair| [&*pair.certificate, &*pair.key])
}

fn stamps(tls: &Tls) -> Vec<Option<Stamp>> {
    files(tls).map(Stamp::of).collect()
}

fn config(tls: &Tls) -> Result<ServerConfig, Error> {
    let provider = Arc::new(crypto::ring::default_provider());
    let keys = tls.certificates.iter().map(|pair| key(pair, &provider)).collect::<Result<_, _>>()?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(Error::Versions)?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(ByName(keys)));
    if tls.http2 {
        config.alpn_protocols.push(HTTP_2.to_vec());
    }
    config.alpn_protocols.push(HTTP_1.to_vec());
    Ok(config)
}

fn key(pair: &Pair, provider: &CryptoProvider) -> Result<Arc<CertifiedKey>, Error> {
    let pem = |path: &PathBuf, what| {
        let path = path.clone();
        move |source| Error::Pem { path, what, source }
    };
    let chain = CertificateDer::pem_slice_iter(&read(&pair.certificate)?)
        .collect::<Result<Vec<_>, _>>()
        .and_then(|chain| if chain.is_empty() { Err(pem::Error::NoItemsFound) } else { Ok(chain) })
        .map_err(pem(&pair.certificate, "certificate"))?;
    let key = PrivateKeyDer::from_pem_slice(&read(&pair.key)?).map_err(pem(&pair.key, "private key"))?;
    CertifiedKey::from_der(chain, key, provider)
        .map(Arc::new)
        .map_err(|source| Error::Pair { path: pair.certificate.clone(), source })
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    let failed = |source| Error::Read { path: path.to_owned(), source };
    if fs::metadata(path).map_err(failed)?.len() > MAX_FILE {
        return Err(failed(io::ErrorKind::FileTooLarge.into()));
    }
    fs::read(path).map_err(failed)
}

/// Chooses by the name that a client asks for.
#[derive(Debug)]
struct ByName(Vec<Arc<CertifiedKey>>);

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name().and_then(|name| ServerName::try_from(name).ok());
        let named = name.and_then(|name| self.0.iter().find(|key| is_for(key, &name)));
        named.or(self.0.first()).cloned()
    }
}

fn is_for(key: &CertifiedKey, name: &ServerName<'_>) -> bool {
    let certificate = key.end_entity_cert().and_then(ParsedCertificate::try_from);
    certificate.and_then(|certificate| verify_server_name(&certificate, name)).is_ok()
}
