//! TLS on the public port, from files that may be renewed while it serves.

use std::{
    fmt, io,
    path::PathBuf,
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, SystemTime},
};

use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        self, ServerConfig,
        crypto::aws_lc_rs,
        pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject as _},
    },
    server::TlsStream,
};

/// How often the files are looked at.
const LOOKED_EVERY: Duration = Duration::from_secs(60);
/// A client that is slower to agree on keys is let go.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// In order of preference (RFC 7301).
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// Where a certificate is, in PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The server's certificate, then those that lead to its root.
    pub certificates: PathBuf,
    pub private_key: PathBuf,
}

/// Why a certificate can't be served.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("could not read {path}")]
    Read { path: PathBuf, source: io::Error },
    #[error("{path} holds no certificate or private key in PEM")]
    Malformed { path: PathBuf, source: pem::Error },
    #[error("the private key does not belong to the certificate, or neither can be used")]
    Unusable(#[source] rustls::Error),
}

/// TLS 1.3 and 1.2. `Debug` shows where the files are, and nothing of them.
pub struct Tls {
    files: TlsFiles,
    serving: RwLock<Serving>,
}

struct Serving {
    stamp: Stamp,
    config: Arc<ServerConfig>,
}

/// Tells one state of the files from another.
type Stamp = [SystemTime; 2];

impl Tls {
    pub fn load(files: TlsFiles) -> Result<Self, TlsError> {
        let serving = RwLock::new(files.read()?);
        Ok(Self { files, serving })
    }

    /// Takes new files over whenever they change. What can't be used is told, and what was served goes on.
    pub(super) async fn renew(&self) -> std::convert::Infallible {
        loop {
            tokio::time::sleep(LOOKED_EVERY).await;
            self.look();
        }
    }

    fn look(&self) {
        let serving = || self.serving.read().unwrap_or_else(PoisonError::into_inner);
        let looked = self.files.stamp().and_then(|stamp| {
            if stamp == serving().stamp {
                return Ok(());
            }
            let renewed = self.files.read()?;
            *self.serving.write().unwrap_or_else(PoisonError::into_inner) = renewed;
            tracing::info!("serving a renewed certificate");
            Ok(())
        });
        if let Err(error) = looked {
            let error = &error as &dyn std::error::Error;
            tracing::error!(error, "could not renew the certificate");
        }
    }

    /// Agrees on keys with a client.
    pub(super) async fn accept(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let config = {
            let serving = self.serving.read().unwrap_or_else(PoisonError::into_inner);
            serving.config.clone()
        };
        timeout(HANDSHAKE_TIMEOUT, TlsAcceptor::from(config).accept(stream)).await?
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls")
            .field("files", &self.files)
            .finish_non_exhaustive()
    }
}

impl TlsFiles {
    fn read(&self) -> Result<Serving, TlsError> {
        // Before the content: what changes meanwhile is seen with the next look.
        let stamp = self.stamp()?;
        let malformed = |path: &PathBuf| {
            let path = path.clone();
            |source| TlsError::Malformed { path, source }
        };
        let certificates = CertificateDer::pem_file_iter(&self.certificates)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(malformed(&self.certificates))?;
        let key = PrivateKeyDer::from_pem_file(&self.private_key)
            .map_err(malformed(&self.private_key))?;
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Unusable)?
            .with_no_client_auth()
            .with_single_cert(certificates, key)
            .map_err(TlsError::Unusable)?;
        config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).to_vec();
        Ok(Serving {
            stamp,
            config: Arc::new(config),
        })
    }

    fn stamp(&self) -> Result<Stamp, TlsError> {
        let changed = |path: &PathBuf| {
            let metadata = std::fs::metadata(path).and_then(|metadata| metadata.modified());
            metadata.map_err(|source| TlsError::Read {
                path: path.clone(),
                source,
            })
        };
        Ok([changed(&self.certificates)?, changed(&self.private_key)?])
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertifiedKey, generate_simple_self_signed};

    use super::*;

    fn write(files: &TlsFiles) {
        let names = ["localhost".to_owned()];
        let CertifiedKey { cert, signing_key } = generate_simple_self_signed(names).unwrap();
        std::fs::write(&files.certificates, cert.pem()).unwrap();
        std::fs::write(&files.private_key, signing_key.serialize_pem()).unwrap();
    }

    #[test]
    fn renewed_files_are_taken_over_and_broken_ones_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let files = TlsFiles {
            certificates: folder.path().join("certificates.pem"),
            private_key: folder.path().join("key.pem"),
        };
        assert!(matches!(
            Tls::load(files.clone()),
            Err(TlsError::Read { .. })
        ));
        write(&files);
        let tls = Tls::load(files.clone()).unwrap();
        let serving = || tls.serving.read().unwrap().config.clone();
        let first = serving();
        tls.look();
        assert!(Arc::ptr_eq(&first, &serving()));
        write(&files);
        tls.look();
        let second = serving();
        assert!(!Arc::ptr_eq(&first, &second));
        std::fs::write(&files.private_key, "no key").unwrap();
        tls.look();
        assert!(Arc::ptr_eq(&second, &serving()), "what was served goes on");
        assert!(!format!("{tls:?}").contains("PRIVATE"));
    }
}
